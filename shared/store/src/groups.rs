//! Groups: their state, what they show, their links and their activity.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{
    Activity, ActivityId, AssigneeWrite, Decision, ExternalKey, Group, GroupId, GroupState,
    GroupStats, GroupStatus, GroupWrite, InboxReason, IntegrationId, Level, Link, LinkState,
    Member, OrganizationId, Outcome, PositionGuard, Project, ProjectId, ReleaseId, Resolution,
    ShortId, Substatus, Timestamp, Told, TraceId, UserId,
};
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    error::StoreError,
    hash::sha256_hex,
    keys::{self, Key},
    sync_trail::{Cause, LinkedIssue},
    table::{
        ATTEMPTS, BATCHES_AT_ONCE, Created, Item, Page, Query, Sort, Store, key_of, read,
        step_aside, text, value,
    },
    transaction::{Change, Commit, Transaction, claim},
};

/// Everything that shows a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupView {
    /// What does not change with its state.
    pub group: Group,
    /// What does.
    pub state: GroupState,
    /// Its counters, summed.
    pub stats: GroupStats,
}

/// A group to be made.
#[derive(Debug, Clone)]
pub struct NewGroup {
    /// One line.
    pub title: String,
    /// Where in the code.
    pub culprit: Option<String>,
    /// How bad.
    pub level: Level,
    /// The kind of software.
    pub platform: Option<String>,
    /// What makes two of them the same group in one project.
    pub fingerprint: String,
    /// The release that it was first seen in.
    pub first_release: Option<ReleaseId>,
}

/// What holds a release: a group that was first seen in it.
#[derive(Serialize, Deserialize)]
struct FirstSeen {
    group: GroupId,
    /// What it was called then.
    short_id: ShortId,
}

/// A group that is linked to an external issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkedGroup {
    /// The group.
    pub group: GroupId,
    /// The project it belongs to; a group never moves.
    pub project: ProjectId,
}

/// What decides about an assignment: the groups as they are, their projects, and the memberships of
/// those who may be assigned.
#[derive(Debug, Default)]
pub struct Assignables {
    /// By group. One that cannot be read is the trouble of that group alone.
    pub states: HashMap<GroupId, Result<GroupState, StoreError>>,
    /// By project.
    pub projects: HashMap<ProjectId, Project>,
    /// By organization and user.
    pub members: HashMap<(OrganizationId, UserId), Member>,
}

/// Some of a project's groups, and where the others follow.
#[derive(Debug)]
pub struct GroupsSeen {
    /// The groups, those first that were seen last.
    pub groups: Vec<GroupId>,
    /// Where to go on; `None` at the end.
    pub next: Option<GroupsCursor>,
}

/// A place in the list of a project's groups.
#[derive(Debug)]
pub struct GroupsCursor(Item);

/// How many external issues one group can be linked to: a change of its assignee tells all of them.
pub const MOST_LINKS: usize = 8;

/// What became of a wish to link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linked {
    /// The group is linked now.
    New,
    /// It was before.
    Already,
    /// It has [`MOST_LINKS`] links.
    TooMany,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct GroupRef {
    pub(crate) group: GroupId,
}

/// A group as it is written: with its place in the list of its project's groups.
#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    group: &'a Group,
    #[serde(flatten)]
    index: keys::IndexKey,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Counters {
    pub(crate) groups: u64,
}

impl Transaction<'_> {
    /// Makes a change of a group that was decided on this state.
    pub(crate) fn write_group(
        self,
        state: &GroupState,
        write: &GroupWrite,
        trace: &TraceId,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let key = keys::group_state(state.group);
        let mut transaction = self.update(&key, state_change(state, write, now)?)?;
        if let Some(status) = &write.status {
            let waits = |it: &Option<Resolution>| it.as_ref().is_some_and(Resolution::is_pending);
            let key = keys::pending_resolution(state.project, state.group);
            transaction = match (waits(&state.resolution), waits(&status.resolution)) {
                (false, true) => transaction.put(&key, &GroupRef { group: state.group })?,
                (true, false) => transaction.delete(&key)?,
                (false, false) | (true, true) => transaction,
            };
        }
        if let Some((kind, user, origin)) = &write.activity {
            let activity = Activity {
                id: ActivityId::timed(now, rand::random()),
                at: now,
                kind: kind.clone(),
                user: *user,
                origin: origin.clone(),
                opposite_at: match kind {
                    domain::ActivityKind::Assigned { .. } => state.unassigned_at,
                    domain::ActivityKind::Unassigned => state.assigned_at,
                    domain::ActivityKind::ReferencedInCommit { .. }
                    | domain::ActivityKind::SetResolved
                    | domain::ActivityKind::SetResolvedInCommit { .. }
                    | domain::ActivityKind::SetResolvedInPullRequest { .. }
                    | domain::ActivityKind::SetResolvedInRelease { .. }
                    | domain::ActivityKind::SetUnresolved
                    | domain::ActivityKind::SetIgnored { .. } => None,
                },
            };
            transaction =
                transaction.put_new(&keys::activity(state.group, &activity), &activity)?;
        }
        for subscription in &write.subscriptions {
            transaction = transaction.subscribe(state.group, *subscription, now)?;
        }
        for message in &write.messages {
            transaction = transaction.send(message.clone(), trace, now, now)?;
        }
        Ok(transaction)
    }
}

