//! Organizations: listed, shown, changed, given up and restored.

use std::sync::Arc;

use axum::{
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, Uri},
};
use domain::{
    AuditEvent, ClientFault, Deletion, Fault, FieldError, Mail, MailKey, Organization,
    OrganizationFacts, OrganizationFlag, OrganizationSettings, OrganizationStatus, PictureId,
    ProjectStatus, Recipients, Role, SendEmail, Slug, TokenOwner,
};
use runtime::{Answer, json, trace_of};
use serde_json::{Value, json};
use store::Changed;

use crate::{
    Context,
    auth::{ORGANIZATION_ADMIN, ORGANIZATION_READ, ORGANIZATION_WRITE, Seat, caller_with},
    body::Fields,
    cursor::{Paging, parameter},
    organization_settings, pictures,
    projects::{self, slug_in_use},
    teams,
};

/// How long an organization can be restored by its owners, in milliseconds.
const DELETION_DELAY: i64 = 24 * 60 * 60 * 1000;
/// More teams or projects than an organization has.
const ALL: usize = 10_000;

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

/// `GET /organizations/{organization}/`, with its teams and projects unless `detailed=0`.
pub(crate) async fn show(
    State(context): State<Arc<Context>>,
    Path(segment): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    let caller = caller_with(&context, &headers, &ORGANIZATION_READ).await?;
    let seat = caller.look_at_any(&context, &segment).await?;
    caller.demand(&seat)?;
    // Whoever may write only, reads what is in lists.
    if !seat.scopes.contains(&ORGANIZATION_READ[0]) {
        let body = organization(&context, &seat.organization);
        return Ok(json(StatusCode::OK, &body));
    }
    let id = seat.organization.id;
    let settings = context.store.organization_settings(id).await?;
    let detailed = parameter(&uri, "detailed").is_none_or(|text| text != "0");
    let body = details(&context, &seat, &settings, detailed).await?;
    Ok(json(StatusCode::OK, &body))
}

/// `PUT /organizations/{organization}/`: what is left out stays.
pub(crate) async fn update(
    State(context): State<Arc<Context>>,
    Path(segment): Path<String>,
    request: Request,
) -> Answer {
    let (parts, body) = request.into_parts();
    let caller = caller_with(&context, &parts.headers, &ORGANIZATION_WRITE).await?;
    let mut seat = caller.look_at_any(&context, &segment).await?;
    caller.demand(&seat)?;
    let fields = Fields::read_with_long(&parts.headers, body, "avatar", pictures::MAX_BODY);
    let fields = fields.await?;
    let id = seat.organization.id;
    let settings = context.store.organization_settings(id).await?;
    let (mut update, picture) = organization_settings::read(fields, &seat, &settings)?;
    if let Some(slug) = update
        .slug
        .as_ref()
        .filter(|it| **it != seat.organization.slug)
    {
        free(&context, slug).await?;
    }
    let now = context.clock.now();
    if let Some(picture) = picture {
        let new = PictureId::new(rand::random());
        let store = context
            .store
            .put_picture(&seat.organization, new, &picture, now);
        update.picture = store.await?;
    }
    let decide = |seen: &Organization, settings: &OrganizationSettings| {
        let change = update.apply(seen, settings, now)?;
        let audit = change.event();
        let audit = audit.map(|event| caller.audit(&context, id, event));
        Some((change, audit))
    };
    match context.store.change_organization(id, decide).await? {
        // One that goes can only be restored.
        Changed::Done((organization, _))
            if organization.status == OrganizationStatus::DeletionInProgress =>
        {
            Err(Fault::not_found().into())
        }
        Changed::Done((organization, settings)) => {
            seat.organization = organization;
            let body = details(&context, &seat, &settings, true).await?;
            Ok(json(StatusCode::OK, &body))
        }
        Changed::Gone => Err(Fault::not_found().into()),
        // It was free a moment ago.
        Changed::NameTaken => {
            let error = FieldError::message("This slug was taken a moment ago.");
            let fields = [("slug".to_owned(), error)].into();
            Err(Fault::Client(ClientFault::Taken(fields)).into())
        }
    }
}

/// Refuses a slug that another organization has.
async fn free(context: &Context, slug: &Slug) -> Result<(), Fault> {
    match context.store.organization_by_slug(slug).await? {
        None => Ok(()),
        Some(_) => Err(slug_in_use(Some(slug))),
    }
}

