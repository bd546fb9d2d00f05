//! Teams: made, listed, shown and changed.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, Uri},
};
use domain::{
    AuditEvent, ClientFault, Fault, Member, Scope, Slug, Team, TeamFacts, TeamId, TeamUpdate,
    names, slug_candidates,
};
use runtime::{Answer, json};
use serde_json::{Value, json};
use store::{Changed, Insert};

use crate::{
    Context,
    auth::{
        Caller, ORGANIZATION_READ, ORGANIZATION_WRITE, Seat, TEAM_READ, TEAM_WRITE, caller_with,
    },
    body::Fields,
    cursor::Paging,
    is_id, no_such,
    projects::slug_in_use,
};

/// The team that a path names by slug or id, if the caller may do in its organization what is asked.
pub(crate) async fn team_at(
    context: &Context,
    caller: &Caller,
    organization: &str,
    team: &str,
) -> Result<(Seat, Team), Fault> {
    let seat = caller.look_at(context, organization).await?;
    let found = match is_id(team) {
        true => context.store.team(team.parse().map_err(no_such)?).await?,
        false => {
            let slug = team.parse().map_err(no_such)?;
            let organization = seat.organization.id;
            context.store.team_by_slug(organization, &slug).await?
        }
    };
    let own = |team: &Team| team.organization == seat.organization.id;
    let team = found.filter(own).ok_or_else(Fault::not_found)?;
    caller.demand(&seat)?;
    Ok((seat, team))
}

/// `GET /organizations/{organization}/teams/`
pub(crate) async fn list(
    State(context): State<Arc<Context>>,
    Path(organization): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    let scopes = [TEAM_READ, ORGANIZATION_READ].concat();
    let caller = caller_with(&context, &headers, &scopes).await?;
    let seat = caller.seat_at(&context, &organization).await?;
    let paging = Paging::of(&uri)?;
    let organization = seat.organization.id;
    let (page, sizes) = tokio::try_join!(
        context
            .store
            .teams_of(organization, paging.skip, paging.limit),
        context.store.team_sizes(organization),
    )?;
    let body: Vec<_> = page
        .rows
        .iter()
        .map(|row| team(&seat, row, &sizes))
        .collect();
    Ok(paging.link(&context, page.more, json(StatusCode::OK, &body)))
}

/// `GET /teams/{organization}/{team}/`
pub(crate) async fn show(
    State(context): State<Arc<Context>>,
    Path((organization, team)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let caller = caller_with(&context, &headers, &TEAM_READ).await?;
    let (seat, team) = team_at(&context, &caller, &organization, &team).await?;
    show_team(&context, &seat, &team, StatusCode::OK).await
}

/// `POST /organizations/{organization}/teams/`: whoever makes a team is in it.
pub(crate) async fn create(
    State(context): State<Arc<Context>>,
    Path(organization): Path<String>,
    request: Request,
) -> Answer {
    let (parts, body) = request.into_parts();
    let scopes = [TEAM_WRITE, ORGANIZATION_WRITE].concat();
    let caller = caller_with(&context, &parts.headers, &scopes).await?;
    let seat = caller.seat_at(&context, &organization).await?;
    let mut fields = Fields::read(&parts.headers, body).await?;
    if !fields.has("name") && !fields.has("slug") {
        fields.refuse("non_field_errors", "Name or slug is required");
    }
    let name = match fields.has("name") {
        true => fields.name("name", names::MAX_NAME),
        false => None,
    };
    let slug = fields.slug();
    let (name, slug) = fields.finish((name, slug))?;
    let team = save(&context, &caller, &seat, name, slug).await?;
    // As the member is now.
    let seat = caller.seat_at(&context, &organization).await?;
    show_team(&context, &seat, &team, StatusCode::CREATED).await
}

async fn save(
    context: &Context,
    caller: &Caller,
    seat: &Seat,
    name: Option<String>,
    slug: Option<Slug>,
) -> Result<Team, Fault> {
    let name = name.or_else(|| slug.as_ref().map(Slug::to_string));
    let name = &name.unwrap_or_default();
    let slugs = match slug {
        Some(slug) => vec![slug],
        None => slug_candidates(name, &[], &rand::random()),
    };
    let slugs = &slugs;
    let organization = seat.organization.id;
    let now = context.clock.now();
    let insert = |id: TeamId| async move {
        let joining = match seat.user() {
            Some(user) => context.store.member(organization, user).await?,
            None => None,
        };
        for slug in slugs {
            let team = Team {
                id,
                organization,
                slug: slug.clone(),
                name: name.clone(),
                created: now,
            };
            let event = AuditEvent::TeamCreate(TeamFacts::of(&team));
            let audit = caller.audit(context, organization, event);
            let inserted = context.store.create_team(team, joining.as_ref(), &audit);
            match inserted.await? {
                Insert::NameTaken => {}
                done @ (Insert::Made(_) | Insert::IdTaken) => return Ok(done),
            }
        }
        Ok(Insert::NameTaken)
    };
    let saved = context
        .sequences
        .save_with_snowflake_id(now, insert)
        .await?;
    saved.ok_or_else(|| {
        let text = "A team with this slug already exists.";
        Fault::Client(ClientFault::Conflict(text.into()))
    })
}

/// `PUT /teams/{organization}/{team}/`: name and slug; other keys are ignored.
pub(crate) async fn update(
    State(context): State<Arc<Context>>,
    Path((organization, team)): Path<(String, String)>,
    request: Request,
) -> Answer {
    let (parts, body) = request.into_parts();
    let caller = caller_with(&context, &parts.headers, &TEAM_WRITE).await?;
    let (seat, team) = team_at(&context, &caller, &organization, &team).await?;
    seat.demand_reach(&[team.id])?;
    let mut fields = Fields::read(&parts.headers, body).await?;
    let update = TeamUpdate {
        name: fields.name("name", names::MAX_NAME),
        slug: fields.slug(),
    };
    let update = fields.finish(update)?;
    let decide = |seen: &Team| {
        let team = update.apply(seen)?;
        let event = AuditEvent::TeamEdit(TeamFacts::of(&team));
        let audit = caller.audit(&context, team.organization, event);
        Some((team, audit))
    };
    match context.store.change_team(team.id, decide).await? {
        Changed::Done(team) => show_team(&context, &seat, &team, StatusCode::OK).await,
        Changed::Gone => Err(Fault::not_found().into()),
        Changed::NameTaken => Err(slug_in_use(update.slug.as_ref()).into()),
    }
}

pub(crate) async fn show_team(
    context: &Context,
    seat: &Seat,
    found: &Team,
    status: StatusCode,
) -> Answer {
    let sizes = context.store.team_sizes(found.organization).await?;
    Ok(json(status, &team(seat, found, &sizes)))
}

pub(crate) fn team(seat: &Seat, team: &Team, sizes: &HashMap<TeamId, usize>) -> Value {
    let of_teams = |scope: &&Scope| scope.as_str().starts_with("team:");
    let own = |member: &Member| member.teams.contains(&team.id);
    json!({
        "id": team.id,
        "slug": team.slug,
        "name": team.name,
        "dateCreated": team.created.to_string(),
        "isMember": seat.member.as_ref().is_some_and(own),
        "hasAccess": seat.reaches(&[team.id]),
        "memberCount": sizes.get(&team.id).copied().unwrap_or(0),
        "teamRole": null,
        "access": seat.scopes.iter().filter(of_teams).collect::<Vec<_>>(),
        "avatar": { "avatarType": "letter_avatar", "avatarUuid": null },
    })
}
