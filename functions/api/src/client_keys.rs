//! Client keys of a project: made, listed, shown, changed and revoked.

use std::sync::Arc;

use axum::{
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, Uri},
    response::IntoResponse,
};
use domain::{
    AuditEvent, ClientKey, ClientKeyUpdate, Fault, KeyFacts, PublicKey, RateLimit, Scope, names,
};
use runtime::{Answer, json};
use serde_json::{Value, json};
use store::{Changed, Insert};

use crate::{
    Context,
    auth::{PROJECT_ADMIN, PROJECT_READ, PROJECT_WRITE},
    body::Fields,
    cursor::Paging,
    no_such,
    projects::{ProjectSeat, project_at},
};

/// `GET /projects/{organization}/{project}/keys/`
pub(crate) async fn list(
    State(context): State<Arc<Context>>,
    Path((organization, project)): Path<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    let named = (organization.as_str(), project.as_str());
    let found = project_at(&context, &headers, named, &uri, &PROJECT_READ).await?;
    let paging = Paging::of(&uri)?;
    let id = found.project.id;
    let page = context
        .store
        .client_keys(id, paging.skip, paging.limit)
        .await?;
    let body: Vec<_> = page.rows.iter().map(|row| key(&context, row)).collect();
    Ok(paging.link(&context, page.more, json(StatusCode::OK, &body)))
}

/// `POST /projects/{organization}/{project}/keys/`
pub(crate) async fn create(
    State(context): State<Arc<Context>>,
    Path((organization, project)): Path<(String, String)>,
    request: Request,
) -> Answer {
    let (parts, body) = request.into_parts();
    let named = (organization.as_str(), project.as_str());
    let found = project_at(&context, &parts.headers, named, &parts.uri, &PROJECT_WRITE).await?;
    let update = read(Fields::read(&parts.headers, body).await?)?;
    let label = update.label.as_deref().unwrap_or(ClientKey::DEFAULT_LABEL);
    let owner = (found.project.organization, found.project.id);
    let mut new = ClientKey::new(owner, label, rand::random(), context.clock.now());
    new.rate_limit = update.rate_limit.flatten();
    let event = AuditEvent::ProjectKeyCreate(KeyFacts::of(&new));
    let audit = found.caller.audit(&context, owner.0, event);
    match context.store.create_client_key(new, &audit).await? {
        Insert::Made(made) => Ok(json(StatusCode::CREATED, &key(&context, &made))),
        // Of 128 random bits.
        Insert::IdTaken | Insert::NameTaken => {
            Err(Fault::Retry("a client key was drawn twice".into()).into())
        }
    }
}

/// The key that a path names.
async fn key_at(
    context: &Context,
    headers: &HeaderMap,
    (organization, project, key): (&str, &str, &str),
    uri: &Uri,
    scopes: &[Scope],
) -> Result<(ProjectSeat, ClientKey), Fault> {
    let found = project_at(context, headers, (organization, project), uri, scopes).await?;
    let key: PublicKey = key.parse().map_err(no_such)?;
    let key = context.store.client_key(found.project.id, &key).await?;
    Ok((found, key.ok_or_else(Fault::not_found)?))
}

/// `GET /projects/{organization}/{project}/keys/{key}/`
pub(crate) async fn show(
    State(context): State<Arc<Context>>,
    Path((organization, project, id)): Path<(String, String, String)>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    let named = (organization.as_str(), project.as_str(), id.as_str());
    let (_, found) = key_at(&context, &headers, named, &uri, &PROJECT_READ).await?;
    Ok(json(StatusCode::OK, &key(&context, &found)))
}

/// `PUT /projects/{organization}/{project}/keys/{key}/`: name, limit, and whether it lets events in.
pub(crate) async fn update(
    State(context): State<Arc<Context>>,
    Path((organization, project, id)): Path<(String, String, String)>,
    request: Request,
) -> Answer {
    let (parts, body) = request.into_parts();
    let named = (organization.as_str(), project.as_str(), id.as_str());
    let uri = &parts.uri;
    let (owner, found) = key_at(&context, &parts.headers, named, uri, &PROJECT_WRITE).await?;
    let update = read(Fields::read(&parts.headers, body).await?)?;
    let decide = |seen: &ClientKey| {
        let (key, event) = update.apply(seen)?;
        let audit = owner.caller.audit(&context, key.organization, event);
        Some((key, audit))
    };
    let public_key = &found.public_key;
    let changed = context
        .store
        .change_client_key(owner.project.id, public_key, decide);
    match changed.await? {
        Changed::Done(changed) => Ok(json(StatusCode::OK, &key(&context, &changed))),
        Changed::Gone | Changed::NameTaken => Err(Fault::not_found().into()),
    }
}

/// `DELETE /projects/{organization}/{project}/keys/{key}/`
pub(crate) async fn delete(
    State(context): State<Arc<Context>>,
    Path((organization, project, id)): Path<(String, String, String)>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    let named = (organization.as_str(), project.as_str(), id.as_str());
    let (owner, found) = key_at(&context, &headers, named, &uri, &PROJECT_ADMIN).await?;
    let event = AuditEvent::ProjectKeyRemove(KeyFacts::of(&found));
    let audit = owner.caller.audit(&context, found.organization, event);
    match context.store.delete_client_key(&found, &audit).await? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(Fault::not_found().into()),
    }
}

fn read(mut fields: Fields) -> Result<ClientKeyUpdate, Fault> {
    let update = ClientKeyUpdate {
        label: match fields.has("name") {
            true => fields.name("name", names::MAX_NAME),
            false => None,
        },
        active: fields.boolean("isActive"),
        rate_limit: rate_limit(&mut fields),
    };
    fields.finish(update)
}

/// `{"count": 100, "window": 60}`; `Some(None)` for null, and for a limit of nothing, which means none. Half a
/// limit is refused: it would take away the one that is there.
fn rate_limit(fields: &mut Fields) -> Option<Option<RateLimit>> {
    let value = fields.raw("rateLimit")?;
    if value.is_null() {
        return Some(None);
    }
    let given = |name: &str| value.get(name).filter(|part| !part.is_null());
    let number = |part: &Value| part.as_u64().and_then(|n| u32::try_from(n).ok());
    let parts = (given("count"), given("window"));
    match (parts.0.map(number), parts.1.map(number)) {
        (None, None) if value.is_object() => Some(None),
        (Some(Some(0)), Some(Some(_))) | (Some(Some(_)), Some(Some(0))) => Some(None),
        (Some(Some(count)), Some(Some(window))) => Some(Some(RateLimit { count, window })),
        _ => {
            let message = "Expected an object with a count and a window, which are whole numbers.";
            fields.refuse("rateLimit", message);
            None
        }
    }
}

/// `projectId` is the one id that clients know as a number.
fn key(context: &Context, key: &ClientKey) -> Value {
    let limit = key.rate_limit;
    json!({
        "id": key.public_key,
        "name": key.label,
        "label": key.label,
        "public": key.public_key,
        "secret": key.secret_key.reveal(),
        "projectId": key.project.number(),
        "isActive": key.active,
        "rateLimit": limit.map(|limit| json!({ "count": limit.count, "window": limit.window })),
        "dsn": {
            "public": key.dsn(&context.ingest_url),
            "secret": key.secret_dsn(&context.ingest_url).reveal(),
        },
        "dateCreated": key.created.to_string(),
    })
}
