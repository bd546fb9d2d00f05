//! Projects and organizations on their way out: the record of a deletion.
//!
//! A record is written only where it is as it was seen, together with the message for what comes next.

use domain::{
    AuditEntry, ClearOwnerCaches, DeleteOrganization, DeleteProject, Deletion, DeletionRef,
    DeletionStatus, GroupId, Message, Organization, OrganizationCategory, OrganizationId,
    OrganizationStatus, Project, ProjectId, ProjectStatus, SendEmail, Slug, Timestamp, TraceId,
    Update,
};
use serde::Serialize;

use crate::{
    change::Swap,
    error::StoreError,
    groups::Counters,
    keys::{self, Key},
    table::{Page, Query, Sort, Store, attributes, key_of, read, text, value},
    transaction::{Change, Commit, Transaction},
};

/// For how long it is known that something was deleted, in seconds.
const KEPT: i64 = 90 * 24 * 60 * 60;

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

fn key(deletion: &Deletion) -> Key {
    keys::deletion(deletion.of)
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
        let (organization, step) = (deletion.of.organization, deletion.step);
        let message = match deletion.of.project {
            Some(project) => Message::DeleteProject(DeleteProject {
                organization,
                project,
                step,
            }),
            None => Message::DeleteOrganization(DeleteOrganization { organization, step }),
        };
        self.send(message, trace, now, due)
    }

    /// Forgets the deletion of an organization, however far it has come.
    pub(crate) fn forget_deletion(self, organization: OrganizationId) -> Result<Self, StoreError> {
        let of = DeletionRef {
            organization,
            project: None,
        };
        self.delete(&keys::deletion(of))?
            .delete(&keys::unfinished_deletion(of))
    }
}

