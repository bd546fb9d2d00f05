//! Updates that wait to be told, see [`domain::Update`], and when their shard is tried next.
//!
//! One item for each object: a newer update takes the place of the one before, which nobody told of yet.

use domain::{
    DrainUpdates, Message, MessageId, OrganizationCategory, Timestamp, TraceId, Update,
    UpdateSchedule, UpdateShard, WaitingUpdate,
};
use serde::{Deserialize, Serialize};

use crate::{
    error::StoreError,
    keys,
    table::{Query, Sort, Store, key_of, read},
    transaction::{Commit, Transaction},
};

/// How many updates one drain tells of.
const DRAIN: i32 = 100;

/// What waits in a shard.
#[derive(Debug, Default)]
pub struct WaitingShard {
    /// The updates, the oldest first.
    pub updates: Vec<WaitingUpdate>,
    /// Whether there are more than these.
    pub more: bool,
    /// When it is tried next; `None` where nothing has been tried since all was told.
    pub schedule: Option<UpdateSchedule>,
}

#[derive(Serialize, Deserialize)]
struct Tombstone {
    at: Timestamp,
}

impl Transaction<'_> {
    /// Says that an object was updated, and rings for its shard.
    pub(crate) fn updated(
        self,
        update: Update,
        trace: &TraceId,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let id = MessageId::new(now, rand::random());
        let shard = update.shard();
        let message = Message::DrainUpdates(DrainUpdates { shard, due: now });
        self.put(&keys::update(&update), &WaitingUpdate { id, update })?
            .send(message, trace, now, now)
    }
}

impl Store {
    /// What waits in a shard, and when it is tried next, in one query.
    pub async fn waiting_updates(&self, shard: UpdateShard) -> Result<WaitingShard, StoreError> {
        let pk = keys::update_schedule(shard).pk;
        let (low, high) = keys::UPDATES;
        let query = Query {
            pk: &pk,
            sort: Sort::Between(low, high),
            descending: false,
            filters: Vec::new(),
        };
        let (items, next) = self.query_page(&query, true, Some(DRAIN), None).await?;
        let mut found = WaitingShard {
            more: next.is_some(),
            ..WaitingShard::default()
        };
        for item in items {
            let key = key_of(&item);
            if key == keys::update_schedule(shard) {
                found.schedule = Some(read(&key, item)?);
            } else {
                found.updates.push(read(&key, item)?);
            }
        }
        found.updates.sort_by_key(|waiting| waiting.id);
        Ok(found)
    }

    /// Puts a shard's next try off to `next`, and sends for it. `false`: somebody else has.
    pub async fn put_off_updates(
        &self,
        shard: UpdateShard,
        seen: Option<UpdateSchedule>,
        next: UpdateSchedule,
        trace: &TraceId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (key, due) = (keys::update_schedule(shard), next.due);
        let transaction = match seen {
            None => self.transaction().put_new(&key, &next)?,
            Some(seen) => self.transaction().put_over(&key, &next, "due", &seen.due)?,
        };
        let again = Message::DrainUpdates(DrainUpdates { shard, due });
        let commit = transaction.send(again, trace, now, due)?.commit().await?;
        Ok(commit == Commit::Done)
    }

    /// Forgets an update that has been told. One that took its place meanwhile stays.
    pub async fn update_told(&self, told: &WaitingUpdate) -> Result<(), StoreError> {
        let key = keys::update(&told.update);
        let transaction = self.transaction().delete_over(&key, "id", &told.id)?;
        match transaction.commit().await? {
            Commit::Done | Commit::Refused(_) => Ok(()),
        }
    }

    /// Forgets that a shard was put off: all that waited when it was tried has been told.
    pub async fn updates_told(
        &self,
        shard: UpdateShard,
        seen: UpdateSchedule,
    ) -> Result<(), StoreError> {
        let key = keys::update_schedule(shard);
        let transaction = self.transaction().delete_over(&key, "due", &seen.due)?;
        match transaction.commit().await? {
            Commit::Done | Commit::Refused(_) => Ok(()),
        }
    }

    /// Notes that an object is gone, for whoever keeps something of it; once.
    pub async fn put_tombstone(
        &self,
        category: OrganizationCategory,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let key = keys::tombstone(category);
        let transaction = self.transaction().put_new(&key, &Tombstone { at })?;
        match transaction.commit().await? {
            Commit::Done | Commit::Refused(_) => Ok(()),
        }
    }
}
