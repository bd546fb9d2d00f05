//! Organizations, and the lists of their projects and members.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode, Uri},
};
use domain::{Member, Organization, Project, Scope, Team, TeamId, TokenOwner, User};
use runtime::{Answer, json};
use serde_json::{Value, json};

use crate::{
    Context,
    auth::{Caller, MEMBER_READ, ORGANIZATION_READ, PROJECT_READ, Seat, caller_with},
    cursor::Paging,
};

/// `GET /organizations/`: those that the caller can see.
pub(crate) async fn list(
    State(context): State<Arc<Context>>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    let caller = caller_with(&context, &headers, &ORGANIZATION_READ).await?;
    let paging = Paging::of(&uri)?;
    let (rows, more) = match caller.owner() {
        TokenOwner::User(user) => {
            let page = context
                .store
                .organizations_of(user, paging.skip, paging.limit)
                .await?;
            (page.rows, page.more)
        }
        TokenOwner::Organization(id) => {
            let own = context.store.organization(id).await?;
            (own.into_iter().skip(paging.skip).collect(), false)
        }
    };
    let body: Vec<_> = rows.iter().map(|row| organization(&context, row)).collect();
    Ok(paging.link(&context, more, json(StatusCode::OK, &body)))
}

/// `GET /organizations/{organization}/`
pub(crate) async fn show(
    State(context): State<Arc<Context>>,
    Path(segment): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let caller = caller_with(&context, &headers, &ORGANIZATION_READ).await?;
    let seat = caller.seat_at(&context, &segment).await?;
    Ok(json(
        StatusCode::OK,
        &organization(&context, &seat.organization),
    ))
}

/// `GET /organizations/{organization}/projects/`
pub(crate) async fn projects(
    State(context): State<Arc<Context>>,
    Path(segment): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    // sentry-cli lists projects with the scopes that an organization's list asks for as well.
    let scopes = [PROJECT_READ, ORGANIZATION_READ].concat();
    let caller = caller_with(&context, &headers, &scopes).await?;
    let seat = caller.seat_at(&context, &segment).await?;
    let paging = Paging::of(&uri)?;
    let page = context
        .store
        .projects(seat.organization.id, paging.skip, paging.limit)
        .await?;
    let ids: Vec<_> = page
        .rows
        .iter()
        .flat_map(|row| row.teams.iter().copied())
        .collect();
    let teams = context.store.teams(seat.organization.id, &ids).await?;
    let body: Vec<_> = page
        .rows
        .iter()
        .map(|row| project(&caller, &seat, row, &teams))
        .collect();
    Ok(paging.link(&context, page.more, json(StatusCode::OK, &body)))
}

/// `GET /organizations/{organization}/members/`
pub(crate) async fn members(
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

fn organization(context: &Context, organization: &Organization) -> Value {
    let url = &context.public_url;
    json!({
        "id": organization.id,
        "slug": organization.slug,
        "name": organization.name,
        "status": { "id": "active", "name": "active" },
        "dateCreated": organization.created.to_string(),
        "isEarlyAdopter": false,
        "require2FA": false,
        "requireEmailVerification": false,
        "avatar": { "avatarType": "letter_avatar", "avatarUuid": null, "avatarUrl": null },
        "features": organization.features,
        "links": { "organizationUrl": url, "regionUrl": url },
    })
}

/// `teams` are those of all projects of the page.
fn project(caller: &Caller, seat: &Seat, project: &Project, teams: &[Team]) -> Value {
    let belongs = seat
        .member
        .as_ref()
        .is_some_and(|member| project.admits(member));
    let access = caller.scopes().iter().filter(|scope| of_projects(**scope));
    let own = |id: &TeamId| teams.iter().find(|team| team.id == *id);
    let teams: Vec<_> = project
        .teams
        .iter()
        .filter_map(own)
        .map(|team| json!({ "id": team.id, "slug": team.slug, "name": team.name }))
        .collect();
    json!({
        "id": project.id,
        "slug": project.slug,
        "name": project.name,
        "platform": project.platform,
        "status": "active",
        "dateCreated": project.created.to_string(),
        "isBookmarked": false,
        "isMember": belongs,
        "hasAccess": belongs || caller.user().is_none(),
        "isPublic": false,
        "isInternal": false,
        "features": [],
        "firstEvent": null,
        "firstTransactionEvent": false,
        "access": access.collect::<Vec<_>>(),
        "color": color(project.slug.as_str()),
        "avatar": { "avatarType": "letter_avatar", "avatarUuid": null },
        "team": teams.first(),
        "teams": teams,
        "organization": {
            "id": seat.organization.id,
            "slug": seat.organization.slug,
            "name": seat.organization.name,
        },
    })
}

fn of_projects(scope: Scope) -> bool {
    scope.as_str().starts_with("project:")
}

/// A color that stays with the slug.
fn color(slug: &str) -> String {
    let mixed = slug.bytes().fold(0x811C_9DC5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    format!("#{:06x}", mixed & 0xFF_FFFF)
}

fn membership(member: &Member, user: &User) -> Value {
    json!({
        "id": member.id,
        "email": user.email,
        "name": user.name,
        "user": {
            "id": user.id,
            "email": user.email,
            "name": user.name,
            "username": user.username,
            "isActive": user.active,
        },
        "role": member.role.as_str(),
        "orgRole": member.role.as_str(),
        "pending": false,
        "expired": false,
        "dateCreated": member.created.to_string(),
        "inviteStatus": "approved",
    })
}
