//! `PUT` of an issue: who works on it, whether it is done, and whether the caller wants to hear of it.
//!
//! The whole request is read and checked before anything of it is written. Status comes first, then the
//! assignee, each in a transaction of its own; repeating the request changes nothing more.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, Request, State},
};
use domain::{
    Actor, ApiOrigin, Assignment, Decision, Existing, Facet, Fault, GroupState, GroupStatus,
    Member, MessageId, Origin, Project, Release, ReleaseStatus, Resolution, StatusWish, Substatus,
    TraceId, UserId, Version,
};
use runtime::{Answer, record_outcome, trace_of};
use serde_json::{Map, Value};
use store::{Cause, GroupView};

use crate::{
    Context,
    auth::{ISSUE_WRITE, Seat},
    body::{self, MAX_BODY},
    issues::{find, show_group},
};

/// What the body asks for; what it leaves out stays.
#[derive(Debug, Default)]
struct Update {
    status: Option<StatusWord>,
    /// `Some(None)`: nobody.
    assignee: Option<Option<AssigneeWord>>,
    subscribed: Option<bool>,
}

#[derive(Debug, Clone)]
struct StatusWord {
    status: GroupStatus,
    substatus: Option<Substatus>,
    /// In which release it is resolved; `None`: nobody said.
    release: Option<ReleaseWord>,
}

/// The ways to name a release that an issue is resolved in.
#[derive(Debug, Clone)]
enum ReleaseWord {
    /// The one that follows the newest.
    Next,
    /// The newest.
    Latest,
    /// The one with this version.
    Version(Version),
}

/// The ways to name an assignee.
#[derive(Debug)]
enum AssigneeWord {
    Actor(Actor),
    Email(domain::Email),
}

/// `PUT /issues/{issue}/`
pub(crate) async fn update(
    State(context): State<Arc<Context>>,
    Path(issue): Path<String>,
    request: Request,
) -> Answer {
    put(&context, None, &issue, request).await
}

/// `PUT /organizations/{organization}/issues/{issue}/`, which takes short ids too.
pub(crate) async fn update_in(
    State(context): State<Arc<Context>>,
    Path((organization, issue)): Path<(String, String)>,
    request: Request,
) -> Answer {
    put(&context, Some(&organization), &issue, request).await
}

async fn put(
    context: &Context,
    organization: Option<&str>,
    issue: &str,
    request: Request,
) -> Answer {
    let trace = trace_of(&request);
    let (parts, body) = request.into_parts();
    let mut found = find(context, &parts.headers, organization, issue, &ISSUE_WRITE).await?;
    let body = body::bytes(&parts.headers, body, MAX_BODY).await?;
    let update = Update::parse(&fields(&body)?)?;
    let of = (&found.seat, &found.view, &found.project);
    carry_out(context, of, &update, &trace).await?;
    let view = context.store.group(found.view.group.id).await?;
    found.view = view.ok_or_else(Fault::not_found)?;
    show_group(context, &found).await
}

fn fields(body: &Bytes) -> Result<Map<String, Value>, Fault> {
    match body::json(body)? {
        Value::Object(fields) => Ok(fields),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(Fault::detail("Invalid data. Expected a dictionary."))
        }
    }
}

/// Sets the status of issues, whatever else the body says.
pub(crate) async fn set_status(
    context: &Context,
    seat: &Seat,
    project: &Project,
    views: Vec<GroupView>,
    body: &Bytes,
    trace: &TraceId,
) -> Result<(), Fault> {
    let update = Update {
        status: Update::parse(&fields(body)?)?.status,
        ..Update::default()
    };
    for view in &views {
        carry_out(context, (seat, view, project), &update, trace).await?;
    }
    Ok(())
}

/// The whole of an update of one issue, which is repeated without harm.
async fn carry_out(
    context: &Context,
    (seat, view, project): (&Seat, &GroupView, &Project),
    update: &Update,
    trace: &TraceId,
) -> Result<(), Fault> {
    let resolves = update.status.as_ref().map(|word| word.status) == Some(GroupStatus::Resolved);
    let assignment = match &update.assignee {
        Some(Some(word)) => Some(Some(eligible(context, seat, view, project, word).await?)),
        Some(None) => Some(None),
        None if resolves => own(context, seat, view, project).await?.map(Some),
        None => None,
    };

    let resolution = match update
        .status
        .as_ref()
        .and_then(|word| word.release.as_ref())
    {
        Some(word) => Some(resolution(context, seat, project, word).await?),
        None => None,
    };

    let change = Change::new(context, seat, trace.clone());
    if let Some(word) = &update.status {
        let wish = StatusWish {
            status: word.status,
            substatus: word.substatus,
            resolution,
            acting_user: seat.user(),
        };
        let decide = |state: &GroupState| domain::set_status(state, &wish, &change.origin);
        change.commit(context, view, Facet::Status, decide).await?;
    }
    if let Some(assignment) = assignment {
        let decide = |state: &GroupState| match &assignment {
            Some(assignment) => domain::assign(state, assignment, &change.origin),
            None => domain::clear_assignee(state, seat.user(), &change.origin),
        };
        change
            .commit(context, view, Facet::Assignee, decide)
            .await?;
    }
    if let (Some(subscribed), Some(user)) = (update.subscribed, seat.user()) {
        let now = context.clock.now();
        let group = view.group.id;
        context
            .store
            .choose_subscription(group, user, subscribed, now)
            .await?;
    }
    Ok(())
}

