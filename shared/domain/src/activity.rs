//! What happened to a group. One item serves the activity list and the history.

use serde::{Deserialize, Serialize};

use crate::{
    ActivityId, Actor, CommitRef, Email, Origin, PullRequestRef, Substatus, Timestamp, UserId,
    Version,
};

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
    /// A commit says that it resolves it.
    ReferencedInCommit {
        /// Which.
        commit: CommitRef,
    },
    /// It is done.
    SetResolved,
    /// It is done, by a commit.
    SetResolvedInCommit {
        /// Which.
        commit: CommitRef,
    },
    /// A pull request says that it resolves it.
    SetResolvedInPullRequest {
        /// Which.
        pull_request: PullRequestRef,
    },
    /// It is done, in a release.
    SetResolvedInRelease {
        /// Which; `None`: the next one, while there is none.
        version: Option<Version>,
    },
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
            Self::ReferencedInCommit { .. } => "referenced_in_commit",
            Self::SetResolved => "set_resolved",
            Self::SetResolvedInCommit { .. } => "set_resolved_in_commit",
            Self::SetResolvedInPullRequest { .. } => "set_resolved_in_pull_request",
            Self::SetResolvedInRelease { .. } => "set_resolved_in_release",
            Self::SetUnresolved => "set_unresolved",
            Self::SetIgnored { .. } => "set_ignored",
        }
    }
}
