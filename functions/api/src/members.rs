//! Members of an organization and of its teams.

use std::sync::Arc;

use axum::{
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, Uri},
    response::IntoResponse,
};
use domain::{
    AuditEvent, ClientFault, Fault, Member, MemberFacts, MemberTeam, Role, Scope, Team, User,
};
use runtime::{Answer, json};
use serde_json::{Value, json};
use store::Changed;

use crate::{
    Context,
    auth::{
        Caller, MEMBER_READ, MEMBER_WRITE, ORGANIZATION_WRITE, Seat, TEAM_READ, TEAM_WRITE,
        caller_with,
    },
    body::Fields,
    cursor::Paging,
    no_such,
    teams::{show_team, team_at},
};

/// `GET /organizations/{organization}/members/`
pub(crate) async fn list(
    State(context): State<Arc<Context>>,
    Path(segment): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    let caller = caller_with(&context, &headers, &MEMBER_READ).await?;
    let seat = caller.seat_at(&context, &segment).await?;
    let paging = Paging::of(&uri)?;
    let page = context
        .store
        .members(seat.organization.id, paging.skip, paging.limit)
        .await?;
    let body: Vec<_> = page
        .rows
        .iter()
        .map(|(member, user)| membership(member, user))
        .collect();
    Ok(paging.link(&context, page.more, json(StatusCode::OK, &body)))
}

/// `GET /teams/{organization}/{team}/members/`
pub(crate) async fn list_of_team(
    State(context): State<Arc<Context>>,
    Path((organization, team)): Path<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    let caller = caller_with(&context, &headers, &TEAM_READ).await?;
    let (seat, team) = team_at(&context, &caller, &organization, &team).await?;
    let paging = Paging::of(&uri)?;
    let organization = seat.organization.id;
    let page = context
        .store
        .members_of_team(organization, team.id, paging.skip, paging.limit)
        .await?;
    let row = |(member, user): &(Member, User)| {
        let mut row = membership(member, user);
        row["teamRole"] = Value::Null;
        row["teamSlug"] = json!(team.slug);
        row
    };
    let body: Vec<_> = page.rows.iter().map(row).collect();
    Ok(paging.link(&context, page.more, json(StatusCode::OK, &body)))
}

/// The member that a path names: by the membership's id, or `me`.
async fn member_at(context: &Context, seat: &Seat, segment: &str) -> Result<(Member, User), Fault> {
    let organization = seat.organization.id;
    let member = match (segment, seat.user()) {
        ("me", Some(user)) => context.store.member(organization, user).await?,
        _ => {
            let id = segment.parse().map_err(no_such)?;
            context.store.member_by_id(organization, id).await?
        }
    };
    let member = member.ok_or_else(Fault::not_found)?;
    let user = context.store.user(member.user).await?;
    Ok((member, user.ok_or_else(Fault::not_found)?))
}

