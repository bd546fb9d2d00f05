//! Projects: made in a team, listed, shown and changed.

use std::sync::Arc;

use axum::{
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};
use domain::{
    AlertRule, AuditEvent, ClientFault, ClientKey, Fault, INVALID_PLATFORM, InboundFilter,
    NewProject, OrganizationId, Project, ProjectFacts, ProjectId, ProjectStatus, ProjectUpdate,
    RESERVED_PROJECT_SLUGS, Scope, Slug, Team, TeamId, is_platform, names, slug_candidates,
};
use runtime::{Answer, json};
use serde_json::{Value, json};
use store::{Changed, Page};

use crate::{
    Context,
    auth::{Caller, ORGANIZATION_READ, PROJECT_READ, PROJECT_WRITE, Seat, caller_with},
    body::{Fields, Text},
    cursor::{Paging, parameter},
    is_id, no_such,
    teams::team_at,
};

/// `GET /organizations/{organization}/projects/`
pub(crate) async fn list(
    State(context): State<Arc<Context>>,
    Path(segment): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    // sentry-cli lists projects with the scopes that an organization's list asks for as well.
    let scopes = [PROJECT_READ, ORGANIZATION_READ].concat();
    let caller = caller_with(&context, &headers, &scopes).await?;
    let seat = caller.seat_at(&context, &segment).await?;
    if let Some(refusal) = refused_period(&uri) {
        return Ok(refusal);
    }
    let paging = Paging::of(&uri)?;
    let organization = seat.organization.id;
    let page = context
        .store
        .projects(organization, paging.skip, paging.limit)
        .await?;
    answer_page(&context, &seat, &paging, page).await
}

/// `GET /teams/{organization}/{team}/projects/`
pub(crate) async fn list_of_team(
    State(context): State<Arc<Context>>,
    Path((organization, team)): Path<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    let caller = caller_with(&context, &headers, &PROJECT_READ).await?;
    let (seat, team) = team_at(&context, &caller, &organization, &team).await?;
    if let Some(refusal) = refused_period(&uri) {
        return Ok(refusal);
    }
    let paging = Paging::of(&uri)?;
    let page = context
        .store
        .projects_of_team(team.id, paging.skip, paging.limit)
        .await?;
    answer_page(&context, &seat, &paging, page).await
}

async fn answer_page(
    context: &Context,
    seat: &Seat,
    paging: &Paging,
    mut page: Page<Project>,
) -> Answer {
    page.rows
        .retain(|project| project.status == ProjectStatus::Active);
    let ids: Vec<_> = page
        .rows
        .iter()
        .flat_map(|row| row.teams.iter().copied())
        .collect();
    let teams = context.store.teams(seat.organization.id, &ids).await?;
    let body: Vec<_> = page
        .rows
        .iter()
        .map(|row| project(context, seat, row, &teams))
        .collect();
    Ok(paging.link(context, page.more, json(StatusCode::OK, &body)))
}

/// Lists take a period for statistics, which are not kept; one that clients cannot mean is refused.
fn refused_period(uri: &Uri) -> Option<Response> {
    let period = parameter(uri, "statsPeriod").unwrap_or_default();
    if ["", "24h", "14d", "30d"].contains(&period.as_str()) {
        return None;
    }
    let message = "Invalid stats_period. Valid choices are '', '24h', '14d', and '30d'";
    let body = json!({ "error": { "params": { "stats_period": { "message": message } } } });
    Some(json(StatusCode::BAD_REQUEST, &body))
}

/// What a new project is to be.
struct Wanted {
    name: String,
    slug: Option<Slug>,
    platform: Option<String>,
    rule: bool,
}

impl Wanted {
    fn read(mut fields: Fields) -> Result<Self, Fault> {
        let name = fields.required("name", names::MAX_PROJECT_NAME);
        let reserved = |name: &&String| RESERVED_PROJECT_SLUGS.contains(&name.as_str());
        if let Some(name) = name.as_ref().filter(reserved) {
            let message = format!("The name \"{name}\" is reserved and not allowed.");
            fields.refuse("name", message);
        }
        let slug = fields.project_slug();
        let platform = platform(&mut fields).flatten();
        let rule = fields.boolean("default_rules").unwrap_or(true);
        fields.finish(Self {
            name: name.unwrap_or_default(),
            slug,
            platform,
            rule,
        })
    }
}

/// A known platform; `Some(None)`: none.
fn platform(fields: &mut Fields) -> Option<Option<String>> {
    match fields.text("platform", usize::MAX) {
        Text::Given(text) if is_platform(&text) => Some(Some(text)),
        Text::Given(_) => {
            fields.refuse("platform", INVALID_PLATFORM);
            None
        }
        Text::Null | Text::Blank => Some(None),
        Text::Absent | Text::Wrong => None,
    }
}