/// What both parts of an update have in common.
struct Change {
    origin: Origin,
    trace: TraceId,
}

impl Change {
    fn new(context: &Context, seat: &Seat, trace: TraceId) -> Self {
        let origin = Origin::Api(ApiOrigin {
            user: seat.user(),
            request: MessageId::new(context.clock.now(), rand::random()),
        });
        Self { origin, trace }
    }

    async fn commit(
        &self,
        context: &Context,
        view: &GroupView,
        facet: Facet,
        decide: impl Fn(&GroupState) -> Decision,
    ) -> Result<(), Fault> {
        let cause = Cause {
            origin: &self.origin,
            facet,
            rule: None,
            handed_over: false,
            trace: &self.trace,
            now: context.clock.now(),
        };
        let state = Some(view.state.clone());
        let decision = context.store.change_group(state, decide, &cause).await?;
        record_outcome(decision.ok_or_else(Fault::not_found)?.outcome);
        Ok(())
    }
}

impl Update {
    fn parse(fields: &Map<String, Value>) -> Result<Self, Fault> {
        Ok(Self {
            status: status(fields)?,
            assignee: fields.get("assignedTo").map(assignee).transpose()?,
            subscribed: match fields.get("isSubscribed") {
                None | Some(Value::Null) => None,
                Some(Value::Bool(subscribed)) => Some(*subscribed),
                Some(_) => return Err(Fault::field("isSubscribed", "Must be a valid boolean.")),
            },
        })
    }
}

fn status(fields: &Map<String, Value>) -> Result<Option<StatusWord>, Fault> {
    let text = |name: &str| match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(other) => Err(Fault::field(
            name,
            format!("\"{other}\" is not a valid choice."),
        )),
    };
    let substatus = match text("substatus")? {
        None => None,
        Some(word) => {
            let invalid =
                |_| Fault::field("substatus", format!("\"{word}\" is not a valid choice."));
            Some(word.parse::<Substatus>().map_err(invalid)?)
        }
    };
    let mut release = None;
    let status = match text("status")? {
        Some("resolved") => {
            release = release_word(fields)?;
            GroupStatus::Resolved
        }
        Some("resolvedInNextRelease") => {
            release = Some(ReleaseWord::Next);
            GroupStatus::Resolved
        }
        Some("unresolved") => GroupStatus::Unresolved,
        Some("ignored" | "muted") => GroupStatus::Ignored,
        Some(other) => {
            let text = format!("\"{other}\" is not a valid choice.");
            return Err(Fault::field("status", text));
        }
        // A substatus alone says the status as well.
        None => match substatus {
            Some(substatus) => substatus.status(),
            None => return Ok(None),
        },
    };
    match substatus {
        Some(substatus) if substatus.status() != status => {
            let text = format!(
                "\"{}\" is not a valid substatus of \"{}\".",
                substatus.as_str(),
                status.as_str()
            );
            Err(Fault::field("substatus", text))
        }
        Some(_) => Ok(Some(StatusWord {
            status,
            substatus,
            release,
        })),
        None => Ok(Some(StatusWord {
            status,
            substatus: status.substatus(),
            release,
        })),
    }
}

/// The release that `statusDetails` names, if it names one. What cannot be done is refused, and not left out.
fn release_word(fields: &Map<String, Value>) -> Result<Option<ReleaseWord>, Fault> {
    let details = fields.get("statusDetails").and_then(Value::as_object);
    let Some((name, value)) = details.and_then(|details| details.iter().next()) else {
        return Ok(None);
    };
    let word = match (name.as_str(), value) {
        ("inNextRelease", Value::Bool(true)) => ReleaseWord::Next,
        ("inNextRelease", Value::Bool(false) | Value::Null) | ("inRelease", Value::Null) => {
            return Ok(None);
        }
        ("inRelease", Value::String(text)) if text == "latest" => ReleaseWord::Latest,
        ("inRelease", Value::String(text)) => {
            let version = text.parse().map_err(|_| unknown_release())?;
            ReleaseWord::Version(version)
        }
        ("inCommit", _) => {
            let text = "inCommit: name the issue in the commit's message, like Fixes WEB-1.";
            return Err(Fault::field("statusDetails", text));
        }
        (other, _) => {
            let text = format!("{other}: nothing can be resolved by this.");
            return Err(Fault::field("statusDetails", text));
        }
    };
    Ok(Some(word))
}

