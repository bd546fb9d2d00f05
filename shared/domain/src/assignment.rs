//! Who works on a group: what a change of assignee does to the group's state.
//!
//! Each decision is a plan that the store commits in one transaction, on the condition that the state
//! is still the one decided on: same version, and the change's position still acceptable. Checking the
//! position earlier is not enough: a revision 9 that pauses after the check would overwrite an
//! applied 10.

use std::collections::BTreeSet;

use crate::{
    ActivityKind, Actor, ClearOwnerCaches, Deassign, Email, Facet, GroupState, Message, Origin,
    Outcome, Position, PositionKey, Reason, StatusWrite, SubscriptionWrite, Told, TrackerAssignee,
    UserId,
    outbound::{pushes, pushes_to_others},
};

/// How a change ends, and what is to be written for it to end so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// How it ends once the write is committed.
    pub outcome: Outcome,
    /// What to write; `None` where the state stays untouched.
    pub write: Option<GroupWrite>,
}

/// One transaction on a group. It applies to the state it was decided on or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupWrite {
    /// What must hold of the change's position, and whether it moves.
    pub position: PositionGuard,
    /// Whether this is an accepted decision about the assignee, which raises the version.
    pub raises_version: bool,
    /// What becomes of the assignee.
    pub assignee: AssigneeWrite,
    /// What becomes of the status; `None` leaves it.
    pub status: Option<StatusWrite>,
    /// Who hears of the group from now on, and who no longer.
    pub subscriptions: Vec<SubscriptionWrite>,
    /// What the activity says; its author and origin.
    pub activity: Option<(ActivityKind, Option<UserId>, Origin)>,
    /// What the tracker that this comes from has now.
    pub told: Option<Told>,
    /// What follows, sent in the same transaction.
    pub messages: Vec<Message>,
}

impl GroupWrite {
    /// A write that does no more than to mind the change's place in its order.
    pub(crate) fn of(position: PositionGuard) -> Self {
        Self {
            position,
            raises_version: false,
            assignee: AssigneeWrite::Keep,
            status: None,
            subscriptions: Vec::new(),
            activity: None,
            told: None,
            messages: Vec::new(),
        }
    }
}

/// The condition on a change's place in its tracker's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PositionGuard {
    /// The change has no place in an order; its version alone decides.
    None,
    /// The stream must be before this place, and moves to it.
    Claim(PositionKey, Position),
    /// The stream must still be at this place.
    Holds(PositionKey, Position),
}

/// What becomes of the assignee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AssigneeWrite {
    /// As it was.
    Keep,
    /// Now another one.
    Set {
        /// Whom.
        actor: Actor,
        /// Who goes on hearing though they do not work on it themselves any more.
        keep: BTreeSet<UserId>,
    },
    /// Now nobody.
    Clear,
}

/// Who is to work on a group, and at whose wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Whom to assign.
    pub actor: Actor,
    /// By which address; none for a team.
    pub email: Option<Email>,
    /// Who wishes it; `None` is the system.
    pub acting_user: Option<UserId>,
    /// Whether somebody who is assigned already makes room.
    pub existing: Existing,
    /// Where a team takes over: the one who worked on it before, if known not to be in the team. Members
    /// of the team go on hearing of it.
    pub leaves: Option<UserId>,
}

/// What becomes of an assignee that a group has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Makes room for the new one.
    Replace,
    /// Stays: automatic assignments take no issue away from anybody.
    Keep,
}

