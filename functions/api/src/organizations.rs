//! Organizations.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode, Uri},
};
use domain::{Organization, TokenOwner};
use runtime::{Answer, json};
use serde_json::{Value, json};

use crate::{
    Context,
    auth::{ORGANIZATION_READ, caller_with},
    cursor::Paging,
};

/// `GET /organizations/`: those that the caller can see.
pub(crate) async fn list(
    State(context): State<Arc<Context>>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    let caller = caller_with(&context, &headers, &ORGANIZATION_READ).await?;
    let paging = Paging::of(&uri)?;
    let (rows, more) = match caller.owner() {
        TokenOwner::User(user) => {
            let page = context
                .store
                .organizations_of(user, paging.skip, paging.limit)
                .await?;
            (page.rows, page.more)
        }
        TokenOwner::Organization(id) => {
            let own = context.store.organization(id).await?;
            (own.into_iter().skip(paging.skip).collect(), false)
        }
    };
    let body: Vec<_> = rows.iter().map(|row| organization(&context, row)).collect();
    Ok(paging.link(&context, more, json(StatusCode::OK, &body)))
}

/// `GET /organizations/{organization}/`
pub(crate) async fn show(
    State(context): State<Arc<Context>>,
    Path(segment): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let caller = caller_with(&context, &headers, &ORGANIZATION_READ).await?;
    let seat = caller.seat_at(&context, &segment).await?;
    Ok(json(
        StatusCode::OK,
        &organization(&context, &seat.organization),
    ))
}

fn organization(context: &Context, organization: &Organization) -> Value {
    let url = &context.public_url;
    json!({
        "id": organization.id,
        "slug": organization.slug,
        "name": organization.name,
        "status": { "id": "active", "name": "active" },
        "dateCreated": organization.created.to_string(),
        "isEarlyAdopter": false,
        "require2FA": false,
        "requireEmailVerification": false,
        "avatar": { "avatarType": "letter_avatar", "avatarUuid": null, "avatarUrl": null },
        "features": organization.features,
        "allowMemberProjectCreation": !organization.disable_member_project_creation,
        "links": { "organizationUrl": url, "regionUrl": url },
    })
}