/// `GET /organizations/{organization}/members/{member}/`
pub(crate) async fn show(
    State(context): State<Arc<Context>>,
    Path((organization, member)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let caller = caller_with(&context, &headers, &MEMBER_READ).await?;
    let seat = caller.seat_at(&context, &organization).await?;
    let (member, user) = member_at(&context, &seat, &member).await?;
    show_member(&context, &seat, &member, &user).await
}

/// `PUT /organizations/{organization}/members/{member}/`: the role, as `orgRole` or `role`.
pub(crate) async fn update(
    State(context): State<Arc<Context>>,
    Path((organization, member)): Path<(String, String)>,
    request: Request,
) -> Answer {
    let (parts, body) = request.into_parts();
    let caller = caller_with(&context, &parts.headers, &MEMBER_WRITE).await?;
    let seat = caller.seat_at(&context, &organization).await?;
    let (member, user) = member_at(&context, &seat, &member).await?;
    let fields = Fields::read(&parts.headers, body).await?;
    let Some(role) = role(fields)? else {
        return show_member(&context, &seat, &member, &user).await;
    };
    let organization = seat.organization.id;
    demand_rank(&seat, &member, role)?;
    let decide = |seen: &Member| {
        // Who was raised above the caller meanwhile stays there.
        demand_rank(&seat, seen, role).ok()?;
        let changed = Member {
            role,
            ..seen.clone()
        };
        let event = AuditEvent::MemberEdit(MemberFacts::of(&changed));
        (changed != *seen).then(|| (changed, caller.audit(&context, organization, event)))
    };
    let changed = context
        .store
        .change_member(organization, member.user, decide);
    match changed.await? {
        Changed::Done(member) => show_member(&context, &seat, &member, &user).await,
        Changed::Gone | Changed::NameTaken => Err(Fault::not_found().into()),
    }
}

fn role(mut fields: Fields) -> Result<Option<Role>, Fault> {
    let name = match fields.has("orgRole") {
        true => "orgRole",
        false => "role",
    };
    let role = match fields.has(name) {
        true => fields.choice(name, |word| word.parse().ok()),
        false => None,
    };
    fields.finish(role)
}

/// A person gives no role above their own, takes none from who has one, and leaves their own alone: so
/// nobody raises themselves. An organization's token stands as high as its scopes do: it gives and takes
/// what it could do itself.
fn demand_rank(seat: &Seat, member: &Member, role: Role) -> Result<(), Fault> {
    let denied = |text: &str| Err(Fault::Client(ClientFault::Denied(text.to_owned())));
    let Some(own) = &seat.member else {
        let has = |scope| seat.scopes.contains(scope);
        let may = |role: Role| role.scopes().iter().all(has);
        return match may(role) && may(member.role) {
            true => Ok(()),
            false => denied("You cannot give or take a role that may do more than this token."),
        };
    };
    if own.user == member.user {
        return denied("You cannot change your own role.");
    }
    if role > own.role || member.role > own.role {
        return denied("You cannot give or take a role above your own.");
    }
    Ok(())
}

/// Who may put members into teams and take them out.
fn team_scopes() -> Vec<Scope> {
    [&TEAM_WRITE[..], &MEMBER_WRITE, &ORGANIZATION_WRITE].concat()
}

/// `POST /organizations/{organization}/members/{member}/teams/{team}/`
pub(crate) async fn join(
    State(context): State<Arc<Context>>,
    Path((organization, member, team)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Answer {
    let caller = caller_with(&context, &headers, &team_scopes()).await?;
    let (seat, team) = team_at(&context, &caller, &organization, &team).await?;
    let (member, _) = member_at(&context, &seat, &member).await?;
    seat.demand_reach(&[team.id])?;
    if member.teams.contains(&team.id) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let join = |seen: &Member| {
        let mut member = seen.clone();
        member.teams.push(team.id);
        (member, AuditEvent::MemberJoinTeam(facts(seen, &team)))
    };
    let needed = |seen: &Member| !seen.teams.contains(&team.id);
    change(&context, &caller, &team, &member, needed, join).await?;
    show_team(&context, &seat, &team, StatusCode::CREATED).await
}

/// `DELETE /organizations/{organization}/members/{member}/teams/{team}/`
pub(crate) async fn leave(
    State(context): State<Arc<Context>>,
    Path((organization, member, team)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Answer {
    let caller = caller_with(&context, &headers, &team_scopes()).await?;
    let (seat, team) = team_at(&context, &caller, &organization, &team).await?;
    let (member, _) = member_at(&context, &seat, &member).await?;
    seat.demand_reach(&[team.id])?;
    let leave = |seen: &Member| {
        let mut member = seen.clone();
        member.teams.retain(|id| *id != team.id);
        (member, AuditEvent::MemberLeaveTeam(facts(seen, &team)))
    };
    let needed = |seen: &Member| seen.teams.contains(&team.id);
    change(&context, &caller, &team, &member, needed, leave).await?;
    show_team(&context, &seat, &team, StatusCode::OK).await
}

/// Changes a membership where it is needed still.
async fn change(
    context: &Context,
    caller: &Caller,
    team: &Team,
    member: &Member,
    needed: impl Fn(&Member) -> bool,
    change: impl Fn(&Member) -> (Member, AuditEvent),
) -> Result<(), Fault> {
    let organization = team.organization;
    let decide = |seen: &Member| {
        needed(seen).then(|| {
            let (member, event) = change(seen);
            (member, caller.audit(context, organization, event))
        })
    };
    let changed = context
        .store
        .change_member(organization, member.user, decide);
    match changed.await? {
        Changed::Done(_) => Ok(()),
        Changed::Gone | Changed::NameTaken => Err(Fault::not_found()),
    }
}

fn facts(member: &Member, team: &Team) -> MemberTeam {
    MemberTeam {
        id: member.id,
        user: member.user,
        team: team.id,
        team_slug: team.slug.clone(),
    }
}

/// A member with the slugs of their teams.
async fn show_member(context: &Context, seat: &Seat, member: &Member, user: &User) -> Answer {
    let organization = seat.organization.id;
    let teams = context.store.teams(organization, &member.teams).await?;
    let mut body = membership(member, user);
    body["teams"] = teams.iter().map(|team| json!(team.slug)).collect();
    Ok(json(StatusCode::OK, &body))
}

/// A person with all that they may see of themselves, and members of one another.
pub(crate) fn person(user: &User) -> Value {
    json!({
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "username": user.username,
        "isActive": user.active,
        "emails": [{ "email": user.email, "is_verified": user.verified }],
    })
}

fn membership(member: &Member, user: &User) -> Value {
    json!({
        "id": member.id,
        "email": user.email,
        "name": user.name,
        "user": person(user),
        "role": member.role.as_str(),
        "orgRole": member.role.as_str(),
        "pending": false,
        "expired": false,
        "dateCreated": member.created.to_string(),
        "inviteStatus": "approved",
    })
}
