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
        })
    }
}

/// Where the write is that a taken name refuses: after the audit log entry and the entity.
const NAME: usize = 2;

impl Transaction<'_> {
    /// Sets attributes, if all of them are as they were seen. The others stay as they are.
    pub(crate) fn swap(self, key: &Key, swaps: Vec<Swap>) -> Result<Self, StoreError> {
        let places = 0..swaps.len();
        let join = |with: &str, form: fn(usize) -> String| {
            places.clone().map(form).collect::<Vec<_>>().join(with)
        };
        let expression = format!("SET {}", join(", ", |n| format!("#a{n} = :new{n}")));
        let condition = join(" AND ", |n| format!("#a{n} = :seen{n}"));
        let (mut names, mut values) = (Vec::new(), Item::new());
        for (n, swap) in swaps.into_iter().enumerate() {
            names.push((format!("#a{n}"), swap.attribute.to_owned()));
            values.insert(format!(":new{n}"), swap.new);
            values.insert(format!(":seen{n}"), swap.seen);
        }
        let change = Change {
            expression,
            condition,
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
