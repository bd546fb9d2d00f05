//! Releases, and the lists they are in.
//!
//! A release lies under its organization and version, everything that belongs to it under its id: a
//! version that is made again after it was deleted never meets what was left of the old one. Lists hold
//! pointers, which may be older than the release; readers look at the release itself.

use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet},
    hash::Hash,
};

use domain::{
    ClearExpiredResolutions, Commit, CommitAuthor, CommitRef, Deploy, DeployId, Email, Member,
    Message, OrganizationId, Project, ProjectId, Release, ReleaseId, ReleaseQuery, ReleaseStatus,
    Timestamp, TraceId, User, UserId, Version,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    error::StoreError,
    keys::{self, Key},
    table::{ATTEMPTS, BATCH_KEYS, Item, Page, Query, Store, key_of, read, step_aside, value},
    transaction::{Change, Commit as Committed, Transaction},
};

/// How many projects of a release change in one transaction, of up to four writes each.
const PROJECTS_AT_ONCE: usize = 20;

/// Longest name of a line in an activity, in characters.
pub(crate) const MAX_IDENT: usize = 64;

/// How many pointers of a list are read at once, where most of them are wanted.
const POINTERS: i32 = 250;

/// What leads from a release's id to it.
#[derive(Serialize, Deserialize)]
struct ReleaseRef {
    organization: OrganizationId,
    version: Version,
}

/// A place in a list of releases, with what lists are searched by.
#[derive(Serialize, Deserialize)]
pub(crate) struct Pointer {
    pub(crate) release: ReleaseId,
    pub(crate) version: Version,
    status: ReleaseStatus,
    released: Option<Timestamp>,
}

impl Pointer {
    fn of(release: &Release) -> Self {
        Self {
            release: release.id,
            version: release.version.clone(),
            status: release.status,
            released: release.released,
        }
    }
}

/// A line in the activity of a project.
#[derive(Serialize, Deserialize)]
struct ReleaseActivity {
    kind: String,
    /// The beginning of the version, at most 64 characters.
    ident: String,
    version: Version,
    at: Timestamp,
}

/// What is wanted of a list of releases.
#[derive(Debug, Clone, Default)]
pub struct ReleaseFilter {
    /// What the version says.
    pub query: ReleaseQuery,
    /// `None`: whatever it is.
    pub status: Option<ReleaseStatus>,
}

impl ReleaseFilter {
    fn admits(&self, pointer: &Pointer) -> bool {
        self.status.is_none_or(|status| status == pointer.status)
            && self
                .query
                .matches(&pointer.version, pointer.released.is_some())
    }
}

/// What is shown with releases, by id or address.
#[derive(Debug, Default)]
pub struct ReleaseDetails {
    /// The projects that use them.
    pub projects: HashMap<ProjectId, Project>,
    /// Their authors, as commits name them.
    pub authors: HashMap<String, CommitAuthor>,
    /// The people that authors are: active members with the address.
    pub people: HashMap<String, User>,
    /// Who answers for them.
    pub owners: HashMap<UserId, User>,
    /// Their newest commits, where more is known than the hash.
    pub commits: HashMap<CommitRef, Commit>,
    /// Their last deploys.
    pub deploys: HashMap<DeployId, Deploy>,
}

/// Whether a place in a project's list is the one that the release has there.
fn is_of(project: ProjectId, keep: impl Fn(&Release) -> bool) -> impl Fn(&Release, &Key) -> bool {
    move |release, place| {
        let current = keys::project_release(project, release) == *place;
        current && release.projects.contains(&project) && keep(release)
    }
}

impl Store {
    /// The release with this version.
    pub async fn release(
        &self,
        organization: OrganizationId,
        version: &Version,
    ) -> Result<Option<Release>, StoreError> {
        self.get(&keys::release(organization, version)).await
    }