/// `POST /teams/{organization}/{team}/projects/`
pub(crate) async fn create(
    State(context): State<Arc<Context>>,
    Path((organization, team)): Path<(String, String)>,
    request: Request,
) -> Answer {
    let (parts, body) = request.into_parts();
    let caller = caller_with(&context, &parts.headers, &PROJECT_WRITE).await?;
    let (seat, team) = team_at(&context, &caller, &organization, &team).await?;
    seat.demand_reach(&[team.id])?;
    let wanted = Wanted::read(Fields::read(&parts.headers, body).await?)?;
    let may_always = [Scope::OrgWrite, Scope::OrgAdmin];
    let may_always = may_always.iter().any(|scope| seat.scopes.contains(scope));
    if seat.organization.flags.disable_member_project_creation && !may_always {
        let text = "Your organization has disabled this feature for members.";
        return Err(Fault::Client(ClientFault::Denied(text.into())).into());
    }
    let project = save(&context, &caller, &team, wanted).await?;
    Ok(json(
        StatusCode::CREATED,
        &self::project(&context, &seat, &project, &[team]),
    ))
}

/// Saves a new project under the slug that was chosen, or the first free one that its name makes.
async fn save(
    context: &Context,
    caller: &Caller,
    team: &Team,
    wanted: Wanted,
) -> Result<Project, Fault> {
    let slugs = match wanted.slug {
        Some(slug) => vec![slug],
        None => slug_candidates(&wanted.name, &RESERVED_PROJECT_SLUGS, &rand::random()),
    };
    let organization = team.organization;
    let now = context.clock.now();
    let new = NewProject {
        organization,
        name: wanted.name,
        platform: wanted.platform,
        team: team.id,
        created: now,
    };
    let new = &new;
    let insert = |id: ProjectId, slug: Slug| async move {
        let project = new.project(id, slug);
        let owner = (organization, id);
        let key = ClientKey::new(owner, ClientKey::DEFAULT_LABEL, rand::random(), now);
        let event = AuditEvent::ProjectCreate(ProjectFacts::of(&project));
        let audit = caller.audit(context, organization, event);
        let rule = wanted.rule;
        let rule = rule.then(|| AlertRule::first(id, now, rand::random()));
        let store = &context.store;
        let inserted = store.create_project(project, &key, rule.as_ref(), &audit);
        Ok(inserted.await?)
    };
    let saved = context.sequences.save_under_free_slug(now, &slugs, insert);
    saved.await?.ok_or_else(|| {
        let text = "A project with this slug already exists.";
        Fault::Client(ClientFault::Conflict(text.into()))
    })
}

/// A project that a path names, and what the caller may do in its organization.
#[derive(Debug)]
pub(crate) struct ProjectSeat {
    pub(crate) caller: Caller,
    pub(crate) seat: Seat,
    pub(crate) project: Project,
}

/// The project at `/projects/{organization}/{project}/`, by slug or id, if the caller may do there what
/// is asked. One that has another slug now has moved, for who may see it.
pub(crate) async fn project_at(
    context: &Context,
    headers: &HeaderMap,
    (organization, project): (&str, &str),
    uri: &Uri,
    scopes: &[Scope],
) -> Result<ProjectSeat, Fault> {
    let caller = caller_with(context, headers, scopes).await?;
    let seat = caller.look_at(context, organization).await?;
    let own = |found: &Project| {
        found.organization == seat.organization.id && found.status == ProjectStatus::Active
    };
    let store = &context.store;
    let (found, moved) = match is_id(project) {
        true => (
            store.project(project.parse().map_err(no_such)?).await?,
            false,
        ),
        false => {
            let slug = project.parse().map_err(no_such)?;
            let organization = seat.organization.id;
            match store.project_by_slug(organization, &slug).await? {
                Some(found) => (Some(found), false),
                None => (
                    store.project_by_former_slug(organization, &slug).await?,
                    true,
                ),
            }
        }
    };
    let project = found.filter(own).ok_or_else(Fault::not_found)?;
    caller.demand(&seat)?;
    // Whoever may change the organization's projects, may change those of their own teams.
    let reads = [Scope::ProjectRead, Scope::EventRead];
    if !reads.iter().any(|scope| scopes.contains(scope)) {
        seat.demand_reach(&project.teams)?;
    }
    if moved {
        let slug = project.slug;
        let url = moved_url(context, uri, &slug);
        return Err(Fault::Client(ClientFault::Moved { url, slug }));
    }
    Ok(ProjectSeat {
        caller,
        seat,
        project,
    })
}

/// The same URL with another project: `/api/0/projects/{organization}/{project}/...`.
fn moved_url(context: &Context, uri: &Uri, slug: &Slug) -> String {
    let mut segments: Vec<_> = uri.path().split('/').collect();
    if let Some(segment) = segments.get_mut(5) {
        *segment = slug.as_str();
    }
    let (base, path) = (&context.public_url, segments.join("/"));
    match uri.query() {
        Some(query) => format!("{base}{path}?{query}"),
        None => format!("{base}{path}"),
    }
}

