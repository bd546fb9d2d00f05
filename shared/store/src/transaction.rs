//! One TransactWriteItems: what belongs together is written together, messages included.

use aws_sdk_dynamodb::{
    operation::transact_write_items::TransactWriteItemsError,
    types::{
        AttributeValue, Delete, Put, TransactWriteItem, Update,
        builders::{DeleteBuilder, PutBuilder},
    },
};
use domain::{Position, PositionKey};
use serde::Serialize;

use crate::{
    PARTITION_KEY,
    error::StoreError,
    groups::MOST_LINKS,
    keys::Key,
    table::{ATTEMPTS, Item, Store, attributes, step_aside, text, value, write},
};

/// Below DynamoDB's 100 items and 4 MB, so that an entity may grow without surprise.
const MAX_ITEMS: usize = 90;
const MAX_BYTES: usize = 3_500_000;
/// One for each linked issue, and one to clear caches. A larger fan-out is one message with a cursor.
const MAX_MESSAGES: usize = MOST_LINKS + 1;

/// Collects writes; [`Transaction::commit`] makes them all or none.
pub(crate) struct Transaction<'a> {
    store: &'a Store,
    items: Vec<TransactWriteItem>,
    /// The writes that many may want to make at once, and only one makes.
    guards: Vec<(usize, Key)>,
    bytes: usize,
    pub(crate) messages: usize,
}

impl Store {
    pub(crate) fn transaction(&self) -> Transaction<'_> {
        Transaction::new(self)
    }
}

/// What became of a transaction that reached the table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub(crate) enum Commit {
    /// Everything is written.
    Done,
    /// Nothing is: the conditions of these writes did not hold, counted from 0 in order of adding.
    Refused(Vec<usize>),
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(store: &'a Store) -> Self {
        Self {
            store,
            items: Vec::new(),
            guards: Vec::new(),
            bytes: 0,
            messages: 0,
        }
    }

    /// Whether it has nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Writes an item, whatever is there.
    pub(crate) fn put(self, key: &Key, entity: &impl Serialize) -> Result<Self, StoreError> {
        self.put_where(key, entity, |put| put)
    }

    /// Writes an item where there is none.
    pub(crate) fn put_new(self, key: &Key, entity: &impl Serialize) -> Result<Self, StoreError> {
        self.put_where(key, entity, |put| {
            put.condition_expression("attribute_not_exists(#pk)")
                .expression_attribute_names("#pk", PARTITION_KEY)
        })
    }

    /// The same for a name that many may want at once. While they are in one another's way, whoever finds
    /// that it is taken stops trying.
    pub(crate) fn put_guard(
        mut self,
        key: &Key,
        entity: &impl Serialize,
    ) -> Result<Self, StoreError> {
        self.guards.push((self.items.len(), key.clone()));
        self.put_new(key, entity)
    }

    /// Writes an item over the one whose `attribute` still is as it was `seen`.
    pub(crate) fn put_over(
        self,
        key: &Key,
        entity: &impl Serialize,
        attribute: &str,
        seen: &impl Serialize,
    ) -> Result<Self, StoreError> {
        let seen = value(seen)?;
        self.put_where(key, entity, |put| {
            put.condition_expression("#seen = :seen")
                .expression_attribute_names("#seen", attribute)
                .expression_attribute_values(":seen", seen)
        })
    }

    /// Writes an item where there is none, or over one whose number `attribute` is at `most` this.
    pub(crate) fn put_newest(
        self,
        key: &Key,
        entity: &impl Serialize,
        attribute: &str,
        most: &impl Serialize,
    ) -> Result<Self, StoreError> {
        let most = value(most)?;
        self.put_where(key, entity, |put| {
            put.condition_expression("attribute_not_exists(#pk) OR #attribute <= :most")
                .expression_attribute_names("#pk", PARTITION_KEY)
                .expression_attribute_names("#attribute", attribute)
                .expression_attribute_values(":most", most)
        })
    }

    /// Writes an item where the condition holds.
    pub(crate) fn put_where(
        mut self,
        key: &Key,
        entity: &impl Serialize,
        condition: impl FnOnce(PutBuilder) -> PutBuilder,
    ) -> Result<Self, StoreError> {
        let item = write(key, entity)?;
        self.bytes += size(&item);
        let put = Put::builder()
            .table_name(&self.store.table)
            .set_item(Some(item));
        let put = condition(put).build().map_err(|e| encoding(&e))?;
        self.items
            .push(TransactWriteItem::builder().put(put).build());
        Ok(self)
    }

    /// Changes attributes of an item.
    pub(crate) fn update(mut self, key: &Key, change: Change) -> Result<Self, StoreError> {
        self.bytes += size(&change.values) + change.expression.len() + change.condition.len();
        // DynamoDB refuses an empty map of names.
        let names = (!change.names.is_empty()).then(|| change.names.into_iter().collect());
        let update = Update::builder()
            .table_name(&self.store.table)
            .set_key(Some(attributes(key)))
            .update_expression(change.expression)
            .set_condition_expression((!change.condition.is_empty()).then_some(change.condition))
            .set_expression_attribute_names(names)
            .set_expression_attribute_values(Some(change.values))
            .build()
            .map_err(|e| encoding(&e))?;
        self.items
            .push(TransactWriteItem::builder().update(update).build());
        Ok(self)
    }

    /// Deletes an item, if it is there.
    pub(crate) fn delete(self, key: &Key) -> Result<Self, StoreError> {
        self.delete_where(key, |delete| delete)
    }

    /// Deletes an item whose `attribute` still is as it was `seen`.
    pub(crate) fn delete_over(
        self,
        key: &Key,
        attribute: &str,
        seen: &impl Serialize,
    ) -> Result<Self, StoreError> {
        let seen = value(seen)?;
        self.delete_where(key, |delete| {
            delete
                .condition_expression("#seen = :seen")
                .expression_attribute_names("#seen", attribute)
                .expression_attribute_values(":seen", seen)
        })
    }

    /// Deletes an item, which must be there.
    pub(crate) fn delete_there(self, key: &Key) -> Result<Self, StoreError> {
        self.delete_where(key, |delete| {
            delete
                .condition_expression("attribute_exists(#pk)")
                .expression_attribute_names("#pk", PARTITION_KEY)
        })
    }

    /// Deletes an item where the condition holds.
    pub(crate) fn delete_where(
        mut self,
        key: &Key,
        condition: impl FnOnce(DeleteBuilder) -> DeleteBuilder,
    ) -> Result<Self, StoreError> {
        let delete = Delete::builder()
            .table_name(&self.store.table)
            .set_key(Some(attributes(key)));
        let delete = condition(delete).build().map_err(|e| encoding(&e))?;
        self.items
            .push(TransactWriteItem::builder().delete(delete).build());
        Ok(self)
    }

    pub(crate) async fn commit(self) -> Result<Commit, StoreError> {
        let (items, bytes) = (self.items.len(), self.bytes);
        if items > MAX_ITEMS || bytes > MAX_BYTES || self.messages > MAX_MESSAGES {
            return Err(StoreError::TooLarge { items, bytes });
        }
        let request = self.store.client.transact_write_items();
        let request = request.set_transact_items(Some(self.items));
        for attempt in 0.. {
            step_aside(attempt).await;
            // Not the first time, when nobody is known to be in the way.
            for (index, guard) in self.guards.iter().filter(|_| attempt > 0) {
                if self.store.get_item(guard, true).await?.is_some() {
                    return Ok(Commit::Refused(vec![*index]));
                }
            }
            let Err(error) = request.clone().send().await else {
                return Ok(Commit::Done);
            };
            match error.as_service_error().and_then(cancelled) {
                Some(Cancelled::Refused(indexes)) => return Ok(Commit::Refused(indexes)),
                Some(Cancelled::Collided) if attempt + 1 < ATTEMPTS => {}
                Some(Cancelled::Collided) | None => {
                    return Err(StoreError::sdk("TransactWriteItems", error));
                }
            }
        }
        unreachable!("the loop ends by returning")
    }
}

