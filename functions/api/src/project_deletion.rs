//! Deletion of projects: asking for it, and how far it has come.
//!
//! A deletion is found under the id of its project. Whoever asks for one has that, and the answer, which
//! has no body, could not tell another.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, Uri},
    response::IntoResponse,
};
use domain::{
    AuditEvent, Deletion, DeletionStatus, Fault, Project, ProjectFacts, ProjectRemoval, Slug,
};
use runtime::{Answer, json, trace_of};
use serde_json::{Value, json};
use store::{NewDeletion, StoreError};

use crate::{
    Context,
    auth::{PROJECT_ADMIN, PROJECT_READ, Seat, caller_with},
    cursor::Paging,
    is_id, no_such,
};

/// The largest body, in bytes.
const MAX_BODY: usize = 64 * 1024;
/// How often a project that is changed meanwhile is looked at again.
const TRIES: u32 = 5;

/// `DELETE /projects/{organization}/{project}/`: the project is hidden and its slug free when it answers.
pub(crate) async fn delete(
    State(context): State<Arc<Context>>,
    Path((organization, segment)): Path<(String, String)>,
    request: Request,
) -> Answer {
    let trace = trace_of(&request);
    let (parts, body) = request.into_parts();
    let caller = caller_with(&context, &parts.headers, &PROJECT_ADMIN).await?;
    let seat = caller.seat_at(&context, &organization).await?;
    let mut project = find(&context, &seat, &segment).await?;
    let origin = origin(body).await?;
    let internal = &context.internal_project;
    if *internal == project.id.to_string() || internal == project.slug.as_str() {
        let error = "Cannot remove projects internally used by Sentry.";
        return Ok(json(StatusCode::FORBIDDEN, &json!({ "error": error })));
    }
    for _ in 0..TRIES {
        let now = context.clock.now();
        let (organization, id) = (seat.organization.id, project.id);
        let before = context.store.deletion(organization, id).await?;
        let deletion = Deletion::requested(
            &project,
            seat.user(),
            now.plus(context.deletion_delay),
            now,
            rand::random(),
        );
        let deletion = deletion.over(before.as_ref());
        let removal = ProjectRemoval {
            project: ProjectFacts::of(&project),
            transaction_id: deletion.guid.clone(),
            origin: origin.clone(),
        };
        let event = match origin {
            None => AuditEvent::ProjectRemove(removal),
            Some(_) => AuditEvent::ProjectRemoveWithOrigin(removal),
        };
        let audit = event.by(caller.actor(), organization, now, rand::random());
        let new = NewDeletion {
            project: &project,
            before: before.as_ref(),
            deletion: &deletion,
            hidden: Slug::hidden(rand::random()),
            audit: &audit,
        };
        if context.store.request_deletion(new, &trace, now).await? {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        match context.store.project(id).await?.filter(Project::is_active) {
            Some(changed) => project = changed,
            // Somebody else was faster, and it is what the caller wants.
            None => return Ok(StatusCode::NO_CONTENT.into_response()),
        }
    }
    Err(StoreError::Contended(format!("project {}", project.id)).into())
}

/// `GET /organizations/{organization}/deletions/`
pub(crate) async fn list(
    State(context): State<Arc<Context>>,
    Path(organization): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    let caller = caller_with(&context, &headers, &PROJECT_READ).await?;
    let seat = caller.seat_at(&context, &organization).await?;
    let paging = Paging::of(&uri)?;
    let (skip, limit) = (paging.skip, paging.limit);
    let deletions = context.store.deletions(seat.organization.id, skip, limit);
    let page = deletions.await?;
    let body: Vec<_> = page.rows.iter().map(shown).collect();
    Ok(paging.link(&context, page.more, json(StatusCode::OK, &body)))
}

/// `GET /organizations/{organization}/deletions/{project}/`
pub(crate) async fn show(
    State(context): State<Arc<Context>>,
    Path((organization, project)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let caller = caller_with(&context, &headers, &PROJECT_READ).await?;
    let seat = caller.seat_at(&context, &organization).await?;
    let project = project.parse().map_err(no_such)?;
    let found = context.store.deletion(seat.organization.id, project);
    let found = found.await?.ok_or_else(Fault::not_found)?;
    Ok(json(StatusCode::OK, &shown(&found)))
}

/// The project that a path names by slug or id, if it is shown at all.
async fn find(context: &Context, seat: &Seat, segment: &str) -> Result<Project, Fault> {
    let organization = seat.organization.id;
    let found = match is_id(segment) {
        true => {
            let id = segment.parse().map_err(no_such)?;
            context.store.project(id).await?
        }
        false => {
            let slug = segment.parse().map_err(no_such)?;
            context.store.project_by_slug(organization, &slug).await?
        }
    };
    let seen = |project: &Project| project.organization == organization && project.is_active();
    found.filter(seen).ok_or_else(Fault::not_found)
}

/// What the caller says it is for. Anything else in the body does not matter.
async fn origin(body: Body) -> Result<Option<String>, Fault> {
    let bytes = axum::body::to_bytes(body, MAX_BODY).await;
    let bytes = bytes.map_err(|_| Fault::detail("The request is too large."))?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let body: Result<Value, _> = serde_json::from_slice(&bytes);
    let mut body = body.map_err(|error| Fault::detail(format!("JSON parse error - {error}")))?;
    match body.get_mut("origin").map(Value::take) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(origin)) => Ok(Some(origin)),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(Fault::field("origin", "Not a valid string."))
        }
    }
}

fn shown(deletion: &Deletion) -> Value {
    let ended = deletion.status == DeletionStatus::Finished;
    json!({
        "id": deletion.project,
        "guid": deletion.guid,
        "slug": deletion.slug,
        "status": deletion.status,
        "stage": deletion.stage,
        "pass": deletion.pass,
        "done": deletion.done,
        "estimate": deletion.estimate,
        "progress": deletion.progress(),
        "lastError": deletion.last_error,
        "dateRequested": deletion.requested.to_string(),
        "dateScheduled": deletion.due.to_string(),
        "dateUpdated": deletion.touched.to_string(),
        "dateFinished": ended.then(|| deletion.touched.to_string()),
    })
}
