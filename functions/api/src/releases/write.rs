//! Making, changing and deleting releases.
//!
//! The whole request is read and checked before anything of it is written. Making a release again finds
//! it, so a request that is sent twice does the same.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    extract::{Path, Request, State},
    http::StatusCode,
    response::IntoResponse,
};
use domain::{
    CommitList, CommitRef, Fault, Fetch, FetchStart, GivenCommit, MessageId, Project, Ref, Release,
    ReleaseId, ShortId, Timestamp, TraceId, User, UserId,
};
use runtime::{Answer, Metric};
use store::{NewFetches, Page};
use tokio::time::Instant;

use super::{
    Incoming, Place, RELEASE_DELETE, RELEASE_WRITE, Segments,
    fields::{Family, NewRelease, ReleaseFields, invalid_projects},
    may_use, patiently, projects_named, show,
};
use crate::{Context, auth::Seat};

/// More members than an organization has.
const ALL_MEMBERS: usize = 10_000;

/// What stays the same however often a request is carried out.
struct Attempt {
    now: Timestamp,
    random: u32,
    request: MessageId,
    /// Whether it has let a project use the release, this time or before.
    attached: AtomicBool,
}

impl Attempt {
    fn new(context: &Context) -> Self {
        let now = context.clock.now();
        Self {
            now,
            random: rand::random(),
            request: MessageId::new(now, rand::random()),
            attached: AtomicBool::new(false),
        }
    }
}

/// A request that names newest commits.
struct Asked<'a> {
    fields: &'a ReleaseFields,
    user: Option<UserId>,
    request: MessageId,
    trace: &'a TraceId,
    now: Timestamp,
}

/// `POST .../releases/`
pub(super) async fn create(
    State(context): State<Arc<Context>>,
    Path(segments): Path<Segments>,
    request: Request,
) -> Answer {
    let request = Incoming::read(request).await?;
    let attempt = Attempt::new(&context);
    patiently(|| make(&context, &segments, &request, &attempt)).await
}

async fn make(
    context: &Context,
    segments: &Segments,
    request: &Incoming,
    attempt: &Attempt,
) -> Answer {
    let place = Place::find(context, request.place(), segments, &RELEASE_WRITE).await?;
    let organization = place.seat.organization.id;
    let family = place.family();
    let new = NewRelease::parse(request.fields()?, family, organization)?;
    let projects = match &place.project {
        Some(project) => vec![project.clone()],
        None => requested(context, &place.seat, &new).await?,
    };
    let owner = match &new.owner {
        Some(name) => Some(owner(context, &place.seat, name).await?),
        None => None,
    };

    let found = context.store.release(organization, &new.version).await?;
    let release = match found {
        Some(release) => release,
        None => {
            let mut release =
                Release::new(attempt.id(), organization, new.version.clone(), attempt.now);
            release.reference = new.fields.reference.clone();
            release.url = new.fields.url.clone();
            release.released = new.fields.released;
            release.status = new.fields.status.unwrap_or_default();
            release.owner = owner;
            release.user_agent = request.user_agent();
            let made = context
                .store
                .create_release(&release, &projects, &request.trace, attempt.now)
                .await?;
            // Another id next time, which comes at once.
            made.ok_or_else(|| Fault::Retry("the release's id is taken".into()))?
        }
    };
    let created = release.id == attempt.id();
    if family == Family::Organization && !created {
        closed_to(context, &place.seat, &release).await?;
    }
    let newly = projects
        .iter()
        .any(|project| !release.projects.contains(&project.id));
    attempt.attached.fetch_or(newly, Ordering::Relaxed);
    // Of a release that is there already only the status follows.
    let decide = |seen: &Release| {
        let mut next = seen.clone();
        next.projects.extend(projects.iter().map(|it| it.id));
        next.status = new.fields.status.unwrap_or(seen.status);
        next
    };
    let changed = context
        .store
        .change_release(&release, &projects, decide, &request.trace, attempt.now)
        .await?;
    let mut release = changed.ok_or_else(|| Fault::Retry("the release went away".into()))?;
    let (commits, trace) = (&new.fields.commits, &request.trace);
    release = set_commits(context, release, commits, trace, attempt.now).await?;
    // The list may have made the repositories.
    let heads = known_refs(context, &place.seat, new.fields.refs.as_deref()).await?;
    let asked = Asked {
        fields: &new.fields,
        user: place.seat.user(),
        request: attempt.request,
        trace: &request.trace,
        now: attempt.now,
    };
    release = set_refs(context, release, heads, &asked).await?;
    if created {
        Metric::ReleaseCreated.emit();
    }
    let status = match created || attempt.attached.load(Ordering::Relaxed) {
        true => StatusCode::CREATED,
        false => StatusCode::ALREADY_REPORTED,
    };
    show::one(context, &place.seat, &release, status).await
}

