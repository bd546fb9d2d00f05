//! Who hears of a group. What somebody said themselves is one item and what follows from their part in
//! it another, so that neither has to be read before the other is written. That somebody works on it is in the
//! group's state already ([`crate::GroupState::hears_as_assigned`]).
//!
//! A team is one subscriber, however many are in it: who of them hears is decided when it is read.

use serde::{Deserialize, Serialize};

use crate::{Actor, UserId};

/// Why somebody hears of a group without having asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubscriptionReason {
    /// Works on it. The group's state says who does, and nothing else.
    Assigned,
    /// Changed its status.
    StatusChange,
}

impl SubscriptionReason {
    /// The name clients know.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Assigned => "assigned",
            Self::StatusChange => "status_change",
        }
    }
}

/// One change of who hears of a group. Each holds whatever is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscriptionWrite {
    /// Hears of it for this reason, unless they said that they do not want to.
    Add(Actor, SubscriptionReason),
    /// Says themselves whether they want to hear.
    Choose(UserId, bool),
}