    /// Stores a new release in these projects, or finds the one with its version, which stays as it is.
    /// `None`: its id is taken, draw another one.
    pub async fn create_release(
        &self,
        new: &Release,
        projects: &[Project],
        trace: &TraceId,
        now: Timestamp,
    ) -> Result<Option<Release>, StoreError> {
        let first = projects.iter().take(PROJECTS_AT_ONCE);
        let mut release = new.clone();
        release.projects = first.clone().map(|project| project.id).collect();
        let reference = ReleaseRef {
            organization: release.organization,
            version: release.version.clone(),
        };
        let mut transaction = self
            .transaction()
            .put_new(
                &keys::release(release.organization, &release.version),
                &release,
            )?
            .put_new(&keys::release_id(release.id), &reference)?
            .put(
                &keys::organization_release(&release),
                &Pointer::of(&release),
            )?;
        for project in first {
            transaction = transaction.attach(&release, project)?;
        }
        if !release.projects.is_empty() {
            transaction = transaction.send(clear_expired(&release), trace, now, now)?;
        }
        match transaction.commit().await? {
            Committed::Done if projects.len() <= PROJECTS_AT_ONCE => Ok(Some(release)),
            Committed::Done => self.attach_projects(&release, projects, trace, now).await,
            Committed::Refused(writes) if writes.contains(&0) => {
                self.release(new.organization, &new.version).await
            }
            Committed::Refused(_) => Ok(None),
        }
    }

    /// Lets projects use a release, as well as those that do. `None`: it is gone.
    pub async fn attach_projects(
        &self,
        release: &Release,
        projects: &[Project],
        trace: &TraceId,
        now: Timestamp,
    ) -> Result<Option<Release>, StoreError> {
        let ids = projects.iter().map(|project| project.id);
        let attach = |seen: &Release| {
            let mut new = seen.clone();
            new.projects.extend(ids.clone());
            new
        };
        self.change_release(release, projects, attach, trace, now)
            .await
    }

    /// Commits what `decide` makes of a release: status, ref, URL, date, projects. `projects` are those that
    /// may come newly. Decided again when the release was changed meanwhile. `None`: it is gone.
    pub async fn change_release(
        &self,
        seen: &Release,
        projects: &[Project],
        decide: impl Fn(&Release) -> Release,
        trace: &TraceId,
        now: Timestamp,
    ) -> Result<Option<Release>, StoreError> {
        let mut seen = seen.clone();
        for attempt in 0..ATTEMPTS {
            step_aside(attempt).await;
            let mut new = decide(&seen);
            if new == seen {
                return Ok(Some(seen));
            }
            new.rev = seen.rev + 1;
            let committed = self.commit_release(&seen, &new, projects, trace, now);
            if committed.await? == Committed::Done {
                return Ok(Some(new));
            }
            match self.release(seen.organization, &seen.version).await? {
                Some(found) => seen = found,
                None => return Ok(None),
            }
        }
        Err(StoreError::Contended(format!("release {}", seen.id)))
    }

    /// Writes the places in the projects' lists first where they do not all fit into one transaction: until
    /// the release itself says the same, readers pass over them.
    async fn commit_release(
        &self,
        seen: &Release,
        new: &Release,
        projects: &[Project],
        trace: &TraceId,
        now: Timestamp,
    ) -> Result<Committed, StoreError> {
        let moved = seen.status != new.status || seen.released != new.released;
        let ids = new.projects.iter().copied();
        let touched: Vec<_> = ids
            .filter(|id| moved || !seen.projects.contains(id))
            .collect();
        let mut chunks: Vec<_> = touched.chunks(PROJECTS_AT_ONCE).collect();
        let last = chunks.pop().unwrap_or_default();
        for chunk in chunks {
            let transaction = self.transaction().places(seen, new, projects, chunk)?;
            let committed = transaction.commit().await?;
            if committed != Committed::Done {
                return Ok(committed);
            }
        }
        let mut transaction = self
            .transaction()
            .update(
                &keys::release(new.organization, &new.version),
                release_change(seen, new)?,
            )?
            .places(seen, new, projects, last)?;
        if moved {
            let key = keys::organization_release(new);
            transaction = transaction.put(&key, &Pointer::of(new))?;
        }
        if !new.projects.is_subset(&seen.projects) {
            transaction = transaction.send(clear_expired(new), trace, now, now)?;
        }
        transaction.commit().await
    }