/// Assigns a group.
pub fn assign(state: &GroupState, assignment: &Assignment, origin: &Origin) -> Decision {
    let position = match claim(state, origin, Facet::Assignee) {
        Ok(position) => position,
        Err(reason) => return refuse(reason),
    };
    match (state.assignee, assignment.existing) {
        (Some(assignee), _) if assignee == assignment.actor => {
            let told = told(state, origin, state.assignee);
            return already_so(state, origin, position, told);
        }
        (Some(_), Existing::Keep) => {
            let outcome = Outcome::Suppressed(Reason::AlreadyAssigned);
            return Decision {
                outcome,
                write: None,
            };
        }
        (Some(_), Existing::Replace) | (None, _) => {}
    }
    let kind = ActivityKind::Assigned {
        assignee: assignment.actor,
        email: assignment.email.clone(),
    };
    Decision {
        outcome: Outcome::Applied,
        write: Some(GroupWrite {
            raises_version: true,
            assignee: AssigneeWrite::Set {
                actor: assignment.actor,
                keep: keep(state, assignment),
            },
            activity: Some((kind, assignment.acting_user, origin.clone())),
            told: told(state, origin, Some(assignment.actor)),
            messages: match assignment.actor {
                Actor::User(_) => pushes(state, Facet::Assignee, state.version + 1, origin),
                // No tracker knows our teams.
                Actor::Team(_) => Vec::new(),
            },
            ..GroupWrite::of(position)
        }),
    }
}

/// What the change says of the linked issue that it comes from.
fn told(state: &GroupState, origin: &Origin, assignee: Option<Actor>) -> Option<Told> {
    let Origin::Tracker(tracker) = origin else {
        return None;
    };
    let link = tracker.link();
    let assignee = match assignee {
        None => TrackerAssignee::Nobody,
        Some(Actor::User(user)) => TrackerAssignee::User(user),
        Some(Actor::Team(_)) => return None,
    };
    state
        .links
        .contains_key(&link)
        .then_some(Told::Change { link, assignee })
}

/// Who goes on hearing of a group that others work on: one whose team takes over, or of whom it is not known
/// whether it is theirs.
fn keep(state: &GroupState, assignment: &Assignment) -> BTreeSet<UserId> {
    let mut keep = state.keep.clone();
    match (state.assignee, assignment.actor) {
        (Some(Actor::User(previous)), Actor::Team(_)) if assignment.leaves != Some(previous) => {
            keep.insert(previous);
        }
        // From now on they hear for as long as it is theirs.
        (_, Actor::User(user)) => {
            keep.remove(&user);
        }
        (_, Actor::Team(_)) => {}
    }
    keep
}

/// Accepts that nobody is assigned any more. The removal itself is the `deassign` function's: this
/// claims the position and sends it on its way, with the version it was decided on.
pub fn unassign(state: &GroupState, origin: &Origin) -> Decision {
    let position = match claim(state, origin, Facet::Assignee) {
        Ok(position) => position,
        Err(reason) => return refuse(reason),
    };
    let told = told(state, origin, None);
    if state.assignee.is_none() {
        return already_so(state, origin, position, told);
    }
    let message = Deassign {
        organization: state.organization,
        group: state.group,
        seen_version: state.version,
        acting_user: None,
        origin: origin.clone(),
    };
    Decision {
        outcome: Outcome::HandedOver,
        write: Some(GroupWrite {
            told,
            messages: vec![Message::Deassign(message)],
            ..GroupWrite::of(position)
        }),
    }
}

/// Removes the assignee, unless something newer has been decided since the message was sent.
///
/// The version alone would let a late older revision win over a newer one that was claimed meanwhile;
/// the position alone would not see a change made here. Comparing the assignee would wipe out the
/// same person's re-assignment.
pub fn deassign(state: &GroupState, message: &Deassign) -> Decision {
    let position = match message.origin.position(Facet::Assignee) {
        Some((key, position)) if state.positions.get(&key) != Some(&position) => {
            return refuse(Reason::OlderRevision);
        }
        Some((key, position)) => PositionGuard::Holds(key, position),
        None => PositionGuard::None,
    };
    if state.version != message.seen_version {
        return refuse(Reason::NewerDecision);
    }
    if state.assignee.is_none() {
        return refuse(Reason::AlreadySo);
    }
    Decision {
        outcome: Outcome::Applied,
        write: Some(GroupWrite {
            raises_version: true,
            assignee: AssigneeWrite::Clear,
            activity: Some((
                ActivityKind::Unassigned,
                message.acting_user,
                message.origin.clone(),
            )),
            told: told(state, &message.origin, None),
            messages: pushes(state, Facet::Assignee, state.version + 1, &message.origin),
            ..GroupWrite::of(position)
        }),
    }
}