impl Store {
    /// The state of a group.
    pub async fn group_state(&self, id: GroupId) -> Result<Option<GroupState>, StoreError> {
        self.get(&keys::group_state(id)).await
    }

    /// A group with all that shows it, in one query.
    pub async fn group(&self, id: GroupId) -> Result<Option<GroupView>, StoreError> {
        let pk = keys::group_meta(id).pk;
        let (low, high) = keys::GROUP_VIEW;
        let query = Query {
            pk: &pk,
            sort: Sort::Between(low, high),
            descending: false,
            filters: Vec::new(),
        };
        let (items, _) = self.query_page(&query, true, None, None).await?;
        let (mut group, mut state, mut stats) = (None, None, None::<GroupStats>);
        for item in items {
            let key = key_of(&item);
            if key == keys::group_meta(id) {
                group = Some(read(&key, item)?);
            } else if key == keys::group_state(id) {
                state = Some(read(&key, item)?);
            } else {
                let shard: GroupStats = read(&key, item)?;
                stats = Some(match stats {
                    Some(sum) => sum.merged(shard),
                    None => shard,
                });
            }
        }
        let parts = group.zip(state).zip(stats);
        Ok(parts.map(|((group, state), stats)| GroupView {
            group,
            state,
            stats,
        }))
    }

    /// The group with this short id.
    pub async fn group_by_short_id(
        &self,
        organization: OrganizationId,
        id: &ShortId,
    ) -> Result<Option<GroupId>, StoreError> {
        let Some(project) = self.project_named(organization, &id.project()).await? else {
            return Ok(None);
        };
        let found: Option<GroupRef> = self.get(&keys::short_id(project, id)).await?;
        Ok(found.map(|found| found.group))
    }

    /// Up to `limit` groups of one organization that are linked to an external issue, after `after`,
    /// and whether there are more.
    pub async fn linked_groups(
        &self,
        organization: OrganizationId,
        integration: IntegrationId,
        issue: &ExternalKey,
        after: Option<GroupId>,
        limit: u16,
    ) -> Result<Page<LinkedGroup>, StoreError> {
        let pk = keys::external_issue(Some(organization), integration, issue);
        let query = Query::prefix(&pk, keys::EXTERNAL_GROUPS);
        let start = after.map(|group| {
            let key = keys::external_group(organization, integration, issue, group);
            crate::table::attributes(&key)
        });
        let (items, next) = self
            .query_page(&query, true, Some(i32::from(limit)), start)
            .await?;
        let rows = items.into_iter().map(|item| read(&key_of(&item), item));
        Ok(Page {
            rows: rows.collect::<Result<_, _>>()?,
            more: next.is_some(),
        })
    }

    /// Reads, in one batch, everything that decides whether `users` may be assigned to `groups`.
    pub async fn assignables(
        &self,
        groups: &[(OrganizationId, LinkedGroup)],
        users: &[UserId],
    ) -> Result<Assignables, StoreError> {
        let mut wanted: Vec<Key> = Vec::new();
        for (organization, linked) in groups {
            wanted.push(keys::group_state(linked.group));
            if !users.is_empty() {
                wanted.push(keys::project(linked.project));
                wanted.extend(users.iter().map(|user| keys::member(*organization, *user)));
            }
        }
        wanted.sort();
        wanted.dedup();
        let found = self.get_all(wanted).await?;
        let mut result = Assignables::default();
        for (organization, linked) in groups {
            let key = keys::group_state(linked.group);
            if let Some(item) = found.get(&key) {
                result.states.insert(linked.group, read(&key, item.clone()));
            }
            let project = linked.project;
            insert(
                &mut result.projects,
                project,
                &found,
                &keys::project(project),
            )?;
            for user in users {
                let key = keys::member(*organization, *user);
                insert(&mut result.members, (*organization, *user), &found, &key)?;
            }
        }
        Ok(result)
    }