    /// The releases of a project, the newest first, by when they were released or became known.
    pub async fn releases_of_project(
        &self,
        project: &Project,
        filter: &ReleaseFilter,
        keep: impl Fn(&Release) -> bool,
        skip: usize,
        limit: usize,
    ) -> Result<Page<Release>, StoreError> {
        let list = List {
            organization: project.organization,
            pk: &keys::project(project.id).pk,
            prefix: keys::PROJECT_RELEASES,
            filter,
            order: None,
            consistent: false,
        };
        self.list_of_project(&list, project, keep, skip, limit)
            .await
    }

    /// The newest of the releases of a project that `keep` holds for. It drives what a client sends, so it is
    /// read consistently.
    pub async fn newest_release(
        &self,
        project: &Project,
        keep: impl Fn(&Release) -> bool,
    ) -> Result<Option<Release>, StoreError> {
        let list = List {
            organization: project.organization,
            pk: &keys::project(project.id).pk,
            prefix: keys::PROJECT_RELEASES,
            filter: &ReleaseFilter::default(),
            order: None,
            consistent: true,
        };
        let keep = is_of(project.id, keep);
        let first = self.first_releases(&list, keep, 1).await?;
        Ok(first.into_iter().next())
    }

    async fn list_of_project(
        &self,
        list: &List<'_>,
        project: &Project,
        keep: impl Fn(&Release) -> bool,
        skip: usize,
        limit: usize,
    ) -> Result<Page<Release>, StoreError> {
        let keep = is_of(project.id, keep);
        self.list_releases(list, keep, skip, limit).await
    }

    /// The releases of an organization, in an order of their versions or else the newest first, by when they
    /// became known.
    pub async fn releases_of_organization(
        &self,
        organization: OrganizationId,
        filter: &ReleaseFilter,
        order: Option<Order>,
        keep: impl Fn(&Release) -> bool,
        skip: usize,
        limit: usize,
    ) -> Result<Page<Release>, StoreError> {
        let list = List {
            organization,
            pk: &keys::organization(organization).pk,
            prefix: keys::ORGANIZATION_RELEASES,
            filter,
            order,
            consistent: false,
        };
        let keep = |release: &Release, place: &Key| {
            keys::organization_release(release) == *place && keep(release)
        };
        self.list_releases(&list, keep, skip, limit).await
    }

    async fn list_releases(
        &self,
        list: &List<'_>,
        keep: impl Fn(&Release, &Key) -> bool,
        skip: usize,
        limit: usize,
    ) -> Result<Page<Release>, StoreError> {
        let wanted = skip.saturating_add(limit).saturating_add(1);
        let found = self.first_releases(list, keep, wanted).await?;
        let more = found.len() >= wanted;
        let rows = found.into_iter().skip(skip).take(limit).collect();
        Ok(Page { rows, more })
    }

    async fn first_releases(
        &self,
        list: &List<'_>,
        keep: impl Fn(&Release, &Key) -> bool,
        wanted: usize,
    ) -> Result<Vec<Release>, StoreError> {
        let query = Query {
            descending: true,
            ..Query::prefix(list.pk, list.prefix)
        };
        let all = list.order.is_some();
        let at_once = (!all && list.filter.query.is_empty()).then_some(POINTERS);
        let (mut found, mut places, mut start) = (Vec::new(), Vec::new(), None);
        loop {
            let (items, next) = self
                .query_page(&query, list.consistent, at_once, start)
                .await?;
            for item in items {
                let place = key_of(&item);
                let pointer: Pointer = read(&place, item)?;
                if list.filter.admits(&pointer) {
                    places.push((place, pointer.version));
                }
            }
            if let (Some(order), None) = (list.order, &next) {
                places.sort_by(|(_, a), (_, b)| order(a, b));
            }
            if !all || next.is_none() {
                let places = std::mem::take(&mut places);
                self.read_releases(list, places, &keep, &mut found, wanted)
                    .await?;
            }
            if next.is_none() || found.len() >= wanted {
                return Ok(found);
            }
            start = next;
        }
    }

