//! What happened to a group. One item serves the activity list and the history.

use serde::{Deserialize, Serialize};

use crate::{ActivityId, Actor, Email, Origin, Substatus, Timestamp, UserId};

/// One line of a group's activity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// Its id.
    pub id: ActivityId,
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub kind: ActivityKind,
    /// Who did it; `None` is the system.
    pub user: Option<UserId>,
    /// What brought it about.
    pub origin: Origin,
    /// When the opposite last happened (an assignment remembers the last unassignment, and the other
    /// way round): what a history row is asked for.
    pub opposite_at: Option<Timestamp>,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ActivityKind {
    /// Somebody works on it now.
    Assigned {
        /// Who.
        assignee: Actor,
        /// By which address; none for a team.
        email: Option<Email>,
    },
    /// Nobody works on it now.
    Unassigned,
    /// It is done.
    SetResolved,
    /// It is not done.
    SetUnresolved,
    /// It is put away.
    SetIgnored {
        /// Until when.
        substatus: Option<Substatus>,
    },
}

impl ActivityKind {
    /// The name clients know.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Assigned { .. } => "assigned",
            Self::Unassigned => "unassigned",
            Self::SetResolved => "set_resolved",
            Self::SetUnresolved => "set_unresolved",
            Self::SetIgnored { .. } => "set_ignored",
        }
    }
}
