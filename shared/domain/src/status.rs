//! Whether a group is done: what a change of status does to the group's state.

use serde::{Deserialize, Serialize};

use crate::{
    ActivityKind, Actor, CommitRef, Decision, Facet, GroupState, GroupStatus, GroupWrite, Message,
    Origin, Outcome, PositionGuard, Reason, Release, ReleaseId, SubscriptionReason,
    SubscriptionWrite, Substatus, Timestamp, TrackerStatus, UserId, Version,
    assignment::{claim, refuse},
    outbound::pushes,
};

/// By what a group is resolved. A group has one at most, and none while it is not resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "in", rename_all = "snake_case")]
pub enum Resolution {
    /// A release.
    Release {
        /// Which.
        release: ReleaseId,
        /// Its version.
        version: Version,
        /// Who resolved it; `None` is the system.
        actor: Option<UserId>,
    },
    /// The next release of its project, as soon as there is one.
    NextRelease {
        /// The newest release when this was decided.
        after: ReleaseId,
        /// When that became known: only one that became known later is the next one.
        created: Timestamp,
        /// Who resolved it; `None` is the system.
        actor: Option<UserId>,
    },
    /// A commit, which no release has as far as is known.
    Commit {
        /// Which.
        commit: CommitRef,
        /// Who resolved it; `None` is the system.
        actor: Option<UserId>,
    },
}

impl Resolution {
    /// By a release.
    pub fn in_release(release: &Release, actor: Option<UserId>) -> Self {
        Self::Release {
            release: release.id,
            version: release.version.clone(),
            actor,
        }
    }

    /// By the one that follows the newest release there is.
    pub fn in_next_release(newest: &Release, actor: Option<UserId>) -> Self {
        Self::NextRelease {
            after: newest.id,
            created: newest.created,
            actor,
        }
    }

    /// Whether it waits for a release that is not there yet.
    pub fn is_pending(&self) -> bool {
        match self {
            Self::NextRelease { .. } => true,
            Self::Release { .. } | Self::Commit { .. } => false,
        }
    }

    /// Whether both are by the same, whoever decided so.
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Release { release: a, .. }, Self::Release { release: b, .. }) => a == b,
            (Self::NextRelease { after: a, .. }, Self::NextRelease { after: b, .. }) => a == b,
            (Self::Commit { commit: a, .. }, Self::Commit { commit: b, .. }) => a == b,
            (Self::Release { .. } | Self::NextRelease { .. } | Self::Commit { .. }, _) => false,
        }
    }
}

/// What becomes of a group's status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusWrite {
    /// The new status.
    pub status: GroupStatus,
    /// The finer state, one of that status.
    pub substatus: Option<Substatus>,
    /// By what it is resolved.
    pub resolution: Option<Resolution>,
}

/// The status that a group is to have, and at whose wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusWish {
    /// The status.
    pub status: GroupStatus,
    /// The finer state, one of that status.
    pub substatus: Option<Substatus>,
    /// By what it is resolved, where that was said; `None` for any other status.
    pub resolution: Option<Resolution>,
    /// Who wishes it; `None` is the system.
    pub acting_user: Option<UserId>,
}

/// Gives a group a status, and tells its trackers. A group that has it already is left alone: no activity, and
/// nobody hears.
pub fn set_status(state: &GroupState, wish: &StatusWish, origin: &Origin) -> Decision {
    let position = match claim(state, origin, Facet::Status) {
        Ok(position) => position,
        Err(reason) => return refuse(reason),
    };
    let like = |wanted: &Resolution| {
        let present = state.resolution.as_ref();
        present.is_some_and(|present| present.is_like(wanted))
    };
    if (state.status, state.substatus) == (wish.status, wish.substatus)
        && wish.resolution.as_ref().is_none_or(like)
    {
        let remembered = (position != PositionGuard::None).then(|| GroupWrite::of(position));
        return Decision {
            outcome: Outcome::Suppressed(Reason::AlreadySo),
            write: remembered,
        };
    }
    let kind = match (wish.status, &wish.resolution) {
        (GroupStatus::Resolved, None) => ActivityKind::SetResolved,
        (GroupStatus::Resolved, Some(Resolution::Release { version, .. })) => {
            ActivityKind::SetResolvedInRelease {
                version: Some(version.clone()),
            }
        }
        (GroupStatus::Resolved, Some(Resolution::NextRelease { .. })) => {
            ActivityKind::SetResolvedInRelease { version: None }
        }
        (GroupStatus::Resolved, Some(Resolution::Commit { commit, .. })) => {
            ActivityKind::SetResolvedInCommit {
                commit: commit.clone(),
            }
        }
        (GroupStatus::Unresolved, _) => ActivityKind::SetUnresolved,
        (GroupStatus::Ignored, _) => ActivityKind::SetIgnored {
            substatus: wish.substatus,
        },
    };
    // Who changes it takes part in it from now on.
    let subscription = wish
        .acting_user
        .map(|user| SubscriptionWrite::Add(Actor::User(user), SubscriptionReason::StatusChange));
    Decision {
        outcome: Outcome::Applied,
        write: Some(GroupWrite {
            status: Some(StatusWrite {
                status: wish.status,
                substatus: wish.substatus,
                resolution: wish.resolution.clone(),
            }),
            activity: Some((kind, wish.acting_user, origin.clone())),
            subscriptions: subscription.into_iter().collect(),
            messages: match state.status == wish.status {
                true => Vec::new(),
                false => status_pushes(state, wish.status, origin),
            },
            ..GroupWrite::of(position)
        }),
    }
}

/// One message for each tracker that is to hear of the next status. None of one that trackers do not know.
pub(crate) fn status_pushes(
    state: &GroupState,
    status: GroupStatus,
    origin: &Origin,
) -> Vec<Message> {
    match TrackerStatus::of(status) {
        Some(_) => pushes(state, Facet::Status, state.status_version + 1, origin),
        None => Vec::new(),
    }
}