/// `GET /projects/{organization}/{project}/`
pub(crate) async fn show(
    State(context): State<Arc<Context>>,
    Path((organization, project)): Path<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    let named = (organization.as_str(), project.as_str());
    let found = project_at(&context, &headers, named, &uri, &PROJECT_READ).await?;
    show_project(&context, &found.seat, &found.project).await
}

/// `PUT /projects/{organization}/{project}/`: name, slug and platform; other keys are ignored.
pub(crate) async fn update(
    State(context): State<Arc<Context>>,
    Path((organization, project)): Path<(String, String)>,
    request: Request,
) -> Answer {
    let (parts, body) = request.into_parts();
    let named = (organization.as_str(), project.as_str());
    let found = project_at(&context, &parts.headers, named, &parts.uri, &PROJECT_WRITE).await?;
    let mut fields = Fields::read(&parts.headers, body).await?;
    let update = ProjectUpdate {
        name: fields.name("name", names::MAX_PROJECT_NAME),
        slug: fields.project_slug(),
        platform: platform(&mut fields),
    };
    let update = fields.finish(update)?;
    let decide = |seen: &Project| {
        let (project, edit) = update.apply(seen)?;
        let event = AuditEvent::ProjectEdit(edit);
        let audit = found.caller.audit(&context, project.organization, event);
        Some((project, audit))
    };
    match context
        .store
        .change_project(found.project.id, decide)
        .await?
    {
        Changed::Done(project) if project.status == ProjectStatus::Active => {
            show_project(&context, &found.seat, &project).await
        }
        Changed::Done(_) | Changed::Gone => Err(Fault::not_found().into()),
        Changed::NameTaken => Err(slug_in_use(update.slug.as_ref()).into()),
    }
}

/// What is said where another one has the slug that something is to be changed to.
pub(crate) fn slug_in_use(slug: Option<&Slug>) -> Fault {
    let slug = slug.map_or("", Slug::as_str);
    Fault::field("slug", format!("The slug \"{slug}\" is already in use."))
}

async fn show_project(context: &Context, seat: &Seat, found: &Project) -> Answer {
    let organization = seat.organization.id;
    let teams = context.store.teams(organization, &found.teams).await?;
    Ok(json(StatusCode::OK, &project(context, seat, found, &teams)))
}

/// `GET /projects/{organization}/{project}/filters/`: which kinds of event the project does not take.
pub(crate) async fn filters(
    State(context): State<Arc<Context>>,
    Path((organization, project)): Path<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    let named = (organization.as_str(), project.as_str());
    let found = project_at(&context, &headers, named, &uri, &PROJECT_READ).await?;
    let filter = |filter: InboundFilter| {
        let active = found.project.inbound_filters.contains(&filter);
        json!({ "id": filter, "active": active })
    };
    Ok(json(StatusCode::OK, &InboundFilter::ALL.map(filter)))
}

/// `teams` are those of all projects of the page.
pub(crate) fn project(context: &Context, seat: &Seat, project: &Project, teams: &[Team]) -> Value {
    let access = seat.scopes.iter().filter(|scope| of_projects(**scope));
    let own = |id: &TeamId| teams.iter().find(|team| team.id == *id);
    let teams: Vec<_> = project
        .teams
        .iter()
        .filter_map(own)
        .map(|team| json!({ "id": team.id, "slug": team.slug, "name": team.name }))
        .collect();
    let features = project.flags.has_releases.then_some("releases");
    json!({
        "id": project.id,
        "slug": project.slug,
        "name": project.name,
        "platform": project.platform,
        "status": project.status.as_str(),
        "dateCreated": project.created.to_string(),
        "isBookmarked": false,
        "isMember": seat.is_in(&project.teams),
        "hasAccess": seat.reaches(&project.teams),
        "isPublic": false,
        "isInternal": is_internal(context, project),
        "features": features.into_iter().collect::<Vec<_>>(),
        "firstEvent": project.first_event.map(|at| at.to_string()),
        "firstTransactionEvent": project.flags.has_transactions,
        "hasSessions": project.flags.has_sessions,
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

/// Whether it is the project for errors of this installation itself, which nobody may delete.
pub(crate) fn is_internal(context: &Context, project: &Project) -> bool {
    let internal = context.internal_project.as_str();
    internal == project.slug.as_str() || internal == project.id.to_string()
}

/// That project, if it is one of the organization.
pub(crate) async fn internal(
    context: &Context,
    organization: OrganizationId,
) -> Result<Option<Project>, Fault> {
    let (store, named) = (&context.store, context.internal_project.as_str());
    let found = match (is_id(named), named.parse::<Slug>()) {
        (true, _) => store.project(named.parse().map_err(no_such)?).await?,
        (false, Ok(slug)) => store.project_by_slug(organization, &slug).await?,
        (false, Err(_)) => None,
    };
    Ok(found.filter(|found| found.organization == organization && found.is_active()))
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