impl Attempt {
    fn id(&self) -> ReleaseId {
        ReleaseId::timed(self.now, self.random)
    }
}

impl Place {
    fn family(&self) -> Family {
        match self.project {
            Some(_) => Family::Project,
            None => Family::Organization,
        }
    }
}

/// The projects that a new release names; the caller has to be able to use all of them.
async fn requested(
    context: &Context,
    seat: &Seat,
    new: &NewRelease,
) -> Result<Vec<Project>, Fault> {
    let found = projects_named(context, seat, &new.projects).await?;
    let (mut projects, mut unknown): (Vec<Project>, _) = (Vec::new(), Vec::new());
    for (name, project) in new.projects.iter().zip(found) {
        match project {
            Some(project) if projects.iter().any(|known| known.id == project.id) => {}
            Some(project) => projects.push(project),
            None => unknown.push(name.to_string()),
        }
    }
    match unknown.is_empty() {
        true => Ok(projects),
        false => Err(Fault::field("projects", invalid_projects(&unknown))),
    }
}

/// Refuses to touch a release that is also in projects that the caller may not use.
async fn closed_to(context: &Context, seat: &Seat, release: &Release) -> Result<(), Fault> {
    let ids: Vec<_> = release.projects.iter().copied().collect();
    let projects = context.store.projects_by_id(&ids).await?;
    let closed = projects.iter().filter(|project| {
        project.status == domain::ProjectStatus::Active && !may_use(seat, project)
    });
    let closed: Vec<_> = closed.map(|project| project.slug.to_string()).collect();
    match closed.is_empty() {
        true => Ok(()),
        false => Err(Fault::field("projects", invalid_projects(&closed))),
    }
}

/// The member that a release names as its owner: by id, address or user name.
async fn owner(context: &Context, seat: &Seat, name: &str) -> Result<UserId, Fault> {
    let unknown = || Fault::field("owner", format!("Cannot find the user \"{name}\"."));
    let organization = seat.organization.id;
    let by_id = match name.parse() {
        Ok(id) => context.store.user(id).await?,
        Err(_) => None,
    };
    let by_email = match (&by_id, name.parse()) {
        (None, Ok(email)) => context.store.user_by_email(&email).await?,
        (Some(_), _) | (None, Err(_)) => None,
    };
    let Some(user) = by_id.or(by_email) else {
        let members = context.store.members(organization, 0, ALL_MEMBERS).await?;
        let named = |user: &User| user.username.eq_ignore_ascii_case(name);
        let found = members.rows.into_iter().find(|(_, user)| named(user));
        return found.map(|(_, user)| user.id).ok_or_else(unknown);
    };
    let member = context.store.member(organization, user.id).await?;
    let outsider = || Fault::field("owner", "The user is not a member of this organization.");
    member.map(|_| user.id).ok_or_else(outsider)
}