    /// Reads the releases at these places until there are as many as are wanted.
    async fn read_releases(
        &self,
        list: &List<'_>,
        places: Vec<(Key, Version)>,
        keep: &impl Fn(&Release, &Key) -> bool,
        found: &mut Vec<Release>,
        wanted: usize,
    ) -> Result<(), StoreError> {
        for chunk in places.chunks(BATCH_KEYS) {
            if found.len() >= wanted {
                break;
            }
            let key = |version| keys::release(list.organization, version);
            let keys = chunk.iter().map(|(_, version)| key(version)).collect();
            let items = self.get_all(keys).await?;
            for (place, version) in chunk {
                let key = key(version);
                // Several places may lead to one release, of which one is where it is.
                let Some(item) = items.get(&key) else {
                    continue;
                };
                let release: Release = read(&key, item.clone())?;
                if list.filter.admits(&Pointer::of(&release)) && keep(&release, place) {
                    found.push(release);
                }
            }
        }
        Ok(())
    }

    /// Reads what is shown with releases of one organization.
    pub async fn release_details(
        &self,
        organization: OrganizationId,
        releases: &[Release],
    ) -> Result<ReleaseDetails, StoreError> {
        let mut wanted = HashSet::new();
        for release in releases {
            wanted.extend(release.projects.iter().map(|id| keys::project(*id)));
            wanted.extend(release.owner.map(keys::user));
            wanted.extend(release.last_commit().as_ref().map(keys::commit));
            let deploy = release.last_deploy;
            wanted.extend(deploy.map(|deploy| keys::deploy(release.id, deploy)));
            for author in release.authors() {
                wanted.insert(keys::commit_author(organization, author));
                let address = author.parse::<Email>().ok();
                wanted.extend(address.as_ref().map(keys::email_owner));
            }
        }
        let mut found = Found(self.get_all(wanted.into_iter().collect()).await?);
        let mut details = ReleaseDetails::default();
        let mut owners = HashMap::new();
        for release in releases {
            for id in &release.projects {
                found.take(&keys::project(*id), *id, &mut details.projects)?;
            }
            if let Some(owner) = release.owner {
                found.take(&keys::user(owner), owner, &mut details.owners)?;
            }
            if let Some(commit) = release.last_commit() {
                found.take(&keys::commit(&commit), commit.clone(), &mut details.commits)?;
            }
            if let Some(deploy) = release.last_deploy {
                let key = keys::deploy(release.id, deploy);
                found.take(&key, deploy, &mut details.deploys)?;
            }
            for author in release.authors() {
                let key = keys::commit_author(organization, author);
                found.take(&key, author.to_owned(), &mut details.authors)?;
                if let Ok(address) = author.parse::<Email>() {
                    found.take(&keys::email_owner(&address), author.to_owned(), &mut owners)?;
                }
            }
        }
        details.people = self.members_among(organization, owners).await?;
        Ok(details)
    }

    /// Those of the people who are active and in the organization.
    pub(crate) async fn members_among(
        &self,
        organization: OrganizationId,
        people: HashMap<String, AddressOwner>,
    ) -> Result<HashMap<String, User>, StoreError> {
        let ids = people.values().map(|owner| owner.user);
        let keys = ids.flat_map(|id| [keys::user(id), keys::member(organization, id)]);
        let mut found = Found(self.get_all(keys.collect()).await?);
        let (mut members, mut users) = (HashMap::new(), HashMap::new());
        for AddressOwner { user } in people.values() {
            let key = keys::member(organization, *user);
            found.take::<_, Member>(&key, *user, &mut members)?;
            found.take::<_, User>(&keys::user(*user), *user, &mut users)?;
        }
        let member = |(email, owner): (String, AddressOwner)| {
            members.get(&owner.user)?;
            let user = users.get(&owner.user)?;
            user.active.then(|| (email, user.clone()))
        };
        Ok(people.into_iter().filter_map(member).collect())
    }
}

/// An order of versions.
pub type Order = fn(&Version, &Version) -> Ordering;

/// Which list of releases, and what of it is wanted.
struct List<'a> {
    organization: OrganizationId,
    pk: &'a str,
    prefix: &'a str,
    filter: &'a ReleaseFilter,
    order: Option<Order>,
    consistent: bool,
}

/// Whose primary address it is.
#[derive(Deserialize)]
pub(crate) struct AddressOwner {
    pub(crate) user: UserId,
}

