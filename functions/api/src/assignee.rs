//! Whom a request wants an issue to be assigned to: the ways to say it, and who may be.

use domain::{
    Actor, Assignment, Email, Existing, Fault, Member, OrganizationId, Project, TeamId, User,
    UserId,
};
use serde_json::Value;
use store::{GroupView, Store};

use crate::{Context, auth::Seat};

/// The ways to name an assignee.
#[derive(Debug)]
pub(crate) enum AssigneeWord {
    Actor(Actor),
    /// A primary address or a username.
    Name(String),
}

impl AssigneeWord {
    /// Reads `user:71`, `71`, `team:5`, an address or a username. `None`: nobody, which clients say by null and by
    /// whatever is empty, false or 0.
    pub(crate) fn parse(value: &Value) -> Result<Option<Self>, Fault> {
        let text = match value {
            Value::Null | Value::Bool(false) => return Ok(None),
            Value::Array(list) if list.is_empty() => return Ok(None),
            Value::Object(fields) if fields.is_empty() => return Ok(None),
            Value::Number(number) if number.as_f64() == Some(0.0) => return Ok(None),
            Value::Number(number) => number.to_string(),
            Value::String(text) => text.trim().to_owned(),
            Value::Bool(true) | Value::Array(_) | Value::Object(_) => {
                let text = "Unknown actor input. Use user:<id>, team:<id>, a user's id, \
                            a username or a primary address.";
                return Err(refused(text));
            }
        };
        if text.is_empty() {
            return Ok(None);
        }
        if let Ok(user) = text.parse::<UserId>() {
            return Ok(Some(Self::Actor(Actor::User(user))));
        }
        let actor = Actor::try_from(text.clone());
        Ok(Some(actor.map_or(Self::Name(text), Self::Actor)))
    }
}

/// The assignment, if whoever it names may have the issue: somebody in a team of its project, or one of these teams.
/// Where members come into teams by themselves, everybody in the organization is as good as in all of them.
pub(crate) async fn eligible(
    context: &Context,
    seat: &Seat,
    view: &GroupView,
    project: &Project,
    word: &AssigneeWord,
) -> Result<Assignment, Fault> {
    let (store, organization) = (&context.store, &seat.organization);
    let open = organization.flags.allow_joinleave;
    let found = match word {
        AssigneeWord::Actor(Actor::Team(team)) => {
            return eligible_team(context, seat, view, project, *team).await;
        }
        AssigneeWord::Actor(Actor::User(user)) => {
            let found = store.members_with_ids(organization.id, &[*user]).await?;
            found.into_iter().next()
        }
        AssigneeWord::Name(name) => named(store, organization.id, name).await?,
    };
    let (member, user) = found.ok_or_else(nobody)?;
    if !user.active {
        return Err(refused("Cannot assign to a user who is deactivated."));
    }
    if !open && !project.admits(&member) {
        let text = "Cannot assign to a user who is in no team of the project.";
        return Err(refused(text));
    }
    Ok(Assignment {
        actor: Actor::User(user.id),
        email: Some(user.email),
        acting_user: seat.user(),
        existing: Existing::Replace,
        leaves: None,
    })
}

async fn eligible_team(
    context: &Context,
    seat: &Seat,
    view: &GroupView,
    project: &Project,
    team: TeamId,
) -> Result<Assignment, Fault> {
    let (organization, named) = (&seat.organization, [team]);
    let (teams, leaves) = tokio::try_join!(
        context.store.teams(organization.id, &named),
        leaves(&context.store, view, team),
    )?;
    if teams.is_empty() {
        return Err(nobody());
    }
    if !organization.flags.allow_joinleave && !project.teams.contains(&team) {
        let text = "Cannot assign to a team without access to the project.";
        return Err(refused(text));
    }
    Ok(Assignment {
        actor: Actor::Team(team),
        email: None,
        acting_user: seat.user(),
        existing: Existing::Replace,
        leaves,
    })
}

/// The member with this primary address, else the one with this username; one who takes part, if several have it.
async fn named(
    store: &Store,
    organization: OrganizationId,
    name: &str,
) -> Result<Option<(Member, User)>, Fault> {
    if let Ok(email) = name.parse::<Email>() {
        let found = store.member_by_email(organization, &email).await?;
        if found.is_some() {
            return Ok(found);
        }
    }
    let found = store.members_with_username(organization, name).await?;
    Ok(found.into_iter().min_by_key(|(_, user)| !user.active))
}

/// The present assignee, if it is a person who is not in the team.
async fn leaves(
    store: &Store,
    view: &GroupView,
    team: TeamId,
) -> Result<Option<UserId>, store::StoreError> {
    let Some(Actor::User(user)) = view.state.assignee else {
        return Ok(None);
    };
    let member = store.member(view.state.organization, user).await?;
    let stays = member.is_some_and(|member| member.teams.contains(&team));
    Ok((!stays).then_some(user))
}

fn nobody() -> Fault {
    refused("The organization has no such member and no such team.")
}

fn refused(text: &str) -> Fault {
    Fault::field("assignedTo", text)
}