/// What refs name, by id. All of their repositories have to be known.
async fn known_refs(
    context: &Context,
    seat: &Seat,
    refs: Option<&[Ref]>,
) -> Result<Vec<CommitRef>, Fault> {
    let refs = refs.unwrap_or_default();
    let names: Vec<_> = refs.iter().map(|it| it.repository.clone()).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let known = context
        .store
        .repositories_named(seat.organization.id, &names)
        .await?;
    let (mut found, mut unknown) = (Vec::new(), Vec::new());
    for it in refs {
        match known.get(&it.repository.folded()) {
            Some(repository) => found.push(CommitRef {
                repository: *repository,
                sha: it.commit.clone(),
            }),
            None if unknown.contains(&it.repository.as_str()) => {}
            None => unknown.push(it.repository.as_str()),
        }
    }
    match unknown.is_empty() {
        true => Ok(found),
        false => {
            let message = format!("Invalid repository names: {}", unknown.join(","));
            Err(Fault::field("refs", message))
        }
    }
}

async fn set_commits(
    context: &Context,
    release: Release,
    commits: &[GivenCommit],
    trace: &TraceId,
    now: Timestamp,
) -> Result<Release, Fault> {
    if commits.is_empty() {
        return Ok(release);
    }
    let list = CommitList::new(commits.to_vec());
    // Which of them are known is only asked where it matters.
    let known = match list.fits(&release, &[]) {
        true => Vec::new(),
        false => {
            let names: Vec<_> = list.repositories().into_iter().cloned().collect();
            let known = context
                .store
                .repositories_named(release.organization, &names);
            known.await?.into_values().collect()
        }
    };
    if !list.fits(&release, &known) {
        let message = "The release has commits of too many repositories.";
        return Err(Fault::field("commits", message));
    }
    let started = Instant::now();
    let set = context
        .store
        .set_commits(&release, &list, trace, now)
        .await?;
    let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Metric::SetCommits { milliseconds }.emit();
    set.ok_or_else(|| Fault::Retry("the release went away".into()))
}

/// Notes the newest commits that refs name, and sends for those before them, unless the request brings
/// commits itself.
async fn set_refs(
    context: &Context,
    release: Release,
    heads: Vec<CommitRef>,
    asked: &Asked<'_>,
) -> Result<Release, Fault> {
    if heads.is_empty() {
        return Ok(release);
    }
    let fetches = match asked.fields.commits.is_empty() {
        true => Some(fetches(context, &release, &heads, asked).await?),
        false => None,
    };
    let set = context
        .store
        .set_heads(&release, &heads, fetches.as_ref())
        .await?;
    set.ok_or_else(|| Fault::Retry("the release went away".into()))
}

/// What the hosts of the repositories are to be asked for. Where a ref does not say after which commit the
/// release begins, it is the newest one of the release before.
async fn fetches<'a>(
    context: &Context,
    release: &Release,
    heads: &[CommitRef],
    asked: &Asked<'a>,
) -> Result<NewFetches<'a>, Fault> {
    let refs = asked.fields.refs.iter().flatten();
    let named: Vec<_> = heads.iter().zip(refs).collect();
    let unsaid = named.iter().any(|(_, it)| it.previous.is_none());
    let before = match unsaid {
        true => previous_release(context, release).await?,
        false => None,
    };
    let mut fetches = BTreeMap::new();
    // Of several of one repository the last one counts.
    for (head, it) in named {
        // The same branch again says nothing, unless it was found out where it was then.
        let says = |start: &&String| Ref::is_hash(start) || **start != head.sha;
        let newest = || before.as_ref()?.heads.get(&head.repository);
        let previous = || newest().filter(says).cloned();
        let start = match &it.previous {
            Some(commit) => Some(FetchStart::Named(commit.clone())),
            None => previous().map(FetchStart::Previous),
        };
        let fetch = Fetch::new(asked.request, head.sha.clone(), start, asked.user);
        fetches.insert(head.repository, fetch);
    }
    Ok(NewFetches {
        request: asked.request,
        fetches,
        trace: asked.trace,
        now: asked.now,
    })
}

