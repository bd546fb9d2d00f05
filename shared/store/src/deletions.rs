//! Projects on their way out: the record of a deletion, and what it deletes in which order.
//!
//! A record is written only where it is as it was seen, together with the message for what comes next.

use domain::{
    AuditEntry, ClientKey, DeleteProject, DeletedRows, Deletion, DeletionStatus, GroupId, Message,
    OrganizationCategory, OrganizationId, Project, ProjectId, ProjectStatus, Slug, Timestamp,
    TraceId, Update,
};
use serde::{Deserialize, Serialize};

use crate::{
    change::Swap,
    error::StoreError,
    groups::{Counters, GroupRef},
    keys::{self, Key},
    sync_trail::LinkedIssue,
    table::{Item, Page, Query, Sort, Store, attributes, key_of, read, text, value},
    transaction::{Change, Commit, Transaction},
};

/// For how long it is known that a project was deleted, in seconds.
const KEPT: i64 = 90 * 24 * 60 * 60;

/// A list of rows in the project's partition, with what has to go before each of them.
struct Stage {
    name: &'static str,
    /// What the rows' sort keys begin with.
    rows: &'static str,
    with: With,
}

/// What has to go before a row, because nothing else leads there.
enum With {
    /// Nothing.
    Nothing,
    /// Items elsewhere.
    Items(fn(&Key, &Item) -> Result<Vec<Key>, StoreError>),
    /// An item elsewhere, if it is still the project's.
    Owned(fn(&Deletion, &Key) -> Option<Key>),
    /// A partition. The row goes when there is nothing left in it: only then it is sure that nobody
    /// who knew the partition before has written there since.
    Partition(fn(&Key, &Item) -> Result<String, StoreError>),
}

/// All that belongs to a project but itself, children before what leads to them. Whatever gets rows in a
/// project's partition gets a line here.
const STAGES: [Stage; 6] = [
    // First, so that no more events come in.
    Stage {
        name: "client-keys",
        rows: keys::CLIENT_KEYS,
        with: With::Items(public_key),
    },
    Stage {
        name: "former-slugs",
        rows: keys::FORMER_SLUGS,
        with: With::Owned(former_slug),
    },
    // The releases themselves are their organization's.
    Stage {
        name: "releases",
        rows: keys::PROJECT_RELEASES,
        with: With::Nothing,
    },
    Stage {
        name: "activity",
        rows: keys::ACTIVITIES,
        with: With::Nothing,
    },
    Stage {
        name: "fingerprints",
        rows: keys::FINGERPRINTS,
        with: With::Nothing,
    },
    Stage {
        name: "groups",
        rows: keys::SHORT_IDS,
        with: With::Partition(group),
    },
];

/// The names of the stages, in their order.
pub fn deletion_stages() -> [&'static str; STAGES.len()] {
    STAGES.map(|stage| stage.name)
}

fn public_key(key: &Key, row: &Item) -> Result<Vec<Key>, StoreError> {
    let found: ClientKey = read(key, row.clone())?;
    Ok(vec![keys::client_key_project(&found.public_key)])
}

fn former_slug(deletion: &Deletion, key: &Key) -> Option<Key> {
    let slug = key.sk.strip_prefix(keys::FORMER_SLUGS)?.parse().ok()?;
    Some(keys::former_project_slug(deletion.organization, &slug))
}

fn group(key: &Key, row: &Item) -> Result<String, StoreError> {
    let GroupRef { group } = read(key, row.clone())?;
    Ok(keys::group_meta(group).pk)
}

/// The items elsewhere that only this item of a partition leads to.
fn led_to(key: &Key, item: &Item) -> Result<Vec<Key>, StoreError> {
    let group = key
        .pk
        .strip_prefix(keys::GROUPS)
        .and_then(|id| id.parse::<GroupId>().ok());
    let Some(group) = group.filter(|_| key.sk.starts_with(keys::GROUP_LINKS)) else {
        return Ok(Vec::new());
    };
    let link: LinkedIssue = read(key, item.clone())?;
    let (integration, issue) = (link.integration, &link.external_issue);
    Ok(vec![keys::external_group(
        link.organization,
        integration,
        issue,
        group,
    )])
}

/// How much one batch may do.
#[derive(Debug)]
pub struct Budget {
    queries: usize,
    deletes: usize,
}

impl Default for Budget {
    /// Some seconds' work.
    fn default() -> Self {
        Self {
            queries: 100,
            deletes: 500,
        }
    }
}

impl Budget {
    /// Whether nothing more is to be done.
    pub fn is_spent(&self) -> bool {
        self.queries == 0 || self.deletes == 0
    }
}

/// What is to be deleted, in three parts: nothing of the last may go before all of the first has gone.
#[derive(Default)]
struct Plan {
    elsewhere: Vec<Key>,
    here: Vec<Key>,
    leading: Vec<Key>,
}

