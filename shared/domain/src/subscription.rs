//! Who hears of a group. What somebody said themselves is one item and what follows from their part in
//! it another, so that neither has to be read before the other is written. That somebody works on it is in the
//! group's state already ([`crate::GroupState::hears_as_assigned`]).
//!
//! Who hears of what a team works on is decided when it is read: no item has to follow who comes into a team or leaves
//! it, and none has to go when the team makes room.

use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use crate::{Actor, GroupState, TeamId, Timestamp, UserId};

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

impl FromStr for SubscriptionReason {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let all = [Self::Assigned, Self::StatusChange];
        all.into_iter().find(|it| it.as_str() == text).ok_or(())
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

/// Whether and why somebody hears of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscription {
    /// Whether they hear.
    pub active: bool,
    /// Why; `None` where they said so themselves.
    pub reason: Option<SubscriptionReason>,
}

/// How a team hears of what it works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TeamHearing {
    /// Each of its members does, as if it were theirs, for as long as they are in the team.
    Members,
    /// It does as one. Its members keep the reasons that they have themselves.
    AsOne,
}

/// What people said and did about a group, of all of them or of some. Together with its state that decides who
/// hears of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subscribers {
    /// Who said whether they want to hear.
    pub choices: BTreeMap<UserId, bool>,
    /// Who changed its status, and when they did so first.
    pub status_changes: BTreeMap<UserId, Timestamp>,
}

impl Subscribers {
    /// Whether a person in these teams hears of the group, and why. What they chose counts; else any reason does, and
    /// of several the one that they had first is told.
    pub fn of(
        &self,
        state: &GroupState,
        user: UserId,
        teams: &[TeamId],
        hearing: TeamHearing,
    ) -> Option<Subscription> {
        if let Some(active) = self.choices.get(&user) {
            let (active, reason) = (*active, None);
            return Some(Subscription { active, reason });
        }
        let changed = self.status_changes.get(&user);
        let changed_first = || changed.copied() <= state.assigned_at;
        let reason = match (state.hears_as_assigned(user, teams, hearing), changed) {
            (false, None) => return None,
            (false, Some(_)) => SubscriptionReason::StatusChange,
            (true, Some(_)) if changed_first() => SubscriptionReason::StatusChange,
            (true, None | Some(_)) => SubscriptionReason::Assigned,
        };
        Some(Subscription {
            active: true,
            reason: Some(reason),
        })
    }

    /// All people who hear of the group. `members` are those of the team that works on it, if one does.
    pub fn people(
        &self,
        state: &GroupState,
        members: &[UserId],
        hearing: TeamHearing,
    ) -> BTreeSet<UserId> {
        let (team, assignee) = match state.assignee {
            Some(Actor::Team(team)) => (Some(team), None),
            Some(Actor::User(user)) => (None, Some(user)),
            None => (None, None),
        };
        let known = self.choices.keys().chain(self.status_changes.keys());
        let all = known.chain(&state.keep).chain(members).copied();
        let mut people: BTreeSet<_> = all.chain(assignee).collect();
        people.retain(|user| {
            let theirs = members.contains(user).then_some(team).flatten();
            let hears = self.of(state, *user, theirs.as_slice(), hearing);
            hears.is_some_and(|hears| hears.active)
        });
        people
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GroupId, GroupStatus, OrganizationId, ProjectId};

    fn user(n: u64) -> UserId {
        UserId::new(n).unwrap()
    }

    fn state(assignee: Option<Actor>, assigned_at: i64) -> GroupState {
        GroupState {
            group: GroupId::new(5).unwrap(),
            organization: OrganizationId::new(1).unwrap(),
            project: ProjectId::new(2).unwrap(),
            status: GroupStatus::Unresolved,
            substatus: None,
            assignee,
            keep: BTreeSet::new(),
            assigned_at: Some(Timestamp::from_millis(assigned_at)),
            unassigned_at: None,
            resolved_at: None,
            resolution: None,
            inbox: None,
            version: 0,
            status_version: 0,
            positions: BTreeMap::new(),
            links: BTreeMap::new(),
        }
    }

    #[test]
    fn the_reason_that_somebody_had_first_is_told() {
        let ana = user(71);
        let (theirs, nobodys) = (state(Some(Actor::User(ana)), 20), state(None, 20));
        let told = |state: &GroupState, changed: Option<i64>| {
            let changed = changed.map(|at| (ana, Timestamp::from_millis(at)));
            let subscribers = Subscribers {
                status_changes: changed.into_iter().collect(),
                ..Subscribers::default()
            };
            let found = subscribers.of(state, ana, &[], TeamHearing::Members)?;
            assert!(found.active);
            found.reason
        };
        let (assigned, changed) = (
            Some(SubscriptionReason::Assigned),
            Some(SubscriptionReason::StatusChange),
        );
        assert_eq!(told(&theirs, None), assigned);
        assert_eq!(told(&theirs, Some(10)), changed);
        assert_eq!(told(&theirs, Some(20)), changed, "with one request");
        assert_eq!(told(&theirs, Some(30)), assigned);
        assert_eq!(told(&nobodys, Some(30)), changed);
        assert_eq!(told(&nobodys, None), None);
    }

    #[test]
    fn all_who_hear_are_counted_once_and_those_who_do_not_want_to_are_left_out() {
        let team = TeamId::new(9).unwrap();
        let subscribers = Subscribers {
            choices: [(user(1), false), (user(2), true)].into(),
            status_changes: [(user(3), Timestamp::from_millis(0))].into(),
        };
        let kept = GroupState {
            keep: [user(5)].into(),
            ..state(Some(Actor::Team(team)), 0)
        };
        let people = |state: &GroupState, members: &[UserId], hearing| {
            let people = subscribers.people(state, members, hearing).into_iter();
            people.map(UserId::number).collect::<Vec<_>>()
        };
        let members = [user(1), user(3), user(4)];
        assert_eq!(people(&kept, &members, TeamHearing::Members), [2, 3, 4]);
        assert_eq!(people(&kept, &members, TeamHearing::AsOne), [2, 3, 5]);
        let sixths = state(Some(Actor::User(user(6))), 0);
        assert_eq!(people(&sixths, &[], TeamHearing::Members), [2, 3, 6]);
        let firsts = state(Some(Actor::User(user(1))), 0);
        assert_eq!(people(&firsts, &[], TeamHearing::Members), [2, 3]);
    }
}