/// The newest other release in one of the projects, by when they were released or became known. It may be
/// newer than this one, where this one bears an old date.
async fn previous_release(context: &Context, release: &Release) -> Result<Option<Release>, Fault> {
    let ids: Vec<_> = release.projects.iter().copied().collect();
    let mut newest: Option<Release> = None;
    for project in context.store.projects_by_id(&ids).await? {
        let other = |found: &Release| found.id != release.id;
        let found = context.store.newest_release(&project, other).await?;
        newest = newest.into_iter().chain(found).max_by_key(Release::date);
    }
    Ok(newest)
}

/// `PUT .../releases/{version}/`
pub(super) async fn update(
    State(context): State<Arc<Context>>,
    Path(segments): Path<Segments>,
    request: Request,
) -> Answer {
    let request = Incoming::read(request).await?;
    let attempt = Attempt::new(&context);
    patiently(|| change(&context, &segments, &request, &attempt)).await
}

async fn change(
    context: &Context,
    segments: &Segments,
    request: &Incoming,
    attempt: &Attempt,
) -> Answer {
    let (place, release, projects) =
        Place::release_at(context, request.place(), segments, &RELEASE_WRITE).await?;
    let organization = place.seat.organization.id;
    let fields = ReleaseFields::parse(request.fields()?, place.family(), organization)?;
    // What is left out, null or blank stays. Sentry does not open an archived release here; this does.
    let decide = |seen: &Release| {
        let mut next = seen.clone();
        next.reference = fields.reference.clone().or(next.reference);
        next.url = fields.url.clone().or(next.url);
        next.released = fields.released.or(next.released);
        next.status = fields.status.unwrap_or(seen.status);
        next
    };
    let changed = context
        .store
        .change_release(&release, &projects, decide, &request.trace, attempt.now)
        .await?;
    let mut release = changed.ok_or_else(Fault::not_found)?;
    let (commits, trace) = (&fields.commits, &request.trace);
    release = set_commits(context, release, commits, trace, attempt.now).await?;
    let heads = known_refs(context, &place.seat, fields.refs.as_deref()).await?;
    release = match &fields.refs {
        Some(refs) if refs.is_empty() && fields.commits.is_empty() => {
            let store = &context.store;
            let cleared = store.clear_commits(&release, trace, attempt.now).await?;
            cleared.ok_or_else(Fault::not_found)?
        }
        Some(_) | None => {
            let asked = Asked {
                fields: &fields,
                user: place.seat.user(),
                request: attempt.request,
                trace: &request.trace,
                now: attempt.now,
            };
            set_refs(context, release, heads, &asked).await?
        }
    };
    show::one(context, &place.seat, &release, StatusCode::OK).await
}

/// How many of the issues that hold a release are named.
const NAMED: usize = 3;

/// Says what keeps a release from being deleted, and what can be done instead.
fn is_held(held: &Page<ShortId>) -> Fault {
    let names: Vec<_> = held.rows.iter().map(ShortId::to_string).collect();
    let more = if held.more { " and others" } else { "" };
    Fault::detail(format!(
        "This release cannot be removed: the issues {}{more} were first seen in it. It can be archived.",
        names.join(", ")
    ))
}

/// `DELETE .../releases/{version}/`
pub(super) async fn delete(
    State(context): State<Arc<Context>>,
    Path(segments): Path<Segments>,
    request: Request,
) -> Answer {
    let request = Incoming::read(request).await?;
    let now = context.clock.now();
    patiently(|| async {
        let at = request.place();
        let (_, release, _) = Place::release_at(&context, at, &segments, &RELEASE_DELETE).await?;
        let held = context.store.first_seen_in(release.id, NAMED).await?;
        if !held.rows.is_empty() {
            return Err(is_held(&held).into());
        }
        match context
            .store
            .delete_release(&release, &request.trace, now)
            .await?
        {
            true => Ok(StatusCode::NO_CONTENT.into_response()),
            false => Err(Fault::not_found().into()),
        }
    })
    .await
}