impl Plan {
    fn add(&mut self, key: Key, elsewhere: Vec<Key>) {
        match elsewhere.is_empty() {
            true => self.here.push(key),
            false => self.leading.push(key),
        }
        self.elsewhere.extend(elsewhere);
    }

    fn len(&self) -> usize {
        self.elsewhere.len() + self.here.len() + self.leading.len()
    }
}

/// What a project's deletion begins with.
#[derive(Debug)]
pub struct NewDeletion<'a> {
    /// The project, which is active.
    pub project: &'a Project,
    /// The deletion.
    pub deletion: &'a Deletion,
    /// The slug that the project has from now on.
    pub hidden: Slug,
    /// The line in the audit log.
    pub audit: &'a AuditEntry,
}

/// What became of a deletion that was to be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undone {
    /// The project is as it was.
    Done,
    /// Another project has the slug.
    SlugTaken,
    /// It has begun, or was changed otherwise.
    TooLate,
}

/// A deletion with what decides about its next batch.
#[derive(Debug)]
pub struct Deleting {
    /// The record.
    pub deletion: Option<Deletion>,
    /// The project.
    pub project: Option<Project>,
    /// How many groups it made.
    pub groups: u64,
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    deletion: &'a Deletion,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<i64>,
}

#[derive(Serialize, Deserialize)]
struct DeletionRef {
    organization: OrganizationId,
    project: ProjectId,
}

fn key(deletion: &Deletion) -> Key {
    keys::deletion(deletion.organization, deletion.project)
}

impl<'a> Transaction<'a> {
    /// Replaces the record that was seen.
    fn replace(self, seen: &Deletion, new: &Deletion) -> Result<Self, StoreError> {
        let ended = new.status == DeletionStatus::Finished;
        let row = Row {
            deletion: new,
            ttl: ended.then(|| new.touched.seconds() + KEPT),
        };
        self.put_over(&key(new), &row, "step", &seen.step)
    }

    fn send_batch(
        self,
        deletion: &Deletion,
        trace: &TraceId,
        now: Timestamp,
        due: Timestamp,
    ) -> Result<Self, StoreError> {
        let message = DeleteProject {
            organization: deletion.organization,
            project: deletion.project,
            step: deletion.step,
        };
        self.send(Message::DeleteProject(message), trace, now, due)
    }
}

impl Store {
    /// The deletion of a project.
    pub async fn deletion(
        &self,
        organization: OrganizationId,
        project: ProjectId,
    ) -> Result<Option<Deletion>, StoreError> {
        self.get(&keys::deletion(organization, project)).await
    }

    /// The deletions of an organization's projects, by project.
    pub async fn deletions(
        &self,
        organization: OrganizationId,
        skip: usize,
        limit: usize,
    ) -> Result<Page<Deletion>, StoreError> {
        let pk = keys::organization(organization).pk;
        self.list(Query::prefix(&pk, keys::DELETIONS), skip, limit)
            .await
    }

    /// Up to `limit` deletions of all organizations that have not ended, after `after`.
    pub async fn unfinished_deletions(
        &self,
        after: Option<ProjectId>,
        limit: u16,
    ) -> Result<Page<Deletion>, StoreError> {
        let pk = keys::UNFINISHED_DELETIONS;
        let start = after.map(|project| attributes(&keys::unfinished_deletion(project)));
        let query = Query::prefix(pk, keys::UNFINISHED);
        let limit = Some(i32::from(limit));
        let (items, next) = self.query_page(&query, true, limit, start).await?;
        let mut records = Vec::new();
        for item in items {
            let found: DeletionRef = read(&key_of(&item), item)?;
            records.push(keys::deletion(found.organization, found.project));
        }
        Ok(Page {
            rows: self.get_list(records).await?,
            more: next.is_some(),
        })
    }

    /// Hides a project at once, frees its slug, and sends for its deletion. `false`: it is not as it was seen.
    pub async fn request_deletion(
        &self,
        new: NewDeletion<'_>,
        trace: &TraceId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (project, deletion) = (new.project, new.deletion);
        let swaps = [
            Swap::of("status", &project.status, &ProjectStatus::PendingDeletion)?,
            Swap::of("slug", &project.slug, &new.hidden)?,
        ];
        let listed = DeletionRef {
            organization: project.organization,
            project: project.id,
        };
        let commit = self
            .transaction()
            .put_new(&key(deletion), deletion)?
            .swap(&keys::project(project.id), swaps.into())?
            .put(&keys::unfinished_deletion(project.id), &listed)?
            .delete_project_slug(project)?
            .audit(new.audit)?
            .send_batch(deletion, trace, now, deletion.due)?
            .commit()
            .await?;
        Ok(commit == Commit::Done)
    }

