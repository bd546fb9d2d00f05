//! Deletion of projects: asking for it, and how far it has come.
//!
//! A deletion is found under the id of its project. Whoever asks for one has that, and the answer, which
//! has no body, could not tell another.

use std::sync::Arc;

use axum::{
    body::{Body, HttpBody},
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, Uri},
    response::IntoResponse,
};
use domain::{
    AuditEvent, Deletion, DeletionRef, DeletionStatus, Fault, Project, ProjectFacts,
    ProjectRemoval, Slug,
};
use runtime::{Answer, json, trace_of};
use serde_json::{Value, json};
use store::{NewDeletion, StoreError};

use crate::{
    Context,
    auth::{PROJECT_ADMIN, PROJECT_READ, caller_with},
    body::{self, MAX_BODY},
    cursor::Paging,
    no_such,
    projects::{is_internal, project_at},
};

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
    let named = (organization.as_str(), segment.as_str());
    let found = project_at(&context, &parts.headers, named, &parts.uri, &PROJECT_ADMIN).await?;
    let (caller, seat, mut project) = (found.caller, found.seat, found.project);
    let origin = origin(&parts.headers, body).await?;
    if is_internal(&context, &project) {
        let error = "Cannot remove projects internally used by Sentry.";
        return Ok(json(StatusCode::FORBIDDEN, &json!({ "error": error })));
    }
    for _ in 0..TRIES {
        let now = context.clock.now();
        let (organization, id) = (seat.organization.id, project.id);
        let deletion = Deletion::requested(
            &project,
            seat.user(),
            now.plus(context.deletion_delay),
            now,
            rand::random(),
        );
        let removal = ProjectRemoval {
            project: ProjectFacts::of(&project),
            transaction_id: deletion.guid.clone(),
            origin: origin.clone(),
        };
        let event = match origin {
            None => AuditEvent::ProjectRemove(removal),
            Some(_) => AuditEvent::ProjectRemoveWithOrigin(removal),
        };
        let audit = caller.audit(&context, organization, event);
        let new = NewDeletion {
            project: &project,
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
    let of = DeletionRef {
        organization: seat.organization.id,
        project: Some(project.parse().map_err(no_such)?),
    };
    let found = context
        .store
        .deletion(of)
        .await?
        .ok_or_else(Fault::not_found)?;
    Ok(json(StatusCode::OK, &shown(&found)))
}

/// What the caller says it is for. Anything else in the body does not matter.
async fn origin(headers: &HeaderMap, body: Body) -> Result<Option<String>, Fault> {
    if body.is_end_stream() {
        return Ok(None);
    }
    let mut body = body::json(&body::bytes(headers, body, MAX_BODY).await?)?;
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
        "id": deletion.of.project,
        "guid": deletion.guid,
        "slug": deletion.slug,
        "status": deletion.status,
        "stage": deletion.stage,
        "pass": deletion.pass,
        "done": deletion.done,
        "estimate": deletion.estimate.max(deletion.done),
        "progress": deletion.progress(),
        "lastError": deletion.last_error,
        "dateRequested": deletion.requested.to_string(),
        "dateScheduled": deletion.due.to_string(),
        "dateUpdated": deletion.touched.to_string(),
        "dateFinished": ended.then(|| deletion.touched.to_string()),
    })
}
