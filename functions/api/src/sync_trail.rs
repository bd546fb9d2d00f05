//! `GET` of an issue's sync trail: how the changes that trackers told of, or were to be told of, ended,
//! and why.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode, Uri},
};
use domain::{GroupId, Origin, Outcome, Provider, Reason, Rule, SyncRecord};
use runtime::{Answer, json};
use serde_json::{Value, json};

use crate::{
    Context,
    auth::ISSUE_READ,
    cursor::Paging,
    issues::{code_cause, find},
};

/// `GET /issues/{issue}/sync/`
pub(crate) async fn list(
    State(context): State<Arc<Context>>,
    Path(issue): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    let view = find(&context, &headers, None, &issue, &ISSUE_READ)
        .await?
        .view;
    answer(&context, &uri, view.group.id).await
}

/// `GET /organizations/{organization}/issues/{issue}/sync/`
pub(crate) async fn list_in(
    State(context): State<Arc<Context>>,
    Path((organization, issue)): Path<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    let organization = Some(organization.as_str());
    let view = find(&context, &headers, organization, &issue, &ISSUE_READ)
        .await?
        .view;
    answer(&context, &uri, view.group.id).await
}

async fn answer(context: &Context, uri: &Uri, group: GroupId) -> Answer {
    let paging = Paging::of(uri)?;
    let page = context
        .store
        .sync_trail(group, paging.skip, paging.limit)
        .await?;
    let with_origin = |record: &SyncRecord| match record.of_origin() {
        Some(origin) => vec![row(&origin), row(record)],
        None => vec![row(record)],
    };
    let rows: Vec<_> = page.rows.iter().flat_map(with_origin).collect();
    Ok(paging.link(context, page.more, json(StatusCode::OK, &rows)))
}

fn row(record: &SyncRecord) -> Value {
    let outcome = record.outcome;
    let cause = match &record.origin {
        Origin::Tracker(origin) => json!({
            "delivery": origin.delivery,
            "integrationId": origin.integration,
            "externalIssue": origin.external_issue,
            "revision": origin.revision.map(|revision| revision.to_string()),
            "author": origin.author,
        }),
        Origin::Api(origin) => json!({ "request": origin.request, "user": origin.user }),
        Origin::Code(origin) => code_cause(origin),
    };
    json!({
        "id": record.id(),
        "at": record.at.to_string(),
        "direction": record.direction.as_str(),
        "provider": record.provider.map(Provider::as_str),
        "integrationId": record.link.integration,
        "externalIssue": record.link.external_issue,
        "revision": record.revision.map(|revision| revision.to_string()),
        "facet": record.facet.as_str(),
        "outcome": Outcome::as_str(outcome),
        "reason": outcome.reason().map(Reason::as_str),
        "explanation": outcome.reason().map(Reason::explanation),
        "rule": record.rule.map(Rule::as_str),
        "detail": record.detail,
        "cause": cause,
        "change": record.change,
    })
}