    /// Gives a project back that is to be deleted, as long as nothing of it is. `hidden` is the project as
    /// it is, `project` as it is to be.
    pub async fn undo_deletion(
        &self,
        seen: &Deletion,
        hidden: &Project,
        project: &Project,
        audit: &AuditEntry,
    ) -> Result<Undone, StoreError> {
        let swaps = [
            Swap::of("status", &hidden.status, &project.status)?,
            Swap::of("slug", &hidden.slug, &project.slug)?,
        ];
        let commit = self
            .transaction()
            .delete_over(&key(seen), "step", &seen.step)?
            .put_project_slug(project)?
            .swap(&keys::project(project.id), swaps.into())?
            .delete(&keys::unfinished_deletion(project.id))?
            .audit(audit)?
            .commit()
            .await?;
        Ok(match commit {
            Commit::Done => Undone::Done,
            // The first write is the record, the second one the slug.
            Commit::Refused(refused) if refused == [1] => Undone::SlugTaken,
            Commit::Refused(_) => Undone::TooLate,
        })
    }

    /// What decides about the next batch, in one request.
    pub async fn deleting(
        &self,
        organization: OrganizationId,
        project: ProjectId,
    ) -> Result<Deleting, StoreError> {
        let wanted = [
            keys::deletion(organization, project),
            keys::project(project),
            keys::project_counters(project),
        ];
        let mut found = self.get_all(wanted.to_vec()).await?;
        let [deletion, meta, counters] = &wanted;
        let groups = found.remove(counters).map(|item| read(counters, item));
        let groups: Option<Counters> = groups.transpose()?;
        let item = found.remove(deletion).map(|item| read(deletion, item));
        let project = found.remove(meta).map(|item| read(meta, item));
        Ok(Deleting {
            deletion: item.transpose()?,
            project: project.transpose()?,
            groups: groups.map_or(0, |counters| counters.groups),
        })
    }

    /// Begins with a project that is to be deleted: from here on it cannot be undone.
    pub async fn begin_deletion(
        &self,
        seen: &Deletion,
        begun: &Deletion,
        trace: &TraceId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let project = keys::project(seen.project);
        let pending = ProjectStatus::PendingDeletion;
        let begins = Swap::of("status", &pending, &ProjectStatus::DeletionInProgress)?;
        let transaction = self
            .transaction()
            .replace(seen, begun)?
            .swap(&project, vec![begins])?
            .send_batch(begun, trace, now, now)?;
        settled(transaction.commit().await?)
    }

    /// Keeps how far a deletion has come, and sends for the next batch.
    pub async fn keep_deletion(
        &self,
        seen: &Deletion,
        work: &Deletion,
        trace: &TraceId,
        now: Timestamp,
        due: Timestamp,
    ) -> Result<(), StoreError> {
        let transaction = self.transaction().replace(seen, work)?;
        let transaction = transaction.send_batch(work, trace, now, due)?;
        settled(transaction.commit().await?)
    }

    /// Deletes the project itself, and has it told.
    pub async fn finish_deletion(
        &self,
        seen: &Deletion,
        work: &Deletion,
        trace: &TraceId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let ended = Deletion {
            status: DeletionStatus::Finished,
            ..work.clone()
        };
        let update = Update::Organization {
            shard: seen.organization,
            category: OrganizationCategory::ProjectUpdate(seen.project),
        };
        let in_progress = ProjectStatus::DeletionInProgress;
        let transaction = self
            .transaction()
            .replace(seen, &ended)?
            .delete_over(&keys::project(seen.project), "status", &in_progress)?
            .delete(&keys::project_counters(seen.project))?
            .delete(&keys::unfinished_deletion(seen.project))?
            .updated(update, trace, now)?;
        settled(transaction.commit().await?)
    }

    /// Forgets a deletion that is not to be carried out.
    pub async fn drop_deletion(&self, seen: &Deletion) -> Result<(), StoreError> {
        let transaction = self
            .transaction()
            .delete_over(&key(seen), "step", &seen.step)?
            .delete(&keys::unfinished_deletion(seen.project))?;
        settled(transaction.commit().await?)
    }

    /// Sends once more for the batch that a deletion waits for.
    pub async fn send_deletion_again(
        &self,
        seen: &Deletion,
        trace: &TraceId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut again = seen.clone();
        again.touched = now;
        let transaction = self
            .transaction()
            .replace(seen, &again)?
            .send_batch(seen, trace, now, now)?;
        settled(transaction.commit().await?)
    }

    /// Keeps why a batch did not succeed.
    pub async fn note_failure(&self, seen: &Deletion, reason: &str) -> Result<(), StoreError> {
        let change = Change {
            expression: "SET last_error = :reason".into(),
            condition: "step = :seen".into(),
            names: Vec::new(),
            values: [
                (":reason".into(), text(reason)),
                (":seen".into(), value(&seen.step)?),
            ]
            .into(),
        };
        let transaction = self.transaction().update(&key(seen), change)?;
        settled(transaction.commit().await?)
    }

