//! What commits and pull requests say of groups: which groups know of it, and which a release has resolved.
//!
//! The row of a commit or a pull request names the groups that its text refers to and those that know. A
//! group comes to know in the transaction that says so in the row, so nothing happens twice; a release
//! resolves a group in the transaction that leaves a mark for what referred to it.

use std::collections::{BTreeSet, HashMap};

use domain::{
    Activity, ActivityKind, CodeChange, CommitRef, Decision, Email, GroupId, GroupState, LinkStep,
    Member, Mention, OrganizationId, Outcome, ProjectId, Release, ShortId, Slug, Timestamp,
    TraceId, User,
};
use serde::Serialize;

use crate::{
    error::StoreError,
    groups::GroupRef,
    keys::{self, Key},
    projects::ProjectRef,
    releases::Found,
    sync_trail::Cause,
    table::{
        ATTEMPTS, Item, Page, Query, Sort, Store, attributes, key_of, read, step_aside, value,
    },
    transaction::{Change, Commit},
};

/// Left where a release has resolved a group.
#[derive(Serialize)]
struct Done {
    at: Timestamp,
}

/// What became of one step of a mention or of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is made.
    Made,
    /// It was made before, or what it was decided on is not so any more.
    Stale,
    /// The group is gone.
    Gone,
}

/// Groups by their short ids, in two reads that may be parts of others: the projects, then the groups.
pub(crate) struct NamedGroups {
    organization: OrganizationId,
    ids: BTreeSet<ShortId>,
    projects: HashMap<Slug, ProjectId>,
}

impl NamedGroups {
    pub(crate) fn new(organization: OrganizationId, ids: BTreeSet<ShortId>) -> Self {
        Self {
            organization,
            ids,
            projects: HashMap::new(),
        }
    }

    /// What has to be read for the projects.
    pub(crate) fn slugs(&self) -> impl Iterator<Item = Key> {
        let slugs: BTreeSet<_> = self.ids.iter().map(ShortId::project).collect();
        slugs.into_iter().flat_map(|slug| self.places(&slug))
    }

    /// A project is found by its slug, or by one that it had.
    fn places(&self, slug: &Slug) -> [Key; 2] {
        [
            keys::project_slug(self.organization, slug),
            keys::former_project_slug(self.organization, slug),
        ]
    }

    pub(crate) fn read_projects(&mut self, found: &HashMap<Key, Item>) -> Result<(), StoreError> {
        for slug in self.ids.iter().map(ShortId::project) {
            let mut places = self.places(&slug).into_iter();
            if let Some(key) = places.find(|key| found.contains_key(key)) {
                let ProjectRef { project } = read(&key, found[&key].clone())?;
                self.projects.insert(slug, project);
            }
        }
        Ok(())
    }

    /// What has to be read for the groups, once the projects are known.
    pub(crate) fn short_ids(&self) -> impl Iterator<Item = Key> {
        self.ids.iter().filter_map(|id| self.short_id(id))
    }

    fn short_id(&self, id: &ShortId) -> Option<Key> {
        Some(keys::short_id(*self.projects.get(&id.project())?, id))
    }

    pub(crate) fn groups(
        &self,
        found: &HashMap<Key, Item>,
    ) -> Result<HashMap<ShortId, GroupId>, StoreError> {
        let mut groups = HashMap::new();
        for id in &self.ids {
            let Some(key) = self.short_id(id) else {
                continue;
            };
            if let Some(item) = found.get(&key) {
                let GroupRef { group } = read(&key, item.clone())?;
                groups.insert(id.clone(), group);
            }
        }
        Ok(groups)
    }
}

impl Store {
    /// The groups with these short ids, without those that do not exist.
    pub(crate) async fn groups_named(
        &self,
        organization: OrganizationId,
        ids: BTreeSet<ShortId>,
    ) -> Result<HashMap<ShortId, GroupId>, StoreError> {
        let mut named = NamedGroups::new(organization, ids);
        named.read_projects(&self.get_all(named.slugs().collect()).await?)?;
        named.groups(&self.get_all(named.short_ids().collect()).await?)
    }

