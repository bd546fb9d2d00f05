//! Messages on their way to SQS. They are written in the transaction that they follow from, so a
//! crash can neither lose one nor send one whose cause never happened.

use domain::{Envelope, Message, MessageId, MessageTooLarge, Queue, Timestamp, TraceId};
use serde::{Deserialize, Serialize};

use crate::{
    error::StoreError,
    keys::{self, Key},
    table::{Item, Page, Query, Sort, Store, key_of, read},
    transaction::{Commit, Transaction},
};

/// A message as it waits: the relay needs to know where to, not what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxItem {
    /// The queue to send to.
    pub queue: Queue,
    /// The [`domain::Envelope`] as JSON.
    pub body: String,
}

/// A message at its key. One that this version of the bundle cannot read does not hide the others.
#[derive(Debug)]
pub struct Waiting {
    /// Where it is, and when it is due.
    pub key: Key,
    /// What it is.
    pub item: Result<OutboxItem, StoreError>,
}

impl Waiting {
    fn new(key: Key, item: Item) -> Self {
        Self {
            item: read(&key, item),
            key,
        }
    }
}

impl Transaction<'_> {
    /// Sends a message once the transaction is committed, at `due` or soon after.
    pub(crate) fn send(
        self,
        message: Message,
        trace: &TraceId,
        now: Timestamp,
        due: Timestamp,
    ) -> Result<Self, StoreError> {
        let envelope = Envelope {
            id: MessageId::new(now, rand::random()),
            trace: trace.clone(),
            message,
        };
        self.post(&envelope, due)
    }

    /// Sends a message as it was received, or the same with other facts. Until the same moment, it comes once.
    pub(crate) fn post(mut self, envelope: &Envelope, due: Timestamp) -> Result<Self, StoreError> {
        self.messages += 1;
        let queue = envelope.message.queue();
        let body = envelope
            .to_json()
            .map_err(|MessageTooLarge(bytes)| StoreError::TooLarge { items: 1, bytes })?;
        self.put(&keys::outbox(envelope.id, due), &OutboxItem { queue, body })
    }
}

impl Store {
    /// The messages at these keys; one that is missing has been sent already.
    pub async fn outbox_items(&self, keys: Vec<Key>) -> Result<Vec<Waiting>, StoreError> {
        let found = self.get_all(keys).await?;
        Ok(found
            .into_iter()
            .map(|(key, item)| Waiting::new(key, item))
            .collect())
    }

    /// Up to `limit` messages of one partition that are due, the oldest first.
    pub async fn outbox_due(
        &self,
        shard: u8,
        now: Timestamp,
        limit: u16,
    ) -> Result<Page<Waiting>, StoreError> {
        let pk = keys::outbox_shard(shard);
        // '$' follows '#': everything due in this millisecond sorts below it.
        let high = format!("{}$", keys::outbox_due(now));
        let query = Query {
            pk: &pk,
            sort: Sort::Between("0", &high),
            descending: false,
            filters: Vec::new(),
        };
        let (items, next) = self
            .query_page(&query, true, Some(i32::from(limit)), None)
            .await?;
        let rows = items
            .into_iter()
            .map(|item| Waiting::new(key_of(&item), item))
            .collect();
        Ok(Page {
            rows,
            more: next.is_some(),
        })
    }

    /// Forgets a message that SQS has accepted.
    pub async fn outbox_delete(&self, key: &Key) -> Result<(), StoreError> {
        self.client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(crate::table::attributes(key)))
            .send()
            .await
            .map_err(|e| StoreError::sdk("DeleteItem", e))?;
        Ok(())
    }

    /// Sends a message that follows from no change of state, at `due` or soon after: the rest of a long
    /// piece of work, or what has to wait.
    pub async fn outbox_send(
        &self,
        message: Message,
        trace: &TraceId,
        now: Timestamp,
        due: Timestamp,
    ) -> Result<(), StoreError> {
        sent(self.transaction().send(message, trace, now, due)?).await
    }

    /// Sends a message that was received once more, at `due` or soon after. Put off twice until the same
    /// moment, it comes once.
    pub async fn outbox_put_off(
        &self,
        envelope: &Envelope,
        due: Timestamp,
    ) -> Result<(), StoreError> {
        sent(self.transaction().post(envelope, due)?).await
    }
}

async fn sent(transaction: Transaction<'_>) -> Result<(), StoreError> {
    match transaction.commit().await? {
        Commit::Done => Ok(()),
        Commit::Refused(_) => Err(StoreError::Contended("the outbox".into())),
    }
}

/// Where an outbox key says its message is due; `None` for a key of something else.
pub fn outbox_due_at(key: &Key) -> Option<Timestamp> {
    let (due, _) = key
        .pk
        .starts_with("OUT#")
        .then(|| key.sk.split_once('#'))??;
    due.parse().ok().map(Timestamp::from_millis)
}