    /// Commits what `decide` makes of a group's state. When the state has changed since it was read,
    /// it is read again and decided again; nothing is written on an old decision.
    ///
    /// A change that a tracker told of is recorded with how it ended. `Ok(None)`: the group is gone.
    pub async fn change_group(
        &self,
        loaded: Option<GroupState>,
        decide: impl Fn(&GroupState) -> Decision,
        cause: &Cause<'_>,
    ) -> Result<Option<Decision>, StoreError> {
        let (mut loaded, mut ended) = (loaded, false);
        for attempt in 0..ATTEMPTS {
            step_aside(attempt).await;
            let Some(state) = loaded else {
                return Ok(None);
            };
            let decision = decide(&state);
            let record = cause.record(&state, &decision);
            let record = record.filter(|record| !ended || record.outcome == Outcome::Applied);
            let Some(write) = &decision.write else {
                if let Some(record) = &record {
                    self.record_end(record, cause.handed_over).await?;
                }
                return Ok(Some(decision));
            };
            let transaction = match &record {
                Some(record) => self.transaction().record(record)?,
                None => self.transaction(),
            };
            let transaction = transaction.write_group(&state, write, cause.trace, cause.now)?;
            loaded = match transaction.commit().await? {
                Commit::Done => return Ok(Some(decision)),
                // The change came before and has its end; that it came again is remembered all the same.
                Commit::Refused(writes) if record.is_some() && writes == [0] => {
                    ended = true;
                    Some(state)
                }
                Commit::Refused(_) => self.group_state(state.group).await?,
            };
        }
        Err(StoreError::Contended("the group".into()))
    }

    /// The activity of a group, the newest first.
    pub async fn activities(
        &self,
        group: GroupId,
        skip: usize,
        limit: usize,
    ) -> Result<Page<Activity>, StoreError> {
        let pk = keys::group_meta(group).pk;
        let sort = Sort::Prefix(keys::ACTIVITIES);
        self.list(
            Query {
                pk: &pk,
                sort,
                descending: true,
                filters: Vec::new(),
            },
            skip,
            limit,
        )
        .await
    }

    /// Up to `limit` groups of a project that were seen at `since` or later. One that was made a moment ago
    /// may be missing.
    pub async fn groups_seen_since(
        &self,
        project: ProjectId,
        since: Timestamp,
        after: Option<GroupsCursor>,
        limit: u16,
    ) -> Result<GroupsSeen, StoreError> {
        let (pk, low) = (
            keys::groups_of_project(project),
            keys::group_last_seen(since),
        );
        let query = Query {
            pk: &pk,
            // A tilde follows every digit, so there is no end.
            sort: Sort::Between(&low, "~"),
            descending: true,
            filters: Vec::new(),
        };
        let start = after.map(|GroupsCursor(item)| item);
        let (items, next) = self
            .index_page(&query, Some(i32::from(limit)), start)
            .await?;
        let groups = items
            .iter()
            .filter_map(|item| keys::group_of(&key_of(item)));
        Ok(GroupsSeen {
            groups: groups.collect(),
            next: next.map(GroupsCursor),
        })
    }

