//! Issues, as clients call groups, and their activity.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};
use domain::{
    Activity, ActivityKind, Actor, CodeChange, CodeOrigin, CommitRef, Fault, GroupId, Origin,
    Project, PullRequestRef, Resolution, Scope, Subscribers, Subscription, SubscriptionReason,
    Substatus, TeamHearing, User, UserId,
};
use runtime::{Answer, HttpFault, json};
use serde_json::{Value, json};
use store::GroupView;

use crate::{
    Context,
    auth::{ISSUE_READ, Seat, caller_while, caller_with},
    cursor::Paging,
    is_id, no_such,
    releases::patiently,
};

/// How many of those who hear of an issue are shown.
const MOST_PARTICIPANTS: usize = 1_000;

/// `GET /issues/{issue}/`
pub(crate) async fn show(
    State(context): State<Arc<Context>>,
    Path(issue): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let found = find(&context, &headers, None, &issue, &ISSUE_READ).await?;
    show_all(&context, &found).await
}

/// `GET /organizations/{organization}/issues/{issue}/`, which takes short ids too.
pub(crate) async fn show_in(
    State(context): State<Arc<Context>>,
    Path((organization, issue)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let found = find(&context, &headers, Some(&organization), &issue, &ISSUE_READ).await?;
    show_all(&context, &found).await
}

/// `GET /organizations/{organization}/shortids/{short id}/`: the issue, and of which project it is.
pub(crate) async fn show_by_short_id(
    State(context): State<Arc<Context>>,
    Path((organization, issue)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    patiently(|| async {
        if is_id(&issue) {
            return Err(Fault::not_found().into());
        }
        let named = Some(organization.as_str());
        let found = find(&context, &headers, named, &issue, &ISSUE_READ).await?;
        let body = json!({
            "organizationSlug": found.seat.organization.slug,
            "projectSlug": found.project.slug,
            "groupId": found.view.group.id,
            "shortId": found.view.group.short_id(&found.project.slug),
            "group": whole(&context, &found).await?,
        });
        Ok(json(StatusCode::OK, &body))
    })
    .await
}

/// `GET /issues/{issue}/activities/`
pub(crate) async fn activities(
    State(context): State<Arc<Context>>,
    Path(issue): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    let found = find(&context, &headers, None, &issue, &ISSUE_READ).await?;
    list_activities(&context, &uri, found.view.group.id).await
}

/// `GET /organizations/{organization}/issues/{issue}/activities/`
pub(crate) async fn activities_in(
    State(context): State<Arc<Context>>,
    Path((organization, issue)): Path<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    let found = find(&context, &headers, Some(&organization), &issue, &ISSUE_READ).await?;
    list_activities(&context, &uri, found.view.group.id).await
}

/// An issue, and where the caller sees it from.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) seat: Seat,
    pub(crate) view: GroupView,
    pub(crate) project: Project,
}

/// The group, if the caller has one of the scopes and can see its organization. It goes with its project.
pub(crate) async fn find(
    context: &Context,
    headers: &HeaderMap,
    organization: Option<&str>,
    issue: &str,
    scopes: &[Scope],
) -> Result<Found, Fault> {
    let (seat, view, project) = match organization {
        None => {
            let view = by_id(context, issue);
            let (caller, view) = caller_while(context, headers, scopes, view).await?;
            let project = async { Ok(context.store.project(view.state.project).await?) };
            let seat = caller.seat_in(context, view.state.organization);
            let (seat, project) = tokio::try_join!(seat, project)?;
            (seat, view, project)
        }
        Some(segment) => {
            let caller = caller_with(context, headers, scopes).await?;
            let seat = caller.seat_at(context, segment).await?;
            let view = match is_id(issue) {
                true => by_id(context, issue).await?,
                false => by_short_id(context, &seat, issue).await?,
            };
            if view.state.organization != seat.organization.id {
                return Err(Fault::not_found());
            }
            let project = context.store.project(view.state.project).await?;
            (seat, view, project)
        }
    };
    let project = project.filter(Project::is_active);
    Ok(Found {
        seat,
        view,
        project: project.ok_or_else(Fault::not_found)?,
    })
}

async fn by_id(context: &Context, id: &str) -> Result<GroupView, Fault> {
    let id: GroupId = id.parse().map_err(no_such)?;
    context.store.group(id).await?.ok_or_else(Fault::not_found)
}

async fn by_short_id(context: &Context, seat: &Seat, id: &str) -> Result<GroupView, Fault> {
    let id = id.parse().map_err(no_such)?;
    let found = context
        .store
        .group_by_short_id(seat.organization.id, &id)
        .await?;
    let found = context
        .store
        .group(found.ok_or_else(Fault::not_found)?)
        .await?;
    found.ok_or_else(Fault::not_found)
}

async fn show_all(context: &Context, found: &Found) -> Answer {
    Ok(json(StatusCode::OK, &whole(context, found).await?))
}

/// An issue with all who hear of it.
async fn whole(context: &Context, found: &Found) -> Result<Value, Fault> {
    let Found { seat, view, .. } = found;
    let (store, state) = (&context.store, &view.state);
    let (organization, hearing) = (seat.organization.id, seat.organization.team_hearing());
    let members = async {
        match (state.assignee, hearing) {
            (Some(Actor::Team(team)), TeamHearing::Members) => {
                let mut members = store.all_members(organization).await?;
                members.retain(|member| member.teams.contains(&team));
                Ok(members.iter().map(|member| member.user).collect())
            }
            (Some(_) | None, _) => Ok(Vec::new()),
        }
    };
    let (assignee, subscribers, members) = tokio::try_join!(
        assignee(context, seat, state.assignee),
        async { Ok::<_, Fault>(store.subscribers(state.group).await?) },
        members,
    )?;
    let people = subscribers.people(state, &members, hearing).into_iter();
    let people: Vec<_> = people.take(MOST_PARTICIPANTS).collect();
    let people = store.members_with_ids(organization, &people).await?;
    let people = people.iter().filter(|(_, user)| user.active);
    let mut participants: Vec<_> = people.map(|(_, user)| typed_person(user)).collect();
    if matches!(
        (state.assignee, hearing),
        (Some(Actor::Team(_)), TeamHearing::AsOne)
    ) {
        participants.push(assignee.clone());
    }
    let mut body = show_to(context, found, assignee, &subscribers);
    body["participants"] = participants.into();
    Ok(body)
}

/// An issue as it is now, and whether the caller hears of it.
pub(crate) async fn show_anew(context: &Context, found: Found) -> Answer {
    let (store, group) = (&context.store, found.view.group.id);
    let subscription = async {
        match found.seat.user() {
            Some(user) => store.subscription(group, user).await,
            None => Ok(Subscribers::default()),
        }
    };
    let (view, subscription) = tokio::try_join!(store.group(group), subscription)?;
    let view = view.ok_or_else(Fault::not_found)?;
    let found = Found { view, ..found };
    let assignee = assignee(context, &found.seat, found.view.state.assignee).await?;
    let body = show_to(context, &found, assignee, &subscription);
    Ok(json(StatusCode::OK, &body))
}

fn show_to(context: &Context, found: &Found, assignee: Value, subscribers: &Subscribers) -> Value {
    let Found {
        seat,
        view,
        project,
    } = found;
    let mut body = issue(context, seat, view, project, assignee);
    let hearing = seat.organization.team_hearing();
    let subscription = seat
        .member
        .as_ref()
        .and_then(|member| subscribers.of(&view.state, member.user, &member.teams, hearing));
    // What somebody chose themselves has no reason that clients know.
    let reason = |it: &Subscription| it.reason.map_or("unknown", SubscriptionReason::as_str);
    let active = subscription.filter(|subscription| subscription.active);
    body["isSubscribed"] = active.is_some().into();
    body["subscriptionDetails"] = match &active {
        Some(subscription) => json!({ "reason": reason(subscription) }),
        None => Value::Null,
    };
    body
}

/// An issue as lists show it: without who hears of it.
pub(crate) async fn in_list(
    context: &Context,
    seat: &Seat,
    view: &GroupView,
    project: &Project,
) -> Result<Value, Fault> {
    let assignee = assignee(context, seat, view.state.assignee).await?;
    Ok(issue(context, seat, view, project, assignee))
}

async fn assignee(context: &Context, seat: &Seat, actor: Option<Actor>) -> Result<Value, Fault> {
    Ok(match actor {
        None => Value::Null,
        Some(Actor::User(id)) => {
            let user = context.store.user(id).await?;
            let name = user.as_ref().map(|user| user.name.as_str());
            let email = user.as_ref().map(|user| user.email.as_str());
            json!({ "type": "user", "id": id, "name": name, "email": email })
        }
        Some(Actor::Team(id)) => {
            let teams = context.store.teams(seat.organization.id, &[id]).await?;
            let slug = teams.first().map(|team| team.slug.as_str());
            json!({ "type": "team", "id": id, "name": slug })
        }
    })
}

fn issue(
    context: &Context,
    seat: &Seat,
    view: &GroupView,
    project: &Project,
    assignee: Value,
) -> Value {
    let (group, state, stats) = (&view.group, &view.state, &view.stats);
    let (url, slug) = (&context.public_url, &seat.organization.slug);
    json!({
        "id": group.id,
        "shortId": group.short_id(&project.slug),
        "title": group.title,
        "culprit": group.culprit.as_deref().unwrap_or_default(),
        "permalink": format!("{url}/organizations/{slug}/issues/{}/", group.id),
        "level": group.level,
        "logger": null,
        "platform": group.platform,
        "type": "default",
        "metadata": { "title": group.title },
        "status": state.status.as_str(),
        "substatus": state.substatus.map(Substatus::as_str),
        "statusDetails": status_details(state.resolution.as_ref()),
        "isPublic": false,
        "project": {
            "id": project.id,
            "slug": project.slug,
            "name": project.name,
            "platform": project.platform,
        },
        "assignedTo": assignee,
        "count": stats.times_seen.to_string(),
        "userCount": 0,
        "firstSeen": stats.first_seen.to_string(),
        "lastSeen": stats.last_seen.to_string(),
        "numComments": 0,
        "annotations": [],
    })
}

/// By what an issue is resolved, as far as that is known.
fn status_details(resolution: Option<&Resolution>) -> Value {
    match resolution {
        None => json!({}),
        Some(Resolution::Release { version, .. }) => json!({ "inRelease": version }),
        Some(Resolution::NextRelease { .. }) => json!({ "inNextRelease": true }),
        Some(Resolution::Commit { commit, .. }) => json!({ "inCommit": in_repository(commit) }),
    }
}

fn in_repository(commit: &CommitRef) -> Value {
    json!({ "id": commit.sha, "repository": commit.repository })
}

async fn list_activities(
    context: &Context,
    uri: &Uri,
    group: GroupId,
) -> Result<Response, HttpFault> {
    let paging = Paging::of(uri)?;
    let page = context
        .store
        .activities(group, paging.skip, paging.limit)
        .await?;
    let ids: Vec<_> = page.rows.iter().filter_map(|row| row.user).collect();
    let people = context.store.users(&ids).await?;
    let people: BTreeMap<_, _> = people.into_iter().map(|user| (user.id, user)).collect();
    let body: Vec<_> = page.rows.iter().map(|row| activity(row, &people)).collect();
    let answer = json(StatusCode::OK, &json!({ "activity": body }));
    Ok(paging.link(context, page.more, answer))
}

fn activity(activity: &Activity, people: &BTreeMap<UserId, User>) -> Value {
    let mut data = match &activity.kind {
        ActivityKind::Assigned { assignee, email } => {
            let (id, kind) = match assignee {
                Actor::User(id) => (id.to_string(), "user"),
                Actor::Team(id) => (id.to_string(), "team"),
            };
            json!({ "assignee": id, "assigneeEmail": email, "assigneeType": kind })
        }
        ActivityKind::SetIgnored { substatus } => {
            json!({ "substatus": substatus.map(Substatus::as_str) })
        }
        ActivityKind::ReferencedInCommit { commit }
        | ActivityKind::SetResolvedInCommit { commit } => {
            json!({ "commit": in_repository(commit) })
        }
        ActivityKind::SetResolvedInPullRequest { pull_request } => {
            let PullRequestRef { repository, key } = pull_request;
            json!({ "pullRequest": { "id": key, "repository": repository } })
        }
        ActivityKind::SetResolvedInRelease { version } => match version {
            Some(version) => json!({ "version": version }),
            None => json!({ "version": "", "inNextRelease": true }),
        },
        ActivityKind::Unassigned | ActivityKind::SetResolved | ActivityKind::SetUnresolved => {
            json!({})
        }
    };
    match &activity.origin {
        Origin::Tracker(origin) => {
            data["integration"] = origin.provider.as_str().into();
            data["cause"] = json!({
                "delivery": origin.delivery,
                "externalIssue": origin.external_issue,
                "revision": origin.revision.map(|revision| revision.to_string()),
                "author": origin.author,
            });
        }
        Origin::Api(origin) => data["cause"] = json!({ "request": origin.request }),
        Origin::Code(origin) => data["cause"] = code_cause(origin),
    }
    json!({
        "id": activity.id,
        "type": activity.kind.as_str(),
        "user": activity.user.and_then(|id| people.get(&id)).map(person),
        "data": data,
        "dateCreated": activity.at.to_string(),
    })
}

/// The commit or pull request that brought something about, and the release if it was a part of that.
pub(crate) fn code_cause(origin: &CodeOrigin) -> Value {
    let (name, id) = match &origin.change {
        CodeChange::Commit(commit) => ("commit", &commit.sha),
        CodeChange::PullRequest(pull_request) => ("pullRequest", &pull_request.key),
    };
    let mut cause = json!({ "release": origin.release });
    cause[name] = id.as_str().into();
    cause
}

/// A person where a team may stand as well.
fn typed_person(user: &User) -> Value {
    let mut body = person(user);
    body["type"] = "user".into();
    body
}

/// A person as other objects name them.
pub(crate) fn person(user: &User) -> Value {
    json!({ "id": user.id, "name": user.name, "email": user.email })
}