/// An update's parts, with names and values by placeholder.
#[derive(Debug, Default)]
pub(crate) struct Change {
    pub(crate) expression: String,
    pub(crate) condition: String,
    pub(crate) names: Vec<(String, String)>,
    pub(crate) values: Item,
}

/// Moves a stream to a place, where it has not come so far yet.
pub(crate) fn claim(change: &mut Change, key: &PositionKey, position: &Position) {
    change.expression.push_str(", pos.#stream = :position");
    change
        .condition
        .push_str(" AND (attribute_not_exists(pos.#stream) OR pos.#stream < :position)");
    change.names.push(("#stream".into(), key.as_str().into()));
    change
        .values
        .insert(":position".into(), text(position.as_str()));
}

/// Why a transaction was cancelled.
enum Cancelled {
    /// The conditions of these writes did not hold.
    Refused(Vec<usize>),
    /// Another transaction was under way on one of the items. Nothing is known to have changed, so the
    /// same may be sent again.
    Collided,
}

fn cancelled(error: &TransactWriteItemsError) -> Option<Cancelled> {
    let TransactWriteItemsError::TransactionCanceledException(cancelled) = error else {
        return None;
    };
    let codes = || {
        let reasons = cancelled.cancellation_reasons().iter();
        reasons.map(|reason| reason.code())
    };
    let failed = |(index, code)| (code == Some("ConditionalCheckFailed")).then_some(index);
    let indexes: Vec<usize> = codes().enumerate().filter_map(failed).collect();
    if !indexes.is_empty() {
        return Some(Cancelled::Refused(indexes));
    }
    let harmless = |code| matches!(code, None | Some("None" | "TransactionConflict"));
    codes().all(harmless).then_some(Cancelled::Collided)
}

fn encoding(error: &(impl std::error::Error + ?Sized)) -> StoreError {
    StoreError::Unavailable {
        operation: "encoding",
        cause: error.to_string(),
    }
}

/// Roughly what DynamoDB counts: names and contents.
fn size(item: &Item) -> usize {
    item.iter()
        .map(|(name, value)| name.len() + value_size(value))
        .sum()
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the SDK's enum is not exhaustive"
)]
fn value_size(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.len(),
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        AttributeValue::L(list) => list.iter().map(|value| 1 + value_size(value)).sum(),
        AttributeValue::M(map) => size(map),
        AttributeValue::Ss(texts) | AttributeValue::Ns(texts) => {
            texts.iter().map(String::len).sum()
        }
        _ => 1,
    }
}