    /// What a commit or a pull request says of groups; `None`: nothing is known of it.
    pub async fn mention(&self, change: &CodeChange) -> Result<Option<Mention>, StoreError> {
        self.get(&keys::code_change(change)).await
    }

    /// What is known of commits, without those of which nothing is.
    pub async fn commits(
        &self,
        commits: &[CommitRef],
    ) -> Result<HashMap<CommitRef, domain::Commit>, StoreError> {
        let mut found = Found(
            self.get_all(commits.iter().map(keys::commit).collect())
                .await?,
        );
        let mut known = HashMap::new();
        for commit in commits {
            found.take(&keys::commit(commit), commit.clone(), &mut known)?;
        }
        Ok(known)
    }

    /// The members with this address, who are active and have proven it, with the lowest id first.
    pub async fn members_with_address(
        &self,
        organization: OrganizationId,
        address: &Email,
    ) -> Result<Vec<(Member, User)>, StoreError> {
        let known = self.users_with_address(address).await?;
        let known = known.iter().filter(|known| known.verified && known.active);
        let users: Vec<_> = known.map(|known| known.user).collect();
        self.members_with_ids(organization, &users).await
    }

    /// Lets a group know of a commit or pull request, or that it is not referred to any more, together with
    /// what `decide` makes of it. Decided again when the group was changed meanwhile.
    pub async fn link_group(
        &self,
        change: &CodeChange,
        mention: &Mention,
        step: LinkStep,
        decide: impl Fn(&GroupState) -> Decision,
        cause: &Cause<'_>,
    ) -> Result<Step, StoreError> {
        let (LinkStep::Link(group) | LinkStep::Unlink(group)) = step;
        for attempt in 0..ATTEMPTS {
            step_aside(attempt).await;
            let Some(state) = self.group_state(group).await? else {
                return Ok(Step::Gone);
            };
            let decision = decide(&state);
            let mut transaction = self
                .transaction()
                .update(&keys::code_change(change), linked(mention, step)?)?;
            if let Some(write) = &decision.write {
                transaction = transaction.write_group(&state, write, cause.trace, cause.now)?;
            }
            match transaction.commit().await? {
                Commit::Done => return Ok(Step::Made),
                Commit::Refused(writes) if writes.contains(&0) => return Ok(Step::Stale),
                Commit::Refused(_) => {}
            }
        }
        Err(StoreError::Contended("the group".into()))
    }

    /// Takes a group that is gone off the list of those that know.
    pub async fn forget_group(
        &self,
        change: &CodeChange,
        mention: &Mention,
        group: GroupId,
    ) -> Result<(), StoreError> {
        let update = linked(mention, LinkStep::Unlink(group))?;
        let transaction = self
            .transaction()
            .update(&keys::code_change(change), update)?;
        match transaction.commit().await? {
            Commit::Done | Commit::Refused(_) => Ok(()),
        }
    }

    /// Lets a release resolve a group by what refers to it, once for each. Decided again when the group was
    /// changed meanwhile.
    pub async fn resolve_group(
        &self,
        release: &Release,
        change: &CodeChange,
        group: GroupId,
        decide: impl Fn(&GroupState) -> Decision,
        cause: &Cause<'_>,
    ) -> Result<Step, StoreError> {
        let (mark, key) = (
            keys::resolved_by(group, release.id, change),
            keys::group_state(group),
        );
        for attempt in 0..ATTEMPTS {
            step_aside(attempt).await;
            let mut found = self.get_all(vec![mark.clone(), key.clone()]).await?;
            if found.contains_key(&mark) {
                return Ok(Step::Stale);
            }
            let Some(state) = found.remove(&key) else {
                return Ok(Step::Gone);
            };
            let state: GroupState = read(&key, state)?;
            let decision = decide(&state);
            let mut transaction = self.transaction().put_new(&mark, &Done { at: cause.now })?;
            if let Some(write) = &decision.write {
                transaction = transaction.write_group(&state, write, cause.trace, cause.now)?;
            }
            match transaction.commit().await? {
                Commit::Done if decision.outcome == Outcome::Applied => return Ok(Step::Made),
                Commit::Done => return Ok(Step::Stale),
                Commit::Refused(writes) if writes.contains(&0) => return Ok(Step::Stale),
                Commit::Refused(_) => {}
            }
        }
        Err(StoreError::Contended("the group".into()))
    }