    /// The groups with these ids, in their order, without those that are gone.
    pub async fn groups(&self, ids: &[GroupId]) -> Result<Vec<GroupView>, StoreError> {
        let mut found = Vec::new();
        for ids in ids.chunks(BATCHES_AT_ONCE) {
            found.extend(try_join_all(ids.iter().map(|id| self.group(*id))).await?);
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// Makes a group, or finds the one with its fingerprint.
    pub async fn create_group(
        &self,
        project: &Project,
        new: &NewGroup,
        now: Timestamp,
    ) -> Result<Created<GroupView>, StoreError> {
        let fingerprint = keys::fingerprint(project.id, &sha256_hex(new.fingerprint.as_bytes()));
        for attempt in 0..ATTEMPTS {
            step_aside(attempt).await;
            if let Some(found) = self.get::<GroupRef>(&fingerprint).await? {
                let view = self.group(found.group).await?;
                let gone = || StoreError::Contended(format!("group {}", found.group));
                return view.map(Created::found).ok_or_else(gone);
            }
            let counters: Option<Counters> = self.get(&keys::project_counters(project.id)).await?;
            let seen = counters.map(|counters| counters.groups);
            let view = new_view(project, new, seen.unwrap_or(0) + 1, now);
            let id = view.group.id;
            let listed = Listed {
                group: &view.group,
                index: keys::group_by_last_seen(project.id, view.stats.last_seen, id),
            };
            let first_seen = FirstSeen {
                group: id,
                short_id: view.group.short_id(&project.slug),
            };
            let short_id = keys::short_id(project.id, &first_seen.short_id);
            let transaction = self
                .transaction()
                .update(&keys::project_counters(project.id), count(seen)?)?
                .put_new(&fingerprint, &GroupRef { group: id })?
                .put_new(&short_id, &GroupRef { group: id })?
                .put_new(&keys::group_state(id), &view.state)?
                .put(&keys::group_meta(id), &listed)?
                .put(&keys::group_stat(id, 0), &view.stats)?;
            let transaction = match view.group.first_release {
                Some(release) => transaction.put(&keys::first_seen(release, id), &first_seen)?,
                None => transaction,
            };
            if transaction.commit().await? == Commit::Done {
                return Ok(Created::new(view));
            }
        }
        Err(StoreError::Contended(format!("project {}", project.id)))
    }

    /// The groups that were first seen in a release, up to `limit`, and whether there are more.
    pub async fn first_seen_in(
        &self,
        release: ReleaseId,
        limit: usize,
    ) -> Result<Page<ShortId>, StoreError> {
        let pk = keys::release_id(release).pk;
        let query = Query::prefix(&pk, keys::FIRST_SEEN);
        let most = i32::try_from(limit + 1).ok();
        let (items, _) = self.query_page(&query, true, most, None).await?;
        let more = items.len() > limit;
        let rows = items.into_iter().take(limit).map(|item| {
            let found: FirstSeen = read(&key_of(&item), item)?;
            Ok(found.short_id)
        });
        let rows = rows.collect::<Result<_, StoreError>>()?;
        Ok(Page { rows, more })
    }

    /// Links a group to an external issue, seen from both sides and in its state.
    pub async fn link_external_issue(
        &self,
        state: &GroupState,
        link: &Link,
    ) -> Result<Linked, StoreError> {
        let organization = state.organization;
        let (integration, issue) = (link.integration, &link.external_issue);
        let linked = LinkedGroup {
            group: state.group,
            project: state.project,
        };
        let row = LinkedIssue {
            organization,
            integration,
            external_issue: issue.clone(),
        };
        let change = Change {
            expression: "SET links.#link = :new".into(),
            condition: "size(links) < :most".into(),
            names: vec![("#link".into(), link.to_string())],
            values: [
                (":new".into(), value(&LinkState::default())?),
                (":most".into(), value(&MOST_LINKS)?),
            ]
            .into(),
        };
        let commit = self
            .transaction()
            .put_new(
                &keys::external_group(organization, integration, issue, state.group),
                &linked,
            )?
            .put(&keys::group_link(state.group, integration, issue), &row)?
            .update(&keys::group_state(state.group), change)?
            .commit()
            .await?;
        Ok(match commit {
            Commit::Done => Linked::New,
            Commit::Refused(refused) if refused.contains(&0) => Linked::Already,
            Commit::Refused(_) => Linked::TooMany,
        })
    }
}

fn insert<K, T>(
    map: &mut HashMap<K, T>,
    name: K,
    found: &HashMap<Key, Item>,
    key: &Key,
) -> Result<(), StoreError>
where
    K: std::hash::Hash + Eq,
    T: DeserializeOwned,
{
    if let Some(item) = found.get(key)
        && !map.contains_key(&name)
    {
        map.insert(name, read(key, item.clone())?);
    }
    Ok(())
}

/// The update of STATE: it holds only while version and position are as the decision saw them.
fn state_change(
    state: &GroupState,
    write: &GroupWrite,
    now: Timestamp,
) -> Result<Change, StoreError> {
    let version = state.version + u64::from(write.raises_version);
    let mut change = Change {
        expression: "SET ver = :version".into(),
        condition: "ver = :seen".into(),
        names: Vec::new(),
        values: [
            (":version".into(), value(&version)?),
            (":seen".into(), value(&state.version)?),
        ]
        .into(),
    };
    match &write.position {
        PositionGuard::None => {}
        PositionGuard::Claim(key, position) => claim(&mut change, key, position),
        PositionGuard::Holds(key, position) => {
            change.condition.push_str(" AND pos.#stream = :position");
            change.names.push(("#stream".into(), key.as_str().into()));
            change
                .values
                .insert(":position".into(), text(position.as_str()));
        }
    }
    match &write.told {
        None => {}
        Some(Told::Change { link, assignee }) => {
            change
                .expression
                .push_str(", links.#link.known = :known, links.#link.settled = :version");
            change.names.push(("#link".into(), link.to_string()));
            change.values.insert(":known".into(), value(assignee)?);
        }
        Some(Told::Echo { link, now }) => {
            // A write that began since is not answered by this.
            change.condition.push_str(" AND links.#link = :link_seen");
            change.expression.push_str(", links.#link = :link");
            change.names.push(("#link".into(), link.to_string()));
            let seen = value(&state.links.get(link))?;
            change.values.insert(":link_seen".into(), seen);
            change.values.insert(":link".into(), value(now)?);
        }
    }
    if let Some(new) = &write.status {
        change.expression.push_str(
            ", #status = :status, substatus = :substatus, resolved_at = :resolved, \
             resolution = :resolution, status_ver = :status_version",
        );
        // A reserved word.
        change.names.push(("#status".into(), "status".into()));
        change
            .condition
            .push_str(" AND (status_ver = :status_seen OR attribute_not_exists(status_ver))");
        let resolved = match (state.status, new.status) {
            // It was before: when, does not change with by what.
            (GroupStatus::Resolved, GroupStatus::Resolved) => state.resolved_at,
            (_, GroupStatus::Resolved) => Some(now),
            (_, GroupStatus::Unresolved | GroupStatus::Ignored) => None,
        };
        let values = [
            (":status", value(&new.status)?),
            (":substatus", value(&new.substatus)?),
            (":resolved", value(&resolved)?),
            (":resolution", value(&new.resolution)?),
            (":status_version", value(&(state.status_version + 1))?),
            (":status_seen", value(&state.status_version)?),
        ];
        let values = values.map(|(name, value)| (name.to_owned(), value));
        change.values.extend(values);
        // Somebody has looked at it.
        if new.status != GroupStatus::Unresolved {
            change.expression.push_str(", inbox = :looked");
            change
                .values
                .insert(":looked".into(), AttributeValue::Null(true));
        }
    }
    let (assignee, when) = match &write.assignee {
        AssigneeWrite::Keep => return Ok(change),
        AssigneeWrite::Set { actor, keep } => {
            change.expression.push_str(", #keep = :keep");
            // A reserved word.
            change.names.push(("#keep".into(), "keep".into()));
            change.values.insert(":keep".into(), value(keep)?);
            (Some(actor), "assigned_at")
        }
        AssigneeWrite::Clear => (None, "unassigned_at"),
    };
    change
        .expression
        .push_str(&format!(", assignee = :assignee, {when} = :now"));
    change.values.insert(":assignee".into(), value(&assignee)?);
    change.values.insert(":now".into(), value(&now)?);
    Ok(change)
}

fn count(seen: Option<u64>) -> Result<Change, StoreError> {
    let mut change = Change {
        expression: "SET #groups = :next".into(),
        names: vec![("#groups".into(), "groups".into())],
        values: [(":next".into(), value(&(seen.unwrap_or(0) + 1))?)].into(),
        ..Change::default()
    };
    match seen {
        Some(seen) => {
            change.condition = "#groups = :seen".into();
            change.values.insert(":seen".into(), value(&seen)?);
        }
        None => change.condition = "attribute_not_exists(#groups)".into(),
    }
    Ok(change)
}

fn new_view(project: &Project, new: &NewGroup, number: u64, now: Timestamp) -> GroupView {
    let id = GroupId::timed(now, rand::random());
    GroupView {
        group: Group {
            id,
            number,
            title: new.title.clone(),
            culprit: new.culprit.clone(),
            level: new.level,
            platform: new.platform.clone(),
            first_release: new.first_release,
        },
        state: GroupState {
            group: id,
            organization: project.organization,
            project: project.id,
            status: GroupStatus::Unresolved,
            substatus: Some(Substatus::New),
            assignee: None,
            keep: Default::default(),
            assigned_at: None,
            unassigned_at: None,
            resolved_at: None,
            resolution: None,
            inbox: Some(InboxReason::New),
            version: 0,
            status_version: 0,
            positions: Default::default(),
            links: Default::default(),
        },
        stats: GroupStats {
            times_seen: 0,
            first_seen: now,
            last_seen: now,
        },
    }
}
