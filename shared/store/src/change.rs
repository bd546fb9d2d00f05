//! Changes of entities that people set up: read, decided, and written over what was read, together with
//! the line in the audit log that tells of it.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::AuditEntry;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::StoreError,
    keys::Key,
    table::{ATTEMPTS, Item, Store, step_aside, value},
    transaction::{Change, Commit, Transaction},
};

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed<T> {
    /// The entity is like this now.
    Done(T),
    /// The name that it was to have is taken.
    NameTaken,
    /// There is no such entity, or not any more.
    Gone,
}

/// An attribute that is to change, and only if it still is as it was seen.
#[derive(Debug)]
pub(crate) struct Swap {
    attribute: &'static str,
    seen: AttributeValue,
    new: AttributeValue,
    /// Whether an item of an older version of the bundle lacks the attribute.
    may_lack: bool,
}

impl Swap {
    pub(crate) fn of<T: Serialize>(
        attribute: &'static str,
        seen: &T,
        new: &T,
    ) -> Result<Self, StoreError> {
        let (seen, new) = (value(seen)?, value(new)?);
        Ok(Self {
            attribute,
            seen,
            new,
            may_lack: false,
        })
    }

    /// The same for an attribute that items did not have from the beginning: what is absent was seen as its
    /// default.
    pub(crate) fn later<T: Serialize>(
        attribute: &'static str,
        seen: &T,
        new: &T,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            may_lack: true,
            ..Self::of(attribute, seen, new)?
        })
    }
}

/// Where the write is that a taken name refuses: after the audit log entry and the entity.
const NAME: usize = 2;

impl Transaction<'_> {
    /// Sets attributes, if all of them are as they were seen. The others stay as they are.
    pub(crate) fn swap(self, key: &Key, swaps: Vec<Swap>) -> Result<Self, StoreError> {
        let (mut sets, mut conditions) = (Vec::new(), Vec::new());
        let (mut names, mut values) = (Vec::new(), Item::new());
        for (n, swap) in swaps.into_iter().enumerate() {
            sets.push(format!("#a{n} = :new{n}"));
            conditions.push(match swap.may_lack {
                false => format!("#a{n} = :seen{n}"),
                true => format!("(attribute_not_exists(#a{n}) OR #a{n} = :seen{n})"),
            });
            names.push((format!("#a{n}"), swap.attribute.to_owned()));
            values.insert(format!(":new{n}"), swap.new);
            values.insert(format!(":seen{n}"), swap.seen);
        }
        let change = Change {
            expression: format!("SET {}", sets.join(", ")),
            condition: conditions.join(" AND "),
            names,
            values,
        };
        self.update(key, change)
    }
}

impl Store {
    /// Commits what `decide` makes of the entity at `key`. `write` adds the entity to the transaction and
    /// after it, first of all, the guard of its new name if it has one. When the entity was changed
    /// meanwhile it is read and decided again.
    pub(crate) async fn change<'a, T: DeserializeOwned>(
        &'a self,
        key: &Key,
        decide: impl Fn(&T) -> Option<(T, AuditEntry)>,
        write: impl Fn(Transaction<'a>, &T, &T) -> Result<Transaction<'a>, StoreError>,
    ) -> Result<Changed<T>, StoreError> {
        for attempt in 0..ATTEMPTS {
            step_aside(attempt).await;
            let Some(seen) = self.get::<T>(key).await? else {
                return Ok(Changed::Gone);
            };
            let Some((new, audit)) = decide(&seen) else {
                return Ok(Changed::Done(seen));
            };
            let transaction = write(self.transaction().audit(&audit)?, &seen, &new)?;
            match transaction.commit().await? {
                Commit::Done => return Ok(Changed::Done(new)),
                Commit::Refused(writes) if writes.contains(&NAME) => return Ok(Changed::NameTaken),
                Commit::Refused(_) => {}
            }
        }
        Err(StoreError::Contended(format!("{} {}", key.pk, key.sk)))
    }
}
