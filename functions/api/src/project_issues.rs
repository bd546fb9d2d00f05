//! The issues of a project: listed, and many changed at once.
//!
//! What is looked through are the issues that were seen last, up to [`MOST`] of them.

use std::sync::Arc;

use axum::{
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, Uri},
    response::IntoResponse,
};
use domain::{Fault, GroupId, GroupStatus, Project, Timestamp};
use runtime::{Answer, json, trace_of};
use serde_json::json;
use store::GroupView;

use crate::{
    Context,
    auth::{ISSUE_READ, ISSUE_WRITE, Seat},
    body::{self, MAX_BODY},
    cursor::{Paging, parameter, parameters},
    issue_update::set_status,
    issues,
    projects::project_at,
};

/// How many issues are looked through.
const MOST: usize = 1_000;
/// How many of them are found with one request.
const AT_ONCE: u16 = 200;

/// Which issues are wanted: all that a query says has to hold.
#[derive(Debug, Default)]
struct Wanted {
    terms: Vec<Term>,
}

#[derive(Debug, PartialEq, Eq)]
enum Term {
    Status(GroupStatus),
    Assigned(bool),
    /// In title or culprit, in small letters.
    Text(String),
}

impl Wanted {
    fn parse(query: &str) -> Result<Self, Fault> {
        let terms = query.split_whitespace().map(Term::parse);
        let terms = terms.collect::<Result<_, _>>()?;
        Ok(Self { terms })
    }

    fn admits(&self, view: &GroupView) -> bool {
        let (group, state) = (&view.group, &view.state);
        let has = |text: &String| {
            let culprit = group.culprit.as_deref().unwrap_or_default();
            let texts = [group.title.as_str(), culprit];
            texts.iter().any(|it| it.to_lowercase().contains(text))
        };
        self.terms.iter().all(|term| match term {
            Term::Status(status) => state.status == *status,
            Term::Assigned(assigned) => state.assignee.is_some() == *assigned,
            Term::Text(text) => has(text),
        })
    }
}

impl Term {
    fn parse(word: &str) -> Result<Self, Fault> {
        match word.split_once(':') {
            None => Ok(Self::Text(word.trim_matches('"').to_lowercase())),
            Some(("is", "assigned")) => Ok(Self::Assigned(true)),
            Some(("is", "unassigned")) => Ok(Self::Assigned(false)),
            Some(("is", text)) => {
                let unknown = || Fault::detail(format!("Invalid value for \"is\": \"{text}\"."));
                status(text).map(Self::Status).ok_or_else(unknown)
            }
            Some((key, _)) => {
                let text = format!("Issues cannot be searched by \"{key}\" here.");
                Err(Fault::detail(text))
            }
        }
    }
}

fn status(text: &str) -> Option<GroupStatus> {
    match text {
        "unresolved" => Some(GroupStatus::Unresolved),
        "resolved" => Some(GroupStatus::Resolved),
        "ignored" | "muted" | "archived" => Some(GroupStatus::Ignored),
        _ => None,
    }
}

/// `GET /projects/{organization}/{project}/issues/`, what was seen last first; `query` is `is:unresolved` where
/// it is left out.
pub(crate) async fn list(
    State(context): State<Arc<Context>>,
    Path((organization, project)): Path<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    let named = (organization.as_str(), project.as_str());
    let found = project_at(&context, &headers, named, &uri, &ISSUE_READ).await?;
    let query = parameter(&uri, "query");
    let wanted = Wanted::parse(query.as_deref().unwrap_or("is:unresolved"))?;
    let paging = Paging::of(&uri)?;
    let views = seen_last(&context, &found.project, &wanted).await?;
    let more = views.len() > paging.skip + paging.limit;
    let page = views.iter().skip(paging.skip).take(paging.limit);
    let mut rows = Vec::new();
    for view in page {
        rows.push(issues::in_list(&context, &found.seat, view, &found.project).await?);
    }
    Ok(paging.link(&context, more, json(StatusCode::OK, &rows)))
}

/// `PUT /projects/{organization}/{project}/issues/`: the status of those that `id` names, or that are of a `status`, or
/// of all.
pub(crate) async fn update(
    State(context): State<Arc<Context>>,
    Path((organization, project)): Path<(String, String)>,
    request: Request,
) -> Answer {
    let trace = trace_of(&request);
    let (parts, body) = request.into_parts();
    let (named, uri) = ((organization.as_str(), project.as_str()), &parts.uri);
    let found = project_at(&context, &parts.headers, named, uri, &ISSUE_WRITE).await?;
    let body = body::bytes(&parts.headers, body, MAX_BODY).await?;
    let views = chosen(&context, &found.project, uri).await?;
    if views.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let (seat, project): (&Seat, &Project) = (&found.seat, &found.project);
    set_status(&context, seat, project, views, &body, &trace).await?;
    Ok(json(StatusCode::OK, &json!({ "statusDetails": {} })))
}

async fn chosen(context: &Context, project: &Project, uri: &Uri) -> Result<Vec<GroupView>, Fault> {
    let ids = parameters(uri, "id");
    if !ids.is_empty() {
        let ids: Vec<GroupId> = ids.iter().filter_map(|id| id.parse().ok()).collect();
        let mut views = context.store.groups(&ids).await?;
        views.retain(|view| view.state.project == project.id);
        return Ok(views);
    }
    let mut wanted = Wanted::default();
    if let Some(text) = parameter(uri, "status").filter(|text| !text.is_empty()) {
        let unknown = || Fault::field("status", format!("\"{text}\" is not a valid choice."));
        wanted
            .terms
            .push(Term::Status(status(&text).ok_or_else(unknown)?));
    }
    seen_last(context, project, &wanted).await
}

/// Those of the issues that were seen last that are wanted.
async fn seen_last(
    context: &Context,
    project: &Project,
    wanted: &Wanted,
) -> Result<Vec<GroupView>, Fault> {
    let (store, always) = (&context.store, Timestamp::from_millis(0));
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = store.groups_seen_since(project.id, always, after, AT_ONCE);
        let page = page.await?;
        ids.extend(page.groups);
        match page.next {
            Some(next) if ids.len() < MOST => after = Some(next),
            Some(_) | None => break,
        }
    }
    ids.truncate(MOST);
    let mut views = store.groups(&ids).await?;
    views.retain(|view| wanted.admits(view));
    Ok(views)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_states_and_words_and_nothing_else() {
        let wanted = Wanted::parse("is:unresolved  is:assigned \"Oops\"").unwrap();
        let terms = [
            Term::Status(GroupStatus::Unresolved),
            Term::Assigned(true),
            Term::Text("oops".into()),
        ];
        assert_eq!(wanted.terms, terms);
        assert!(Wanted::parse("").unwrap().terms.is_empty());
        for bad in ["is:open", "level:error"] {
            assert!(Wanted::parse(bad).is_err(), "{bad}");
        }
    }
}
