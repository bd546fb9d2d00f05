//! Alert rules of a project. A new project has one; nothing carries rules out yet.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode, Uri},
};
use domain::{AlertAction, AlertRule, Project, Scope};
use runtime::{Answer, json};
use serde_json::{Value, json};

use crate::{Context, auth::PROJECT_READ, cursor::Paging, projects::project_at};

const ALERTS_READ: [Scope; 2] = [Scope::AlertsRead, Scope::AlertsWrite];

/// `GET /projects/{organization}/{project}/rules/`
pub(crate) async fn list(
    State(context): State<Arc<Context>>,
    Path((organization, project)): Path<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    let named = (organization.as_str(), project.as_str());
    let scopes = [&PROJECT_READ[..], &ALERTS_READ].concat();
    let found = project_at(&context, &headers, named, &uri, &scopes).await?;
    let paging = Paging::of(&uri)?;
    let rules = context
        .store
        .alert_rules(found.project.id, paging.skip, paging.limit);
    let page = rules.await?;
    let rows = page.rows.iter().map(|row| rule(&found.project, row));
    let body = json(StatusCode::OK, &rows.collect::<Vec<_>>());
    Ok(paging.link(&context, page.more, body))
}

fn rule(project: &Project, rule: &AlertRule) -> Value {
    let conditions = rule.conditions.iter();
    let conditions = conditions.map(|condition| json!({ "id": condition.as_str() }));
    let actions = rule.actions.iter().map(|action| match action {
        AlertAction::MailOwners => json!({
            "id": "sentry.mail.actions.NotifyEmailAction",
            "targetType": "IssueOwners",
            "fallthroughType": "ActiveMembers",
        }),
    });
    json!({
        "id": rule.id,
        "name": rule.name,
        "conditions": conditions.collect::<Vec<_>>(),
        "filters": [],
        "actions": actions.collect::<Vec<_>>(),
        "actionMatch": "any",
        "filterMatch": "all",
        "frequency": rule.frequency,
        "environment": null,
        "owner": null,
        "createdBy": null,
        "status": "active",
        "projects": [project.slug],
        "dateCreated": rule.created.to_string(),
    })
}
