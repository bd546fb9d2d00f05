//! Releases, their commits and deploys, and the repositories that commits come from.
//!
//! Clients reach a release through its organization or through one of its projects, so every route comes
//! twice. A write is stored or refused for something that the caller can mend: what only time can mend is
//! waited for here, because most clients try once.

mod deploys;
mod fields;
mod list;
mod repositories;
mod show;
mod write;

use std::{fmt, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::Request,
    http::{HeaderMap, Uri, header},
    routing::get,
};
use domain::{Fault, Project, ProjectId, Release, Scope, Slug, TraceId, Version};
use runtime::{Answer, HttpFault, trace_of};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

pub(crate) use list::{Pairs, period, wanted_projects};

use crate::{
    Context,
    auth::{Seat, caller_with},
    body::{self, Fields},
    is_id,
    projects::{ProjectSeat, project_at},
};

const RELEASE_READ: [Scope; 5] = [
    Scope::ProjectRead,
    Scope::ProjectWrite,
    Scope::ProjectAdmin,
    Scope::ProjectReleases,
    Scope::OrgCi,
];
const RELEASE_WRITE: [Scope; 4] = [
    Scope::ProjectWrite,
    Scope::ProjectAdmin,
    Scope::ProjectReleases,
    Scope::OrgCi,
];
const RELEASE_DELETE: [Scope; 2] = [Scope::ProjectAdmin, Scope::ProjectReleases];

/// The largest body, in bytes: a list of ten thousand commits with their files.
const MAX_BODY: usize = 4 * 1024 * 1024;

/// How long a request is tried again whose table is busy or away: far below the gateway's limit.
const PATIENCE: Duration = Duration::from_secs(12);
const FIRST_PAUSE_MS: u64 = 40;
const LONGEST_PAUSE_MS: u64 = 1_000;

/// The routes under both an organization and a project.
pub(crate) fn routes() -> Router<Arc<Context>> {
    let organization = "/api/0/organizations/{organization}";
    let project = "/api/0/projects/{organization}/{project}";
    let mut router =
        Router::new().route(&format!("{organization}/repos/"), get(repositories::list));
    for base in [organization, project] {
        let release = format!("{base}/releases/{{version}}");
        router = router
            .route(
                &format!("{base}/releases/"),
                get(list::list).post(write::create),
            )
            .route(
                &format!("{release}/"),
                get(list::details).put(write::update).delete(write::delete),
            )
            .route(&format!("{release}/commits/"), get(list::commits))
            .route(
                &format!("{release}/previous-with-commits/"),
                get(list::previous_with_commits),
            )
            .route(
                &format!("{release}/deploys/"),
                get(deploys::list).post(deploys::create),
            );
    }
    router
}

/// The segments of a path; those that a route does not have are absent.
#[derive(Debug, Deserialize)]
struct Segments {
    organization: String,
    project: Option<String>,
    version: Option<String>,
}

/// Where a request was sent.
struct Place {
    seat: Seat,
    /// The project that the path names, if it names one.
    project: Option<Project>,
}

/// A request whose body was read. It may be carried out more than once.
struct Incoming {
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
    trace: TraceId,
}

impl Incoming {
    async fn read(request: Request) -> Result<Self, Fault> {
        let trace = trace_of(&request);
        let (parts, body) = request.into_parts();
        let body = body::bytes(&parts.headers, body, MAX_BODY).await?;
        Ok(Self {
            trace,
            headers: parts.headers,
            uri: parts.uri,
            body,
        })
    }

    fn fields(&self) -> Result<Fields, Fault> {
        Fields::parse(&self.body)
    }

    /// What says who asks, and where.
    fn place(&self) -> (&HeaderMap, &Uri) {
        (&self.headers, &self.uri)
    }

    fn user_agent(&self) -> Option<String> {
        let text = self.headers.get(header::USER_AGENT)?.to_str().ok()?;
        Some(text.chars().take(256).collect())
    }
}

/// Carries out a request, again while only time is what it lacks.
pub(crate) async fn patiently<F: Future<Output = Answer>>(work: impl Fn() -> F) -> Answer {
    let started = Instant::now();
    let mut most = FIRST_PAUSE_MS;
    loop {
        match work().await {
            Err(HttpFault(Fault::Retry(_))) if started.elapsed() < PATIENCE => {
                sleep(Duration::from_millis(rand::random_range(0..most))).await;
                most = (most * 2).min(LONGEST_PAUSE_MS);
            }
            answer => return answer,
        }
    }
}

