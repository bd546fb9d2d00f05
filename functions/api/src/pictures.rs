//! Pictures of organizations: read from a request, and shown to whoever has their address.

use std::{ops::RangeInclusive, sync::Arc};

use axum::{
    extract::{Path, State},
    http::header,
    response::IntoResponse,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use domain::{Fault, Organization, PictureId, PictureKind};
use imagesize::{ImageSize, ImageType};
use runtime::Answer;
use serde_json::{Value, json};
use store::StoredPicture;

use crate::{
    Context,
    body::{Fields, NO_TEXT},
    no_such,
};

/// The largest body with a picture, in bytes: more than a gateway lets through.
pub(crate) const MAX_BODY: usize = 6 * 1024 * 1024;
/// The largest picture, in bytes.
const MAX_PICTURE: usize = 1024 * 1024;
/// How long a side may be, in pixels.
const SIDE: RangeInclusive<usize> = 256..=1024;

/// What is behind a picture's address never changes.
const FOREVER: &str = "public, max-age=31536000, immutable";

/// `GET /organization-avatar/{picture}/`: a picture. Its address is all that it takes, as a browser sends no
/// token for one.
pub(crate) async fn show(
    State(context): State<Arc<Context>>,
    Path(segment): Path<String>,
) -> Answer {
    let id = segment.parse().map_err(no_such::<&str>)?;
    let found = context.store.picture(id).await?;
    let StoredPicture { kind, bytes } = found.ok_or_else(Fault::not_found)?;
    let headers = [
        (header::CONTENT_TYPE, kind.content_type()),
        (header::CACHE_CONTROL, FOREVER),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, bytes).into_response())
}

/// What is shown for an organization.
pub(crate) fn avatar(context: &Context, organization: &Organization) -> Value {
    let url = |id: PictureId| format!("{}/organization-avatar/{id}/", context.ingest_url);
    let uploaded = organization.picture.as_ref().map(|picture| picture.id);
    json!({
        "avatarType": organization.avatar_type.as_str(),
        "avatarUuid": uploaded.map(|id| id.to_string()),
        "avatarUrl": uploaded.map(url),
    })
}

/// The picture that a request brings: base64, alone or as browsers write it into a URL.
pub(crate) fn read(fields: &mut Fields) -> Option<StoredPicture> {
    let text = match fields.raw("avatar")? {
        Value::Null => return None,
        Value::String(text) => text,
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            fields.refuse("avatar", NO_TEXT);
            return None;
        }
    };
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    let picture = picture(text);
    picture.map_err(|says| fields.refuse("avatar", says)).ok()
}

fn picture(text: &str) -> Result<StoredPicture, String> {
    let url = text.strip_prefix("data:");
    let plain = match url.map(|url| url.split_once(";base64,")) {
        None => text,
        Some(Some((_, base64))) => base64,
        Some(None) => return Err("A data URL has to be one of base64.".to_owned()),
    };
    // Programs that write base64 break its lines.
    let plain: String = plain.split_ascii_whitespace().collect();
    let bytes = STANDARD.decode(plain);
    let bytes = bytes.map_err(|_| "Not valid base64.".to_owned())?;
    if bytes.len() > MAX_PICTURE {
        let length = bytes.len();
        return Err(format!(
            "A picture has at most {MAX_PICTURE} bytes (1 MiB) here, this one has {length}."
        ));
    }
    let formats = [
        (ImageType::Gif, PictureKind::Gif),
        (ImageType::Jpeg, PictureKind::Jpeg),
        (ImageType::Png, PictureKind::Png),
    ];
    let found = imagesize::image_type(&bytes).ok();
    let format = formats
        .into_iter()
        .find(|(it, _)| Some(it) == found.as_ref());
    let size = imagesize::blob_size(&bytes).ok();
    let (Some((_, kind)), Some(ImageSize { width, height })) = (format, size) else {
        return Err("Not a picture in GIF, JPEG or PNG.".to_owned());
    };
    if width != height {
        return Err(format!(
            "The picture has to be square, it has {width} x {height} pixels."
        ));
    }
    if !SIDE.contains(&width) {
        let (least, most) = (SIDE.start(), SIDE.end());
        return Err(format!(
            "The picture has {width} pixels a side, which has to be {least} to {most}."
        ));
    }
    Ok(StoredPicture { kind, bytes })
}
