//! How releases go: the release itself at once, what belonged to it in batches, later.

use std::collections::BTreeSet;

use domain::{
    DeleteRelease, Message, OrganizationId, ProjectId, QUIET, Release, ReleaseId, Timestamp,
    TraceId,
};
use serde::{Deserialize, Serialize};

use crate::{
    error::StoreError,
    keys,
    table::{ATTEMPTS, Query, Sort, Store, key_of, step_aside, value},
    transaction::{Commit, Transaction},
};

/// How many items under its id a batch deletes, and out of how many lists it takes the release.
const BATCH: usize = 500;

/// What of a deleted release has still to go: what lies under its id, and its places in lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedRelease {
    organization: OrganizationId,
    release: ReleaseId,
    /// The projects in whose lists it may still be.
    projects: BTreeSet<ProjectId>,
    /// The date that it was listed by.
    date: Timestamp,
    /// Counts the batches. A message is about one of them, and of no use after it.
    pub step: u64,
}

impl DeletedRelease {
    fn message(&self) -> Message {
        Message::DeleteRelease(DeleteRelease {
            organization: self.organization,
            release: self.release,
            step: self.step,
        })
    }
}

impl Store {
    /// Deletes a release, and sends for what belongs to it. `false`: it is not there, or not any more.
    pub async fn delete_release(
        &self,
        release: &Release,
        trace: &TraceId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut seen = release.clone();
        for attempt in 0..ATTEMPTS {
            step_aside(attempt).await;
            let left = DeletedRelease {
                organization: seen.organization,
                release: seen.id,
                projects: seen.projects.clone(),
                date: seen.date(),
                step: 0,
            };
            // Whatever read the release before it was gone may write until then.
            let due = now.plus(QUIET);
            let transaction = self
                .transaction()
                .delete_release(&seen)?
                .delete(&keys::release_id(seen.id))?
                .delete(&keys::organization_release(&seen))?
                .put(&keys::left_of_release(seen.id), &left)?
                .send(left.message(), trace, now, due)?;
            if transaction.commit().await? == Commit::Done {
                return Ok(true);
            }
            match self.release_again(&seen).await? {
                Some(found) => seen = found,
                None => return Ok(false),
            }
        }
        Err(StoreError::Contended(format!("release {}", seen.id)))
    }

    /// What is left of a release that was deleted. `None`: nothing.
    pub async fn deleted_release(
        &self,
        release: ReleaseId,
    ) -> Result<Option<DeletedRelease>, StoreError> {
        self.get(&keys::left_of_release(release)).await
    }

    /// Deletes a batch of what is left of a release, and sends for the next one.
    pub async fn delete_left(
        &self,
        left: &DeletedRelease,
        trace: &TraceId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut rest = left.clone();
        rest.step += 1;
        let mut batch = Vec::new();
        while batch.len() < BATCH
            && let Some(project) = rest.projects.pop_first()
        {
            batch.push(keys::release_in_project(project, left.date, left.release));
        }
        let own = keys::left_of_release(left.release);
        let query = Query {
            sort: Sort::All,
            ..Query::prefix(&own.pk, "")
        };
        let limit = i32::try_from(BATCH).ok();
        let (items, next) = self.query_page(&query, true, limit, None).await?;
        batch.extend(items.iter().map(key_of).filter(|key| *key != own));
        self.delete_all(batch).await?;
        let transaction = match next.is_some() || !rest.projects.is_empty() {
            true => self
                .transaction()
                .put_over(&own, &rest, "step", &left.step)?
                .send(rest.message(), trace, now, now)?,
            false => self.transaction().delete_over(&own, "step", &left.step)?,
        };
        match transaction.commit().await? {
            // A copy of the message was faster.
            Commit::Done | Commit::Refused(_) => Ok(()),
        }
    }
}

impl Transaction<'_> {
    /// Deletes the release that was seen, as long as it is in the same lists.
    fn delete_release(self, seen: &Release) -> Result<Self, StoreError> {
        let (id, rev) = (value(&seen.id)?, value(&seen.rev)?);
        let key = keys::release(seen.organization, &seen.version);
        // A version that was deleted and made again begins with the same numbers.
        self.delete_where(&key, |delete| {
            delete
                .condition_expression("#rev = :rev AND id = :id")
                .expression_attribute_names("#rev", "rev")
                .expression_attribute_values(":rev", rev)
                .expression_attribute_values(":id", id)
        })
    }
}