/// Items that were read in one batch.
pub(crate) struct Found(pub(crate) HashMap<Key, Item>);

impl Found {
    /// Reads the item with this key into a map, if it is there and was not taken yet.
    pub(crate) fn take<K: Eq + Hash, T: DeserializeOwned>(
        &mut self,
        key: &Key,
        name: K,
        into: &mut HashMap<K, T>,
    ) -> Result<(), StoreError> {
        if let Some(item) = self.0.remove(key) {
            into.insert(name, read(key, item)?);
        }
        Ok(())
    }
}

impl Transaction<'_> {
    /// The project uses the release from now on: its place in the list, the line in the activity if it is
    /// released, and the flag if it is the first.
    fn attach(self, release: &Release, project: &Project) -> Result<Self, StoreError> {
        let attached = self
            .put(
                &keys::project_release(project.id, release),
                &Pointer::of(release),
            )?
            .tell_of_release(project.id, release)?;
        if project.flags.has_releases {
            return Ok(attached);
        }
        let change = Change {
            expression: "SET flags.has_releases = :true".into(),
            condition: "attribute_exists(PK)".into(),
            names: Vec::new(),
            values: [(":true".into(), value(&true)?)].into(),
        };
        attached.update(&keys::project(project.id), change)
    }

    /// The line that a project shows once it has the release, and the release a date.
    fn tell_of_release(self, project: ProjectId, release: &Release) -> Result<Self, StoreError> {
        let Some(at) = release.released else {
            return Ok(self);
        };
        let ident = release.version.as_str().chars().take(MAX_IDENT).collect();
        let activity = ReleaseActivity {
            kind: "release".into(),
            ident,
            version: release.version.clone(),
            at,
        };
        self.put(&keys::release_activity(project, release.id), &activity)
    }

    /// Moves a release to its new place in the lists of these projects.
    fn places(
        self,
        seen: &Release,
        new: &Release,
        projects: &[Project],
        ids: &[ProjectId],
    ) -> Result<Self, StoreError> {
        ids.iter().try_fold(self, |transaction, id| {
            if !seen.projects.contains(id) {
                let project = projects.iter().find(|project| project.id == *id);
                return match project {
                    Some(project) => transaction.attach(new, project),
                    None => Ok(transaction),
                };
            }
            let (old, place) = (
                keys::project_release(*id, seen),
                keys::project_release(*id, new),
            );
            let moved = match old == place {
                true => transaction,
                false => transaction.delete(&old)?,
            };
            let moved = moved.put(&place, &Pointer::of(new))?;
            // A second date adds no second line.
            match seen.released {
                Some(_) => Ok(moved),
                None => moved.tell_of_release(*id, new),
            }
        })
    }
}

/// What follows when a project has a new release: by then it is attached.
fn clear_expired(release: &Release) -> Message {
    Message::ClearExpiredResolutions(ClearExpiredResolutions {
        organization: release.organization,
        release: release.id,
        version: release.version.clone(),
        after: None,
    })
}

/// The update of a release: what its commits are is left alone.
pub(crate) fn release_change(seen: &Release, new: &Release) -> Result<Change, StoreError> {
    let fields = [
        ("status", value(&new.status)?),
        ("ref", value(&new.reference)?),
        ("url", value(&new.url)?),
        ("released", value(&new.released)?),
        ("projects", value(&new.projects)?),
        ("environments", value(&new.environments)?),
        ("total_deploys", value(&new.total_deploys)?),
        ("last_deploy", value(&new.last_deploy)?),
        ("rev", value(&new.rev)?),
    ];
    let mut change = Change {
        // A version that was deleted and made again begins with the same numbers.
        condition: "#rev = :seen AND id = :id".into(),
        values: [
            (":seen".into(), value(&seen.rev)?),
            (":id".into(), value(&seen.id)?),
        ]
        .into(),
        ..Change::default()
    };
    let mut sets = Vec::new();
    for (name, value) in fields {
        sets.push(format!("#{name} = :{name}"));
        change.names.push((format!("#{name}"), name.into()));
        change.values.insert(format!(":{name}"), value);
    }
    change.expression = format!("SET {}", sets.join(", "));
    Ok(change)
}