/// Removes the assignee at once, whoever it is: for somebody who sees the group and says so. The caches
/// are the `deassign` function's, as after its own removals.
pub fn clear_assignee(
    state: &GroupState,
    acting_user: Option<UserId>,
    origin: &Origin,
) -> Decision {
    if state.assignee.is_none() {
        return already_so(state, origin, PositionGuard::None, None);
    }
    let now = Deassign {
        organization: state.organization,
        group: state.group,
        seen_version: state.version,
        acting_user,
        origin: origin.clone(),
    };
    let mut decision = deassign(state, &now);
    if let Some(write) = &mut decision.write {
        let (organization, group) = (state.organization, state.group);
        write
            .messages
            .push(Message::ClearOwnerCaches(ClearOwnerCaches {
                organization,
                groups: vec![group],
            }));
    }
    decision
}

/// Where the change's stream moves to, or why it comes too late.
pub(crate) fn claim(
    state: &GroupState,
    origin: &Origin,
    facet: Facet,
) -> Result<PositionGuard, Reason> {
    let Some((key, position)) = origin.position(facet) else {
        return Ok(PositionGuard::None);
    };
    match state.positions.get(&key) {
        Some(accepted) if *accepted == position => Err(Reason::SameRevision),
        Some(accepted) if *accepted > position => Err(Reason::OlderRevision),
        Some(_) | None => Ok(PositionGuard::Claim(key, position)),
    }
}

/// Something newer holds.
pub(crate) fn refuse(reason: Reason) -> Decision {
    Decision {
        outcome: Outcome::Superseded(reason),
        write: None,
    }
}

