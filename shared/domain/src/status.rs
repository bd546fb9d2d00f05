//! Whether a group is done: what a change of status does to the group's state.

use crate::{
    ActivityKind, Actor, Decision, Facet, GroupState, GroupStatus, GroupWrite, Origin, Outcome,
    PositionGuard, Reason, SubscriptionReason, SubscriptionWrite, Substatus, UserId,
    assignment::{claim, refuse},
};

/// The status that a group is to have, and at whose wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusWish {
    /// The status.
    pub status: GroupStatus,
    /// The finer state, one of that status.
    pub substatus: Option<Substatus>,
    /// Who wishes it; `None` is the system.
    pub acting_user: Option<UserId>,
}

/// Gives a group a status. A group that has it already is left alone: no activity, and nobody hears.
pub fn set_status(state: &GroupState, wish: &StatusWish, origin: &Origin) -> Decision {
    let position = match claim(state, origin, Facet::Status) {
        Ok(position) => position,
        Err(reason) => return refuse(reason),
    };
    if (state.status, state.substatus) == (wish.status, wish.substatus) {
        let remembered = (position != PositionGuard::None).then(|| GroupWrite::of(position));
        return Decision {
            outcome: Outcome::Suppressed(Reason::AlreadySo),
            write: remembered,
        };
    }
    let kind = match wish.status {
        GroupStatus::Resolved => ActivityKind::SetResolved,
        GroupStatus::Unresolved => ActivityKind::SetUnresolved,
        GroupStatus::Ignored => ActivityKind::SetIgnored {
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
            status: Some((wish.status, wish.substatus)),
            activity: Some((kind, wish.acting_user, origin.clone())),
            subscriptions: subscription.into_iter().collect(),
            ..GroupWrite::of(position)
        }),
    }
}