    /// Up to `limit` groups of a project, after `after`, that are resolved in its next release, and whether
    /// there are more.
    pub async fn waiting_for_release(
        &self,
        project: ProjectId,
        after: Option<GroupId>,
        limit: u16,
    ) -> Result<Page<GroupId>, StoreError> {
        let pk = keys::project(project).pk;
        let query = Query::prefix(&pk, keys::PENDING_RESOLUTIONS);
        let start = after.map(|group| attributes(&keys::pending_resolution(project, group)));
        let (items, next) = self
            .query_page(&query, true, Some(i32::from(limit)), start)
            .await?;
        let rows = items.into_iter().map(|item| {
            let GroupRef { group } = read(&key_of(&item), item)?;
            Ok(group)
        });
        Ok(Page {
            rows: rows.collect::<Result<_, StoreError>>()?,
            more: next.is_some(),
        })
    }

    /// Puts a release into the place of the next one that a group waits for, in its activity as well. `false`:
    /// it does not wait, or not for this one.
    pub async fn settle_resolution(
        &self,
        group: GroupId,
        release: &Release,
        trace: &TraceId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        for attempt in 0..ATTEMPTS {
            step_aside(attempt).await;
            let Some(state) = self.group_state(group).await? else {
                return Ok(false);
            };
            let Some(write) = domain::settle_resolution(&state, release) else {
                return Ok(false);
            };
            let mut transaction = self.transaction().write_group(&state, &write, trace, now)?;
            if let Some(key) = self.waiting_activity(group).await? {
                let change = Change {
                    expression: "SET version = :version".into(),
                    condition: format!("attribute_exists({})", crate::PARTITION_KEY),
                    names: Vec::new(),
                    values: [(":version".into(), value(&release.version)?)].into(),
                };
                transaction = transaction.update(&key, change)?;
            }
            if transaction.commit().await? == Commit::Done {
                return Ok(true);
            }
        }
        Err(StoreError::Contended("the group".into()))
    }

    /// The newest line of a group's activity that says that it is resolved in a release.
    async fn waiting_activity(&self, group: GroupId) -> Result<Option<Key>, StoreError> {
        let pk = keys::group_meta(group).pk;
        let query = Query {
            pk: &pk,
            sort: Sort::Prefix(keys::ACTIVITIES),
            descending: true,
            filters: Vec::new(),
        };
        let mut start = None;
        loop {
            let (items, next) = self.query_page(&query, true, Some(25), start).await?;
            for item in items {
                let key = key_of(&item);
                let activity: Activity = read(&key, item)?;
                if let ActivityKind::SetResolvedInRelease { version } = activity.kind {
                    return Ok(version.is_none().then_some(key));
                }
            }
            if next.is_none() {
                return Ok(None);
            }
            start = next;
        }
    }
}

/// The update of a row's list of groups that know, where the row still says what it was seen to.
fn linked(mention: &Mention, step: LinkStep) -> Result<Change, StoreError> {
    let mut change = Change {
        // A reserved word.
        names: vec![("#groups".into(), "groups".into())],
        ..Change::default()
    };
    let mut conditions = Vec::new();
    for (name, placeholder, seen) in [
        ("#groups", ":groups", &mention.groups),
        ("linked", ":linked", &mention.linked),
    ] {
        match seen.is_empty() {
            true => conditions.push(format!("attribute_not_exists({name})")),
            false => {
                conditions.push(format!("{name} = {placeholder}"));
                change.values.insert(placeholder.into(), value(seen)?);
            }
        }
    }
    change.condition = conditions.join(" AND ");
    let linked = mention.linked_after(step);
    match linked.is_empty() {
        true => change.expression = "REMOVE linked".into(),
        false => {
            change.expression = "SET linked = :next".into();
            change.values.insert(":next".into(), value(&linked)?);
        }
    }
    Ok(change)
}