    /// Deletes some rows of the stage that a deletion is at, with all that hangs on them.
    pub async fn delete_rows(
        &self,
        deletion: &Deletion,
        budget: &mut Budget,
    ) -> Result<DeletedRows, StoreError> {
        let (mut plan, mut result) = (Plan::default(), DeletedRows::default());
        let stage = STAGES.iter().find(|stage| stage.name == deletion.stage);
        let Some(stage) = stage else {
            return Ok(result);
        };
        let pk = keys::project(deletion.project).pk;
        let start = deletion.cursor.clone().map(|sk| {
            let pk = pk.clone();
            attributes(&Key { pk, sk })
        });
        let most = match stage.with {
            With::Nothing | With::Items(_) => budget.deletes,
            // Each needs a request of its own.
            With::Owned(_) | With::Partition(_) => (budget.queries - 1).max(1),
        };
        let query = Query::prefix(&pk, stage.rows);
        let (rows, next) = self.query_page(&query, true, limit(most), start).await?;
        budget.queries -= 1;
        result.more = next.is_some();
        for row in rows {
            let key = key_of(&row);
            let through = match stage.with {
                With::Nothing => {
                    plan.add(key.clone(), Vec::new());
                    true
                }
                With::Items(items) => {
                    plan.add(key.clone(), items(&key, &row)?);
                    true
                }
                With::Owned(item) => {
                    if let Some(item) = item(deletion, &key) {
                        self.delete_owned(&item, deletion.project).await?;
                        budget.queries = budget.queries.saturating_sub(1);
                    }
                    plan.add(key.clone(), Vec::new());
                    true
                }
                With::Partition(partition) => {
                    let before = plan.len();
                    let partition = partition(&key, &row)?;
                    let through = self.plan_partition(&partition, &mut plan, budget).await?;
                    // Found empty a moment after it was emptied, it does not count yet.
                    if through && plan.len() == before && deletion.pass > 1 {
                        plan.add(key.clone(), Vec::new());
                    }
                    through
                }
            };
            if !through {
                result.more = true;
                break;
            }
            result.done += 1;
            result.cursor = Some(key.sk);
        }
        budget.deletes = budget.deletes.saturating_sub(plan.len());
        result.deleted = plan.len() as u64;
        self.delete_planned(plan).await?;
        Ok(result)
    }

    async fn delete_owned(&self, key: &Key, project: ProjectId) -> Result<(), StoreError> {
        let transaction = self.transaction().delete_over(key, "project", &project)?;
        match transaction.commit().await? {
            Commit::Done | Commit::Refused(_) => Ok(()),
        }
    }

    /// Plans to delete what is in a partition. `false`: there is more than the budget allows.
    async fn plan_partition(
        &self,
        pk: &str,
        plan: &mut Plan,
        budget: &mut Budget,
    ) -> Result<bool, StoreError> {
        let query = Query {
            sort: Sort::All,
            ..Query::prefix(pk, "")
        };
        let mut start = None;
        loop {
            let left = budget.deletes.saturating_sub(plan.len());
            if budget.queries == 0 || left == 0 {
                return Ok(false);
            }
            let (items, next) = self.query_page(&query, true, limit(left), start).await?;
            budget.queries -= 1;
            for item in items {
                let key = key_of(&item);
                let elsewhere = led_to(&key, &item)?;
                plan.add(key, elsewhere);
            }
            if next.is_none() {
                return Ok(true);
            }
            start = next;
        }
    }

    /// Batches are written many at once, so what leads elsewhere is deleted when the others are through.
    async fn delete_planned(&self, plan: Plan) -> Result<(), StoreError> {
        let first = [plan.elsewhere, plan.here].concat();
        self.delete_all(first).await?;
        self.delete_all(plan.leading).await
    }
}

fn limit(most: usize) -> Option<i32> {
    i32::try_from(most).ok()
}

/// Where the record, the first of all writes, is not as it was seen, another one has done the same.
fn settled(commit: Commit) -> Result<(), StoreError> {
    match commit {
        Commit::Refused(refused) if !refused.contains(&0) => {
            Err(StoreError::Contended("the project".into()))
        }
        Commit::Done | Commit::Refused(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::CHART;

    #[test]
    fn every_kind_of_row_in_a_projects_partition_has_a_stage() {
        let rows = CHART.iter().filter(|row| row.pk == "PROJECT#<project>");
        for row in rows {
            // These go with the project itself.
            let own = ["META", "COUNTER"].contains(&row.sk);
            let stages = STAGES.iter().filter(|it| row.sk.starts_with(it.rows));
            assert_eq!(stages.count(), usize::from(!own), "{}", row.item);
        }
    }
}
