//! The issues of a project or an organization: listed, and many of a project changed at once.
//!
//! What is looked through are the issues that were seen last, up to [`MOST`] of them.

use std::{cmp::Reverse, sync::Arc};

use axum::{
    extract::{Path, Query, Request, State},
    http::{HeaderMap, StatusCode, Uri},
    response::IntoResponse,
};
use domain::{Fault, GroupId, GroupStatus, Project, Timestamp};
use runtime::{Answer, json, trace_of};
use serde_json::json;
use store::GroupView;

use crate::{
    Context,
    auth::{ISSUE_READ, ISSUE_WRITE, Seat, caller_with},
    body::{self, MAX_BODY},
    cursor::{Paging, parameter, parameters},
    issue_update::set_status,
    issues,
    projects::project_at,
    releases::{Pairs, patiently, period, wanted_projects},
};

/// How many issues are looked through.
const MOST: usize = 1_000;
/// How many of them are found with one request.
const AT_ONCE: u16 = 200;
/// How many projects are looked through together.
const MOST_PROJECTS: usize = 40;
/// More projects than an organization has.
const ALL_PROJECTS: usize = 10_000;

/// Before anything was seen.
const ALWAYS: Timestamp = Timestamp::from_millis(0);

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
    /// What the parameter `query` says.
    fn of(uri: &Uri) -> Result<Self, Fault> {
        let query = parameter(uri, "query");
        Self::parse(query.as_deref().unwrap_or("is:unresolved"))
    }

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
    patiently(|| async {
        let found = project_at(&context, &headers, named, &uri, &ISSUE_READ).await?;
        let wanted = Wanted::of(&uri)?;
        let paging = Paging::of(&uri)?;
        let views = seen_last(&context, &found.project, &wanted, ALWAYS, MOST).await?;
        let more = views.len() > paging.skip + paging.limit;
        let page = views.iter().skip(paging.skip).take(paging.limit);
        let mut rows = Vec::new();
        for view in page {
            rows.push(issues::in_list(&context, &found.seat, view, &found.project).await?);
        }
        Ok(paging.link(&context, more, json(StatusCode::OK, &rows)))
    })
    .await
}

/// `GET /organizations/{organization}/issues/`: of the projects that `project` names, or of all; like a project's, and
/// of a period.
pub(crate) async fn list_of_organization(
    State(context): State<Arc<Context>>,
    Path(organization): Path<String>,
    Query(pairs): Query<Pairs>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    patiently(|| async {
        let caller = caller_with(&context, &headers, &ISSUE_READ).await?;
        let seat = caller.seat_at(&context, &organization).await?;
        let wanted = Wanted::of(&uri)?;
        let paging = Paging::with_limit(&uri)?;
        check_order(&uri)?;
        let (from, to) = period(&context, &pairs)?;
        let known = context
            .store
            .projects(seat.organization.id, 0, ALL_PROJECTS)
            .await?;
        let active: Vec<_> = known.rows.into_iter().filter(Project::is_active).collect();
        let named = match wanted_projects(&pairs, &active)? {
            Ok(named) => named,
            Err(answer) => return Ok(answer),
        };
        let projects: Vec<_> = active
            .iter()
            .filter(|project| named.contains(&project.id))
            .collect();
        if projects.len() > MOST_PROJECTS {
            let text =
                format!("Name at most {MOST_PROJECTS} projects by their ids, as project=...");
            return Err(Fault::detail(text).into());
        }
        let most = MOST / projects.len().max(1);
        let since = from.unwrap_or(ALWAYS);
        let mut found = Vec::new();
        for project in projects {
            let views = seen_last(&context, project, &wanted, since, most).await?;
            found.extend(views.into_iter().map(|view| (project, view)));
        }
        found.retain(|(_, view)| to.is_none_or(|to| view.stats.last_seen <= to));
        found.sort_by_key(|(_, view)| Reverse((view.stats.last_seen, view.group.id)));
        let more = found.len() > paging.skip + paging.limit;
        let page = found.iter().skip(paging.skip).take(paging.limit);
        let mut rows = Vec::new();
        for (project, view) in page {
            rows.push(issues::in_list(&context, &seat, view, project).await?);
        }
        Ok(paging.link(&context, more, json(StatusCode::OK, &rows)))
    })
    .await
}

/// What was seen last comes first; what asks for something else is refused.
fn check_order(uri: &Uri) -> Result<(), Fault> {
    match parameter(uri, "sort").as_deref() {
        None | Some("" | "date") => {}
        Some(other) => {
            let text = format!("Issues cannot be sorted by \"{other}\" here.");
            return Err(Fault::detail(text));
        }
    }
    match parameter(uri, "environment") {
        None => Ok(()),
        Some(_) => Err(Fault::detail(
            "Issues cannot be searched by environment here.",
        )),
    }
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
    let body = body::bytes(&parts.headers, body, MAX_BODY).await?;
    // sentry-cli tries once; and what was set before is not set again.
    patiently(|| async {
        let found = project_at(&context, &parts.headers, named, uri, &ISSUE_WRITE).await?;
        let views = chosen(&context, &found.project, uri).await?;
        if views.is_empty() {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        let (seat, project): (&Seat, &Project) = (&found.seat, &found.project);
        set_status(&context, seat, project, views, &body, &trace).await?;
        Ok(json(StatusCode::OK, &json!({ "statusDetails": {} })))
    })
    .await
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
    seen_last(context, project, &wanted, ALWAYS, MOST).await
}

/// Of the issues that were seen last, and not before `since`, those that are wanted; `most` are looked through.
async fn seen_last(
    context: &Context,
    project: &Project,
    wanted: &Wanted,
    since: Timestamp,
    most: usize,
) -> Result<Vec<GroupView>, Fault> {
    let store = &context.store;
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = store.groups_seen_since(project.id, since, after, AT_ONCE);
        let page = page.await?;
        ids.extend(page.groups);
        match page.next {
            Some(next) if ids.len() < most => after = Some(next),
            Some(_) | None => break,
        }
    }
    ids.truncate(most);
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