impl Store {
    /// The deletion of a project or an organization.
    pub async fn deletion(&self, of: DeletionRef) -> Result<Option<Deletion>, StoreError> {
        self.get(&keys::deletion(of)).await
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
        after: Option<DeletionRef>,
        limit: u16,
    ) -> Result<Page<Deletion>, StoreError> {
        let start = after.map(|of| attributes(&keys::unfinished_deletion(of)));
        let query = Query {
            sort: Sort::All,
            ..Query::prefix(keys::UNFINISHED_DELETIONS, "")
        };
        let limit = Some(i32::from(limit));
        let (items, next) = self.query_page(&query, true, limit, start).await?;
        let mut records = Vec::new();
        for item in items {
            let found: DeletionRef = read(&key_of(&item), item)?;
            records.push(keys::deletion(found));
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
        let commit = self
            .transaction()
            .put_new(&key(deletion), deletion)?
            .swap(&keys::project(project.id), swaps.into())?
            .put(&keys::unfinished_deletion(deletion.of), &deletion.of)?
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
            .delete(&keys::unfinished_deletion(seen.of))?
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
        let of = DeletionRef {
            organization,
            project: Some(project),
        };
        let wanted = [
            keys::deletion(of),
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

    /// Begins with what is to be deleted. From here on a project cannot be given back.
    pub async fn begin_deletion(
        &self,
        seen: &Deletion,
        begun: &Deletion,
        trace: &TraceId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (item, begins) = match seen.of.project {
            Some(project) => {
                let pending = ProjectStatus::PendingDeletion;
                let begins = Swap::of("status", &pending, &ProjectStatus::DeletionInProgress)?;
                (keys::project(project), begins)
            }
            None => {
                let pending = OrganizationStatus::PendingDeletion;
                let in_progress = OrganizationStatus::DeletionInProgress;
                let begins = Swap::of("status", &pending, &in_progress)?;
                (keys::organization(seen.of.organization), begins)
            }
        };
        let transaction = self
            .transaction()
            .replace(seen, begun)?
            .swap(&item, vec![begins])?
            .send_batch(begun, trace, now, now)?;
        settled(transaction.commit().await?)
    }

    /// Keeps how far a deletion has come, and sends for the next batch.
    pub async fn keep_deletion(
        &self,
        seen: &Deletion,
        work: &Deletion,
        groups: Vec<GroupId>,
        trace: &TraceId,
        now: Timestamp,
        due: Timestamp,
    ) -> Result<(), StoreError> {
        let transaction = self.transaction().replace(seen, work)?;
        let mut transaction = transaction.send_batch(work, trace, now, due)?;
        if !groups.is_empty() {
            let clear = Message::ClearOwnerCaches(ClearOwnerCaches {
                organization: work.of.organization,
                groups,
            });
            transaction = transaction.send(clear, trace, now, now)?;
        }
        settled(transaction.commit().await?)
    }

    /// Deletes the project or organization itself, and has the end of a project told.
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
        let organization = seen.of.organization;
        let transaction = self
            .transaction()
            .replace(seen, &ended)?
            .delete(&keys::unfinished_deletion(seen.of))?;
        let transaction = match seen.of.project {
            Some(project) => {
                let update = Update::Organization {
                    shard: organization,
                    category: OrganizationCategory::ProjectUpdate(project),
                };
                let in_progress = ProjectStatus::DeletionInProgress;
                transaction
                    .delete_over(&keys::project(project), "status", &in_progress)?
                    .delete(&keys::project_counters(project))?
                    .updated(update, trace, now)?
            }
            None => {
                let in_progress = OrganizationStatus::DeletionInProgress;
                transaction
                    .delete_over(&keys::organization(organization), "status", &in_progress)?
                    .delete(&keys::organization_slug(&work.slug))?
                    .delete(&keys::organization_settings(organization))?
            }
        };
        settled(transaction.commit().await?)
    }

    /// Marks an organization as one that is to be deleted, sends for its deletion, and has a mail told of it.
    /// `false`: it is not as it was seen, or its deletion was asked for before.
    pub async fn request_organization_deletion(
        &self,
        organization: &Organization,
        deletion: &Deletion,
        audit: &AuditEntry,
        mail: SendEmail,
        trace: &TraceId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let pending = OrganizationStatus::PendingDeletion;
        let status = Swap::later("status", &organization.status, &pending)?;
        let commit = self
            .transaction()
            .put_new(&key(deletion), deletion)?
            .swap(&keys::organization(organization.id), vec![status])?
            .put(&keys::unfinished_deletion(deletion.of), &deletion.of)?
            .audit(audit)?
            .send_batch(deletion, trace, now, deletion.due)?
            .send(Message::SendEmail(mail), trace, now, now)?
            .commit()
            .await?;
        Ok(commit == Commit::Done)
    }

    /// The deletion of an organization, and the organization, in one request.
    pub async fn deleting_organization(
        &self,
        organization: OrganizationId,
    ) -> Result<(Option<Deletion>, Option<Organization>), StoreError> {
        let of = DeletionRef {
            organization,
            project: None,
        };
        let wanted = [keys::deletion(of), keys::organization(organization)];
        let mut found = self.get_all(wanted.to_vec()).await?;
        let [deletion, meta] = &wanted;
        let record = found.remove(deletion).map(|item| read(deletion, item));
        let organization = found.remove(meta).map(|item| read(meta, item));
        Ok((record.transpose()?, organization.transpose()?))
    }

    /// Forgets a deletion that is not to be carried out.
    pub async fn drop_deletion(&self, seen: &Deletion) -> Result<(), StoreError> {
        let transaction = self
            .transaction()
            .delete_over(&key(seen), "step", &seen.step)?
            .delete(&keys::unfinished_deletion(seen.of))?;
        settled(transaction.commit().await?)
    }

    /// Sends once more for the batch that a deletion waits for, to be done now.
    pub async fn send_deletion_again(
        &self,
        seen: &Deletion,
        trace: &TraceId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let transaction = self
            .transaction()
            .replace(seen, &seen.hurried(now))?
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
}

/// Where the record, the first of all writes, is not as it was seen, another one has done the same.
fn settled(commit: Commit) -> Result<(), StoreError> {
    match commit {
        Commit::Refused(refused) if !refused.contains(&0) => {
            Err(StoreError::Contended("what is deleted".into()))
        }
        Commit::Done | Commit::Refused(_) => Ok(()),
    }
}
