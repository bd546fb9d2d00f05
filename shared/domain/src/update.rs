//! "This object was updated": what has to be told to whoever keeps something of it elsewhere.
//!
//! Updates of one object that nobody has told of yet are one. Those of a shard are told in order, one
//! drain at a time, and put off together when one of them cannot be told.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{MessageId, OrganizationId, ProjectId, Timestamp};

/// Whose updates are told together: one shard for each owner. The variant is the scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpdateShard {
    /// Everything of one organization.
    Organization(OrganizationId),
}

impl fmt::Display for UpdateShard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Organization(id) => write!(f, "organization#{id}"),
        }
    }
}

/// An object that was updated. Each scope has categories of its own type, so none can come into the
/// shard of another scope, neither in code nor by what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "scope", rename_all = "snake_case")]
pub enum Update {
    /// Something of an organization.
    Organization {
        /// Whose.
        shard: OrganizationId,
        /// What.
        #[serde(flatten)]
        category: OrganizationCategory,
    },
}

/// What can be updated in the scope of an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "category", content = "object", rename_all = "snake_case")]
pub enum OrganizationCategory {
    /// A project, its end included.
    ProjectUpdate(ProjectId),
}

impl fmt::Display for OrganizationCategory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ProjectUpdate(id) => write!(f, "project_update#{id}"),
        }
    }
}

impl Update {
    /// The shard it belongs to.
    pub fn shard(&self) -> UpdateShard {
        match self {
            Self::Organization { shard, .. } => UpdateShard::Organization(*shard),
        }
    }
}

/// An update that waits. A newer one of the same object takes its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingUpdate {
    /// Tells it from the one before.
    pub id: MessageId,
    /// What it is of.
    #[serde(flatten)]
    pub update: Update,
}

/// When a shard is tried next. It is moved on before anything is told: that it is still there shows that
/// telling failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateSchedule {
    /// When.
    pub due: Timestamp,
    /// How long before that it was tried, in seconds.
    pub delay: u32,
}

/// The longest pause between two tries of a shard, in seconds.
const MOST_DELAY: u32 = 3600;

impl UpdateSchedule {
    /// The try after this one: after 2 seconds, 4, 8 and so on up to an hour.
    pub fn after(last: Option<Self>, now: Timestamp) -> Self {
        let delay = last.map_or(1, |last| last.delay).saturating_mul(2);
        let delay = delay.min(MOST_DELAY);
        Self {
            due: now.plus(i64::from(delay) * 1000),
            delay,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_from_two_seconds_to_an_hour() {
        let (mut last, mut delays, now) = (None, Vec::new(), Timestamp::from_millis(0));
        for _ in 0..14 {
            let next = UpdateSchedule::after(last, now);
            assert_eq!(next.due.millis(), i64::from(next.delay) * 1000);
            delays.push(next.delay);
            last = Some(next);
        }
        let expected = [
            2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600, 3600,
        ];
        assert_eq!(delays, expected);
    }

    #[test]
    fn a_category_is_read_in_its_own_scope_and_in_no_other() {
        let read = serde_json::from_value::<Update>;
        let update = serde_json::json!({
            "scope": "organization", "shard": "7", "category": "project_update", "object": "9",
        });
        let parsed = read(update.clone()).unwrap();
        assert_eq!(serde_json::to_value(parsed).unwrap(), update);
        for (name, wrong) in [
            ("scope", "integration"),
            ("category", "integration_update"),
            ("object", ""),
        ] {
            let mut other = update.clone();
            other[name] = wrong.into();
            assert!(read(other).is_err(), "{name} {wrong}");
        }
        let mut none = update;
        none["object"] = serde_json::Value::Null;
        assert!(read(none).is_err());
    }
}