/// `DELETE /organizations/{organization}/`: it works as before for a day, in which its owners may restore it.
pub(crate) async fn delete(
    State(context): State<Arc<Context>>,
    Path(segment): Path<String>,
    request: Request,
) -> Answer {
    let trace = trace_of(&request);
    let caller = caller_with(&context, request.headers(), &ORGANIZATION_ADMIN).await?;
    let mut seat = caller.look_at_any(&context, &segment).await?;
    caller.demand(&seat)?;
    // A token of the organization is no person who could restore it.
    let Some(user) = seat.user() else {
        let text = "An organization is deleted by one of its owners, with a token of their own.";
        return Err(Fault::Client(ClientFault::Denied(text.into())).into());
    };
    let now = context.clock.now();
    let due = now.plus(DELETION_DELAY);
    let id = seat.organization.id;
    if let Some(internal) = projects::internal(&context, id).await? {
        let text = format!(
            "This organization has the project {} of the installation itself. It cannot be removed.",
            internal.slug
        );
        return Err(Fault::detail(text).into());
    }
    if seat.organization.status == OrganizationStatus::Active {
        let found = &seat.organization;
        let deletion = Deletion::of_organization(found, Some(user), due, now, rand::random());
        let mut doomed = found.clone();
        doomed.status = OrganizationStatus::PendingDeletion;
        let event = AuditEvent::OrganizationRemove(OrganizationFacts::of(&doomed));
        let audit = caller.audit(&context, id, event);
        let mail = SendEmail {
            organization: id,
            key: MailKey::new(format!("given-up/{}", now.millis())),
            to: Recipients::Owners,
            mail: Mail::OrganizationGivenUp {
                user,
                address: caller.address,
                at: now,
                due,
                url: format!("{}/api/0/organizations/{}/", context.public_url, found.slug),
            },
            attempts: 0,
        };
        let request = context
            .store
            .request_organization_deletion(found, &deletion, &audit, mail, &trace, now);
        seat.organization = match request.await? {
            true => doomed,
            // Somebody else was faster, and it is what the caller wants; or it was changed otherwise.
            false => {
                let found = context.store.organization(id).await?;
                let pending = |it: &Organization| it.status != OrganizationStatus::Active;
                let contended = || Fault::Retry("the organization was changed meanwhile".into());
                found.filter(pending).ok_or_else(contended)?
            }
        };
    }
    let settings = context.store.organization_settings(id).await?;
    let body = details(&context, &seat, &settings, true).await?;
    Ok(json(StatusCode::ACCEPTED, &body))
}

/// All that is shown of an organization to those who may read it.
async fn details(
    context: &Context,
    seat: &Seat,
    settings: &OrganizationSettings,
    detailed: bool,
) -> Result<Value, Fault> {
    let found = &seat.organization;
    let mut body = organization(context, found);
    let role = |role: Role| json!({ "id": role.as_str(), "name": role.name() });
    let more = json!({
        "access": seat.scopes,
        "defaultRole": found.default_role.as_str(),
        "hasAuthProvider": false,
        "isDefault": false,
        "onboardingTasks": [],
        "orgRoleList": Role::ALL.map(role),
        "pendingAccessRequests": 0,
        "requiresSso": false,
        // Picket's own.
        "resolveCommitsOn": found.resolve_commits_on.as_str(),
        "role": seat.member.as_ref().map(|member| member.role.as_str()),
        "teamRoleList": [],
    });
    let settings = organization_settings::shown(seat, settings);
    let more = more.as_object().cloned().unwrap_or_default();
    for (name, value) in more.into_iter().chain(settings) {
        body[name] = value;
    }
    if !detailed {
        return Ok(body);
    }
    let (of_teams, sizes, of_projects) = tokio::try_join!(
        context.store.teams_of(found.id, 0, ALL),
        context.store.team_sizes(found.id),
        context.store.projects(found.id, 0, ALL),
    )?;
    let rows = of_teams.rows.iter();
    body["teams"] = rows.map(|row| teams::team(seat, row, &sizes)).collect();
    let active = of_projects.rows.iter();
    let active = active.filter(|row| row.status == ProjectStatus::Active);
    body["projects"] = active
        .map(|row| projects::project(context, seat, row, &of_teams.rows))
        .collect();
    Ok(body)
}

/// What lists show.
fn organization(context: &Context, organization: &Organization) -> Value {
    let url = &context.public_url;
    let status = organization.status;
    let flag = |field: &str| {
        let flag = OrganizationFlag::named(field);
        flag.map(|flag| flag.shown(organization.flags))
    };
    json!({
        "id": organization.id,
        "slug": organization.slug,
        "name": organization.name,
        "status": { "id": status.as_str(), "name": status.name() },
        "dateCreated": organization.created.to_string(),
        "isEarlyAdopter": flag("isEarlyAdopter"),
        "require2FA": flag("require2FA"),
        "requireEmailVerification": false,
        "avatar": pictures::avatar(context, organization),
        "features": organization.features,
        "allowMemberProjectCreation": flag("allowMemberProjectCreation"),
        "links": { "organizationUrl": url, "regionUrl": url },
    })
}