impl Place {
    async fn find(
        context: &Context,
        (headers, uri): (&HeaderMap, &Uri),
        segments: &Segments,
        scopes: &[Scope],
    ) -> Result<Self, Fault> {
        let Some(project) = &segments.project else {
            let caller = caller_with(context, headers, scopes).await?;
            let seat = caller.seat_at(context, &segments.organization).await?;
            let project = None;
            return Ok(Self { seat, project });
        };
        let named = (segments.organization.as_str(), project.as_str());
        let ProjectSeat { seat, project, .. } =
            project_at(context, headers, named, uri, scopes).await?;
        // As with all that is a project's: who reaches every project need not be in a team of it.
        match seat.reaches(&project.teams) {
            true => Ok(Self {
                seat,
                project: Some(project),
            }),
            false => Err(Fault::not_found()),
        }
    }

    /// Whether the caller may use a project from here: the one that the path names, or through the organization.
    fn uses(&self, project: &Project) -> bool {
        let named = self.project.as_ref().map(|named| named.id);
        named == Some(project.id) || may_use(&self.seat, project)
    }

    /// Where a request was sent that names a release, with the release and its projects.
    async fn release_at(
        context: &Context,
        at: (&HeaderMap, &Uri),
        segments: &Segments,
        scopes: &[Scope],
    ) -> Result<(Self, Release, Vec<Project>), Fault> {
        let place = Self::find(context, at, segments, scopes).await?;
        let (release, projects) = place.release(context, segments).await?;
        Ok((place, release, projects))
    }

    /// The release that the path names, with its projects. One that is in none that the caller may use does
    /// not exist.
    async fn release(
        &self,
        context: &Context,
        segments: &Segments,
    ) -> Result<(Release, Vec<Project>), Fault> {
        let version = segments.version.as_deref().unwrap_or_default();
        let version: Version = version.parse().map_err(|_| Fault::not_found())?;
        let found = context
            .store
            .release(self.seat.organization.id, &version)
            .await?;
        let release = found.ok_or_else(Fault::not_found)?;
        let ids: Vec<_> = release.projects.iter().copied().collect();
        let projects = context.store.projects_by_id(&ids).await?;
        let reachable = match &self.project {
            Some(project) => release.projects.contains(&project.id),
            None => projects.iter().any(|project| may_use(&self.seat, project)),
        };
        match reachable {
            true => Ok((release, projects)),
            false => Err(Fault::not_found()),
        }
    }
}

/// Whether the caller may use a project through its organization: a person through a team, whatever their role
/// is, an organization's token every active one.
fn may_use(seat: &Seat, project: &Project) -> bool {
    let belongs = |member| project.admits(member);
    project.organization == seat.organization.id
        && project.is_active()
        && seat.member.as_ref().is_none_or(belongs)
}

/// How clients name a project.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum ProjectName {
    Id(ProjectId),
    Slug(Slug),
}

impl ProjectName {
    /// `None`: no project has such a name.
    fn of(text: &str) -> Option<Self> {
        match is_id(text) {
            true => text.parse().ok().map(Self::Id),
            false => text.parse().ok().map(Self::Slug),
        }
    }
}

impl fmt::Display for ProjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Slug(slug) => slug.fmt(f),
        }
    }
}

/// The projects with these names, in their order; `None` for one that the caller may not use.
async fn projects_named(
    context: &Context,
    seat: &Seat,
    names: &[ProjectName],
) -> Result<Vec<Option<Project>>, Fault> {
    let slugs = names.iter().filter_map(|name| match name {
        ProjectName::Slug(slug) => Some(slug.clone()),
        ProjectName::Id(_) => None,
    });
    let slugs: Vec<_> = slugs.collect();
    let known = context
        .store
        .project_ids(seat.organization.id, &slugs)
        .await?;
    let id = |name: &ProjectName| match name {
        ProjectName::Id(id) => Some(*id),
        ProjectName::Slug(slug) => {
            let found = known.iter().find(|(known, _)| known == slug);
            found.map(|(_, id)| *id)
        }
    };
    let ids: Vec<_> = names.iter().filter_map(id).collect();
    let found = context.store.projects_by_id(&ids).await?;
    let find = |name: &ProjectName| {
        let id = id(name)?;
        let found = found.iter().find(|project| project.id == id);
        found.filter(|project| may_use(seat, project)).cloned()
    };
    Ok(names.iter().map(find).collect())
}