/// Nothing to change, but the change counts: were it forgotten, an older revision or a removal on its
/// way could undo what it confirmed. Where that removal comes from, it is not so, and has to be told.
fn already_so(
    state: &GroupState,
    origin: &Origin,
    position: PositionGuard,
    told: Option<Told>,
) -> Decision {
    Decision {
        outcome: Outcome::Suppressed(Reason::AlreadySo),
        write: Some(GroupWrite {
            raises_version: true,
            told,
            messages: pushes_to_others(state, state.version + 1, origin),
            ..GroupWrite::of(position)
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        GroupId, GroupStatus, IntegrationId, MessageId, OrganizationId, ProjectId, Provider,
        Substatus, Timestamp, TrackerOrigin,
    };

    const ANA: u64 = 71;
    const BO: u64 = 72;

    fn user(n: u64) -> UserId {
        UserId::new(n).unwrap()
    }

    fn origin(revision: Option<u64>) -> Origin {
        Origin::Tracker(TrackerOrigin {
            provider: Provider::Vsts,
            integration: IntegrationId::new(9).unwrap(),
            external_issue: "31".parse().unwrap(),
            revision,
            delivery: MessageId::new(Timestamp::from_millis(0), 0),
            author: None,
        })
    }

    fn state(assignee: Option<u64>, version: u64, revision: Option<u64>) -> GroupState {
        let claimed = revision.and_then(|r| origin(Some(r)).position(Facet::Assignee));
        GroupState {
            group: GroupId::new(5).unwrap(),
            organization: OrganizationId::new(1).unwrap(),
            project: ProjectId::new(2).unwrap(),
            status: GroupStatus::Unresolved,
            substatus: Some(Substatus::New),
            assignee: assignee.map(|n| Actor::User(user(n))),
            keep: Default::default(),
            assigned_at: None,
            unassigned_at: None,
            resolved_at: None,
            resolution: None,
            inbox: None,
            version,
            status_version: 0,
            positions: claimed.into_iter().collect::<BTreeMap<_, _>>(),
            links: BTreeMap::new(),
        }
    }

    fn ana() -> Assignment {
        Assignment {
            actor: Actor::User(user(ANA)),
            email: "ana@acme.example".parse().ok(),
            acting_user: None,
            existing: Existing::Replace,
            leaves: None,
        }
    }

    fn to_ana(state: &GroupState, revision: Option<u64>) -> Decision {
        assign(state, &ana(), &origin(revision))
    }

    fn held(seen_version: u64, revision: Option<u64>) -> Deassign {
        Deassign {
            organization: OrganizationId::new(1).unwrap(),
            group: GroupId::new(5).unwrap(),
            seen_version,
            acting_user: None,
            origin: origin(revision),
        }
    }

    #[test]
    fn a_newer_revision_assigns_and_an_older_or_equal_one_does_not() {
        let bo_at_10 = state(Some(BO), 3, Some(10));
        assert_eq!(to_ana(&bo_at_10, Some(11)).outcome, Outcome::Applied);
        assert_eq!(to_ana(&bo_at_10, Some(10)), refuse(Reason::SameRevision));
        assert_eq!(to_ana(&bo_at_10, Some(9)), refuse(Reason::OlderRevision));
    }

    #[test]
    fn a_change_without_a_revision_is_decided_by_the_version_alone() {
        let decision = to_ana(&state(Some(BO), 3, Some(10)), None);
        assert_eq!(decision.write.unwrap().position, PositionGuard::None);
    }

    #[test]
    fn a_change_that_already_holds_is_remembered_without_activity() {
        for decision in [
            to_ana(&state(Some(ANA), 3, Some(10)), Some(11)),
            unassign(&state(None, 3, Some(10)), &origin(Some(11))),
        ] {
            assert_eq!(decision.outcome, Outcome::Suppressed(Reason::AlreadySo));
            let write = decision.write.unwrap();
            assert!(write.raises_version && write.activity.is_none() && write.messages.is_empty());
            assert!(matches!(write.position, PositionGuard::Claim(..)));
        }
    }

    #[test]
    fn a_team_takes_over_from_a_person_and_has_no_address() {
        let team = Actor::Team(crate::TeamId::new(5).unwrap());
        let assignment = Assignment {
            actor: team,
            email: None,
            ..ana()
        };
        let write = assign(&state(Some(ANA), 3, None), &assignment, &origin(None))
            .write
            .unwrap();
        let keep = [user(ANA)].into();
        assert_eq!(write.assignee, AssigneeWrite::Set { actor: team, keep });
        let (kind, _, _) = write.activity.unwrap();
        assert_eq!(
            kind,
            ActivityKind::Assigned {
                assignee: team,
                email: None
            }
        );
    }

    #[test]
    fn an_assignment_that_takes_nothing_away_leaves_an_assigned_group_alone() {
        let gentle = Assignment {
            existing: Existing::Keep,
            ..ana()
        };
        let taken = assign(&state(Some(BO), 3, None), &gentle, &origin(Some(11)));
        let outcome = Outcome::Suppressed(Reason::AlreadyAssigned);
        assert_eq!(
            taken,
            Decision {
                outcome,
                write: None
            }
        );
        let free = assign(&state(None, 3, None), &gentle, &origin(Some(11)));
        assert_eq!(free.outcome, Outcome::Applied);
    }

    #[test]
    fn an_unassignment_claims_its_place_and_leaves_the_removal_to_its_own_function() {
        let write = unassign(&state(Some(ANA), 3, Some(10)), &origin(Some(11)))
            .write
            .unwrap();
        assert_eq!(write.assignee, AssigneeWrite::Keep);
        let [Message::Deassign(message)] = &write.messages[..] else {
            panic!("no Deassign")
        };
        assert_eq!(message.seen_version, 3);
    }

    #[test]
    fn a_removal_needs_both_its_version_and_its_position() {
        let outcome = |s: &GroupState, m: &Deassign| deassign(s, m).outcome;
        let message = held(3, Some(10));
        assert_eq!(
            outcome(&state(Some(ANA), 3, Some(10)), &message),
            Outcome::Applied
        );
        let newer_decision = state(Some(ANA), 4, Some(10));
        let superseded = Outcome::Superseded;
        assert_eq!(
            outcome(&newer_decision, &message),
            superseded(Reason::NewerDecision)
        );
        let newer_claim = state(Some(ANA), 3, Some(12));
        assert_eq!(
            outcome(&newer_claim, &message),
            superseded(Reason::OlderRevision)
        );
        let nobody = state(None, 3, Some(10));
        assert_eq!(outcome(&nobody, &message), superseded(Reason::AlreadySo));
    }

    #[test]
    fn whoever_is_assigned_hears_and_whoever_makes_room_does_not() {
        let (ann, bo) = (user(ANA), user(BO));
        let (theirs, other) = (
            crate::TeamId::new(5).unwrap(),
            crate::TeamId::new(6).unwrap(),
        );
        let after = |state: &GroupState, actor, leaves| {
            let assignment = Assignment {
                actor,
                leaves,
                ..ana()
            };
            let write = assign(state, &assignment, &origin(None)).write.unwrap();
            let (assignee, keep) = match write.assignee {
                AssigneeWrite::Set { actor, keep } => (Some(actor), keep),
                AssigneeWrite::Keep => (state.assignee, state.keep.clone()),
                AssigneeWrite::Clear => panic!("nobody is assigned"),
            };
            GroupState {
                assignee,
                keep,
                ..state.clone()
            }
        };
        // Ana is in the team, and Bo in no other.
        let hear = |state: &GroupState| {
            [
                state.hears_as_assigned(ann, &[theirs]),
                state.hears_as_assigned(bo, &[other]),
            ]
        };
        let team = Actor::Team(theirs);
        let (to_ana, to_bo) = (Actor::User(ann), Actor::User(bo));
        let nobody = state(None, 3, None);
        assert_eq!(hear(&nobody), [false, false]);
        let anas = after(&nobody, to_ana, None);
        assert_eq!(hear(&anas), [true, false]);
        assert_eq!(
            hear(&after(&anas, to_ana, None)),
            [true, false],
            "once more"
        );
        let bos = after(&anas, to_bo, None);
        assert_eq!(hear(&bos), [false, true]);
        assert_eq!(hear(&after(&nobody, team, None)), [true, false]);
        // Whoever is in the team that takes over goes on hearing, also of whom nobody knows.
        let taken_over = after(&bos, team, None);
        assert_eq!(hear(&taken_over), [true, true]);
        assert_eq!(hear(&after(&bos, team, Some(ann))), [true, true]);
        assert_eq!(hear(&after(&bos, team, Some(bo))), [true, false]);
        // That stays when the team makes room in turn, and the team's own hearing does not.
        assert_eq!(hear(&after(&taken_over, to_ana, None)), [true, true]);
        let other_team = after(
            &taken_over,
            Actor::Team(crate::TeamId::new(7).unwrap()),
            None,
        );
        assert_eq!(hear(&other_team), [false, true]);
        // It ends with an assignment of their own.
        let again = after(&after(&taken_over, to_bo, None), to_ana, None);
        assert_eq!(hear(&again), [true, false]);
    }

    #[test]
    fn nobody_hears_as_assigned_of_what_is_nobodys_but_those_who_are_kept() {
        let kept = GroupState {
            keep: [user(BO)].into(),
            ..state(Some(ANA), 3, Some(10))
        };
        let write = deassign(&kept, &held(3, Some(10))).write.unwrap();
        assert_eq!(write.assignee, AssigneeWrite::Clear);
        let after = GroupState {
            assignee: None,
            ..kept
        };
        assert!(!after.hears_as_assigned(user(ANA), &[]));
        assert!(after.hears_as_assigned(user(BO), &[]));
    }
}