fn unknown_release() -> Fault {
    let text = "inRelease: the project has no release with this version.";
    Fault::field("statusDetails", text)
}

/// The release by which the issue is to be resolved.
async fn resolution(
    context: &Context,
    seat: &Seat,
    project: &Project,
    word: &ReleaseWord,
) -> Result<Resolution, Fault> {
    let (store, actor) = (&context.store, seat.user());
    let newest = async |name: &str| {
        let open = |release: &Release| release.status == ReleaseStatus::Open;
        let newest = store.newest_release(project, open).await?;
        newest.ok_or_else(|| {
            let text = format!("{name}: there is no release data to resolve by.");
            Fault::field("statusDetails", text)
        })
    };
    Ok(match word {
        ReleaseWord::Next => Resolution::in_next_release(&newest("inNextRelease").await?, actor),
        ReleaseWord::Latest => Resolution::in_release(&newest("inRelease").await?, actor),
        ReleaseWord::Version(version) => {
            let release = store.release(project.organization, version).await?;
            let release = release.filter(|release| release.projects.contains(&project.id));
            Resolution::in_release(&release.ok_or_else(unknown_release)?, actor)
        }
    })
}

/// `user:71`, `71`, `team:5`, an address; nobody for null and the empty text.
fn assignee(value: &Value) -> Result<Option<AssigneeWord>, Fault> {
    let text = match value {
        Value::Null => return Ok(None),
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => return Err(unknown_actor()),
    };
    if text.is_empty() {
        return Ok(None);
    }
    if let Ok(user) = text.parse::<UserId>() {
        return Ok(Some(AssigneeWord::Actor(Actor::User(user))));
    }
    if let Ok(actor) = Actor::try_from(text.clone()) {
        return Ok(Some(AssigneeWord::Actor(actor)));
    }
    let email = text.parse().map_err(|_| unknown_actor())?;
    Ok(Some(AssigneeWord::Email(email)))
}

fn unknown_actor() -> Fault {
    let text = "Unknown actor input. Use user:<id>, team:<id>, a user's id or a primary address.";
    Fault::field("assignedTo", text)
}

/// The assignment, if whoever it names has access to the group's project.
async fn eligible(
    context: &Context,
    seat: &Seat,
    view: &GroupView,
    project: &Project,
    word: &AssigneeWord,
) -> Result<Assignment, Fault> {
    let store = &context.store;
    let organization = view.state.organization;
    let user = match word {
        AssigneeWord::Email(email) => store.user_by_email(email).await?,
        AssigneeWord::Actor(Actor::User(id)) => store.user(*id).await?,
        AssigneeWord::Actor(Actor::Team(id)) => {
            let teams = store.teams(organization, &[*id]).await?;
            if teams.is_empty() {
                return Err(unknown_actor());
            }
            if !project.teams.contains(id) {
                let text = "Cannot assign to a team without access to the project.";
                return Err(Fault::field("assignedTo", text));
            }
            return Ok(Assignment {
                actor: Actor::Team(*id),
                email: None,
                acting_user: seat.user(),
                existing: Existing::Replace,
                leaves: leaves(context, view, |member| member.teams.contains(id)).await?,
            });
        }
    };
    let user = user.filter(|user| user.active).ok_or_else(unknown_actor)?;
    let member = store.member(organization, user.id).await?;
    if !member.is_some_and(|member| project.admits(&member)) {
        let text = "Cannot assign to a user who is in no team of the project.";
        return Err(Fault::field("assignedTo", text));
    }
    Ok(Assignment {
        actor: Actor::User(user.id),
        email: Some(user.email),
        acting_user: seat.user(),
        existing: Existing::Replace,
        leaves: None,
    })
}

/// The assignment of an issue that nobody has to whoever resolves it, if that is what they want.
async fn own(
    context: &Context,
    seat: &Seat,
    view: &GroupView,
    project: &Project,
) -> Result<Option<Assignment>, Fault> {
    let admitted = |member: &&Member| project.admits(member);
    let Some(member) = seat.member.as_ref().filter(admitted) else {
        return Ok(None);
    };
    if view.state.assignee.is_some() {
        return Ok(None);
    }
    let user = context.store.user(member.user).await?;
    let user = user.filter(|user| user.active && user.self_assign_issue);
    Ok(user.map(|user| Assignment {
        actor: Actor::User(user.id),
        email: Some(user.email),
        acting_user: Some(user.id),
        existing: Existing::Keep,
        leaves: None,
    }))
}

/// The present assignee, if it is a person of whom `stays` does not hold.
async fn leaves(
    context: &Context,
    view: &GroupView,
    stays: impl Fn(&Member) -> bool,
) -> Result<Option<UserId>, Fault> {
    let Some(Actor::User(user)) = view.state.assignee else {
        return Ok(None);
    };
    let member = context.store.member(view.state.organization, user).await?;
    Ok((!member.is_some_and(|member| stays(&member))).then_some(user))
}
