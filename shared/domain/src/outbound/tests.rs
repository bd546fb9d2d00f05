//! What is made of a write and of what the tracker tells meanwhile.

use std::collections::BTreeMap;

use super::*;
use crate::{ProjectId, Provider};

const VSTS: &str = "9/31";

fn link() -> Link {
    Link::try_from(VSTS.to_owned()).unwrap()
}

fn user(n: u64) -> TrackerAssignee {
    TrackerAssignee::User(UserId::new(n).unwrap())
}

const NOBODY: TrackerAssignee = TrackerAssignee::Nobody;

fn lease() -> Lease {
    let until = Timestamp::from_millis(30_000);
    let owner = MessageId::new(until, 1);
    Lease { owner, until }
}

/// A group that `assignee` works on, with one link of which this much is known.
fn state(assignee: TrackerAssignee, version: u64, known: FacetState) -> GroupState {
    let link_state = LinkState::default().with(Facet::Assignee, known);
    GroupState {
        group: GroupId::new(5).unwrap(),
        organization: OrganizationId::new(1).unwrap(),
        project: ProjectId::new(2).unwrap(),
        status: GroupStatus::Unresolved,
        substatus: None,
        assignee: assignee.actor(),
        keep: Default::default(),
        assigned_at: None,
        unassigned_at: None,
        resolved_at: None,
        resolution: None,
        inbox: None,
        version,
        status_version: 0,
        positions: BTreeMap::new(),
        links: BTreeMap::from([(link(), link_state)]),
    }
}

/// A delivery of the link's tracker.
fn delivery(revision: u64) -> TrackerOrigin {
    TrackerOrigin {
        provider: Provider::Vsts,
        integration: link().integration,
        external_issue: link().external_issue,
        revision: Some(revision),
        delivery: MessageId::new(Timestamp::from_millis(0), 0),
        author: None,
    }
}

/// A push of the link's.
fn pushed(version: u64) -> TrackerPush {
    TrackerPush {
        organization: OrganizationId::new(1).unwrap(),
        group: GroupId::new(5).unwrap(),
        link: link(),
        version,
        origin: Origin::Tracker(delivery(1)),
        failing: None,
    }
}

/// Ana is being written at version 1, and Bo was told of meanwhile, at revision 2.
fn told_while_writing(lease: Option<Lease>) -> (GroupState, GroupState) {
    let sending = FacetState {
        sending: Some(TrackerValue::Assignee(user(71))),
        lease,
        ..FacetState::default()
    };
    let told = FacetState {
        settled: 2,
        known: Some(TrackerValue::Assignee(user(72))),
        ..sending.clone()
    };
    let mut now = state(user(72), 2, told);
    let (key, position) = Origin::Tracker(delivery(2))
        .position(Facet::Assignee)
        .unwrap();
    now.positions.insert(key, position);
    (state(user(71), 1, sending), now)
}

#[test]
fn a_link_reads_as_it_is_written_even_with_a_slash_in_the_key() {
    let link = Link {
        integration: IntegrationId::new(9).unwrap(),
        external_issue: "acme/web#7".parse().unwrap(),
    };
    assert_eq!(link.to_string(), "9/acme/web#7");
    assert_eq!(Link::try_from(link.to_string()), Ok(link));
    for bad in ["", "9", "9/", "x/7"] {
        assert!(Link::try_from(bad.to_owned()).is_err(), "{bad}");
    }
}

#[test]
fn a_failing_push_waits_longer_each_time_and_no_longer_than_a_day_in_all() {
    let start = Timestamp::from_millis(0);
    let id = MessageId::new(start, 0);
    let mut push = TrackerPush {
        organization: OrganizationId::new(1).unwrap(),
        group: GroupId::new(5).unwrap(),
        link: Link::try_from("9/31".to_owned()).unwrap(),
        version: 1,
        origin: Origin::Api(crate::ApiOrigin {
            user: None,
            request: id,
        }),
        failing: None,
    };
    let due = |now, wait| {
        let again = push.again(Timestamp::from_millis(now), Some(wait));
        again.map(|(_, due)| due.millis())
    };
    assert_eq!(
        due(0, 900_000),
        Some(900_000),
        "as long as the tracker asks"
    );
    assert_eq!(due(0, 0), Some(15_000), "which never means sooner");
    assert_eq!(due(1, 0), Some(30_000), "at the next of few moments");
    assert_eq!(due(14_999, 0), due(1, 0), "where copies meet");
    let (mut now, mut waits) = (start, Vec::new());
    while let Some((again, due)) = push.again(now, None) {
        waits.push((due.millis() - now.millis()) / 1000);
        (push, now) = (again, due);
    }
    assert_eq!(waits[..4], [15, 30, 60, 120]);
    assert_eq!(waits.iter().max(), Some(&3600));
    let whole: i64 = waits.iter().sum();
    assert!((23 * 3600..=24 * 3600).contains(&whole), "{whole}");
    assert_eq!(push.again(now, Some(2 * 60 * 60 * 1000)), None);
}

fn settled(leased: &GroupState, now: &GroupState, sent: Sent) -> FacetState {
    let ana = TrackerValue::Assignee(user(71));
    let at = (&link(), Facet::Assignee);
    let settled = settle(leased, now, at, lease(), ana, sent).unwrap();
    settled.link.assignee
}

fn decided(now: &GroupState, known: FacetState) -> Push {
    let now = GroupState {
        links: state(NOBODY, 0, known).links,
        ..now.clone()
    };
    let at = Timestamp::from_millis(0);
    push(&now, Facet::Assignee, &pushed(now.version), at)
}

#[test]
fn a_write_that_undid_what_the_tracker_told_meanwhile_is_undone_in_turn() {
    let (leased, now) = told_while_writing(Some(lease()));
    let (ana, bo) = (
        TrackerValue::Assignee(user(71)),
        TrackerValue::Assignee(user(72)),
    );
    // It came after what was told.
    let known = settled(&leased, &now, Sent::Taken(Some(3)));
    assert_eq!((known.known, known.settled), (Some(ana), 1));
    assert_eq!(decided(&now, known), Push::Write(bo));
    // It came before.
    let known = settled(&leased, &now, Sent::Taken(Some(1)));
    assert_eq!((known.known, known.settled), (Some(bo), 2));
    let already_so = Push::Ended(Outcome::Suppressed(Reason::AlreadySo));
    assert_eq!(decided(&now, known), already_so);
    // It did not come at all.
    let known = settled(&leased, &now, Sent::Refused);
    assert_eq!((known.known, known.settled), (Some(bo), 2));
    // Nobody knows, so the tracker's word may still be met as that of the write.
    let known = settled(&leased, &now, Sent::Unanswered);
    assert_eq!((known.known, known.sending), (Some(bo), Some(ana)));
}

#[test]
fn a_write_without_meanwhile_settles_what_it_was_made_from_and_nothing_later() {
    let (leased, _) = told_while_writing(Some(lease()));
    let later = GroupState {
        version: 4,
        assignee: None,
        ..leased.clone()
    };
    let known = settled(&leased, &later, Sent::Taken(Some(3)));
    assert_eq!((known.settled, known.sending, known.lease), (1, None, None));
    let nobody = TrackerValue::Assignee(NOBODY);
    assert_eq!(decided(&later, known), Push::Write(nobody));
    let another = Lease {
        owner: MessageId::new(Timestamp::from_millis(0), 9),
        ..lease()
    };
    let at = (&link(), Facet::Assignee);
    let ana = TrackerValue::Assignee(user(71));
    let refused = settle(&leased, &leased, at, another, ana, Sent::Refused);
    assert_eq!(refused, None, "the lease is somebody else's");
}

fn pushes_of(decision: &Decision) -> Vec<TrackerPush> {
    let messages = decision.write.clone().unwrap().messages;
    let push = |message| {
        let Message::PushAssignee(push) = message else {
            panic!("{message:?}");
        };
        push
    };
    messages.into_iter().map(push).collect()
}

#[test]
fn an_echo_of_what_does_not_hold_any_more_is_undone_at_its_tracker() {
    // Ana's answer was lost, Bo was told of, and now the tracker tells of Ana.
    let (_, now) = told_while_writing(None);
    let decision = echo(&now, &delivery(3), user(71), None).unwrap();
    assert_eq!(decision.outcome, Outcome::Suppressed(Reason::Echo));
    let after = heard(&decision);
    let ana = TrackerValue::Assignee(user(71));
    assert_eq!((after.settled, after.known), (0, Some(ana)));
    assert_eq!(after.sending, None);
    let pushes = pushes_of(&decision);
    let [push] = &pushes[..] else {
        panic!("{pushes:?}");
    };
    assert_eq!((&push.link, push.version), (&link(), 2));
    let bo = TrackerValue::Assignee(user(72));
    assert_eq!(decided(&now, after), Push::Write(bo));
}

/// What an echo leaves known of the link.
fn heard(decision: &Decision) -> FacetState {
    let write = decision.write.as_ref().unwrap();
    let Some(Told::Echo { now, .. }) = &write.told else {
        panic!("{write:?}");
    };
    now.assignee.clone()
}

#[test]
fn each_write_without_an_answer_is_known_again_in_the_order_they_were_made() {
    let (ana, bo) = (
        TrackerValue::Assignee(user(71)),
        TrackerValue::Assignee(user(72)),
    );
    // Bo and then Ana were written, and neither was answered.
    let twice = FacetState::default().leased(lease(), bo);
    let twice = twice.leased(lease(), ana);
    let now = state(
        user(71),
        2,
        FacetState {
            lease: None,
            ..twice
        },
    );
    let decision = echo(&now, &delivery(3), user(72), None).unwrap();
    assert_eq!(decision.outcome, Outcome::Suppressed(Reason::Echo));
    let after = heard(&decision);
    assert_eq!((after.known, after.sending), (Some(bo), Some(ana)));
    assert_eq!(pushes_of(&decision), [], "Ana's has not ended");
    let now = state(user(71), 2, after);
    assert_eq!(echo(&now, &delivery(4), user(72), None), None, "once");
    let after = heard(&echo(&now, &delivery(4), user(71), None).unwrap());
    assert_eq!((after.known, after.sending), (Some(ana), None));

    // The second is told of first: the first was not carried out, or comes too late.
    let now = state(
        user(71),
        2,
        FacetState::default()
            .leased(lease(), bo)
            .leased(lease(), ana),
    );
    let after = heard(&echo(&now, &delivery(3), user(71), None).unwrap());
    assert_eq!((after.sending, after.unanswered), (None, Vec::new()));
}

#[test]
fn a_write_that_was_answered_is_known_by_its_revision_unless_somebody_else_made_that() {
    let ana = TrackerValue::Assignee(user(71));
    let leased = state(user(71), 1, FacetState::default().leased(lease(), ana));
    let known = settled(&leased, &leased, Sent::Taken(Some(3)));
    let (key, position) = Origin::Tracker(delivery(3))
        .position(Facet::Assignee)
        .unzip();
    assert_eq!(known.written, position);
    let mut now = state(user(72), 2, known);
    now.positions.insert(key.unwrap(), position.unwrap());
    let suppressed = Decision {
        outcome: Outcome::Suppressed(Reason::Echo),
        write: None,
    };
    assert_eq!(
        echo(&now, &delivery(3), user(71), Some(true)),
        Some(suppressed)
    );
    assert_eq!(echo(&now, &delivery(3), user(71), Some(false)), None);
    assert_eq!(
        echo(&now, &delivery(4), user(71), Some(true)),
        None,
        "a person's"
    );
    assert_eq!(echo(&now, &delivery(2), user(71), Some(true)), None);
}

#[test]
fn a_refused_write_leaves_those_before_it_unanswered() {
    let (ana, bo) = (
        TrackerValue::Assignee(user(71)),
        TrackerValue::Assignee(user(72)),
    );
    let before = state(user(71), 2, FacetState::default().leased(lease(), bo));
    let leased = before.links[&link()].assignee.leased(lease(), ana);
    let leased = state(user(71), 2, leased);
    let known = settled(&before, &leased, Sent::Refused);
    assert_eq!((known.sending, known.unanswered), (Some(bo), Vec::new()));
}

#[test]
fn what_is_known_of_a_link_looks_as_before_while_nothing_new_is_known() {
    // It is compared as a whole with what lies in the table, from whatever version that is.
    let known = serde_json::to_value(FacetState::default()).unwrap();
    let names: Vec<_> = known.as_object().unwrap().keys().collect();
    assert_eq!(names, ["known", "lease", "sending", "settled"]);
}

#[test]
fn an_echo_of_what_holds_or_of_what_has_a_push_of_its_own_sends_nothing() {
    let (leased, now) = told_while_writing(None);
    let decided_since = GroupState {
        version: 3,
        assignee: None,
        ..now.clone()
    };
    for state in [leased, decided_since] {
        let decision = echo(&state, &delivery(3), user(71), Some(true)).unwrap();
        assert_eq!(pushes_of(&decision), []);
        let before = &state.links[&link()].assignee;
        assert_eq!(heard(&decision).settled, before.settled);
    }
    assert_eq!(echo(&now, &delivery(3), user(71), Some(false)), None);
    assert_eq!(echo(&now, &delivery(3), user(72), None), None);
    assert_eq!(echo(&now, &delivery(2), user(71), None), None, "too late");
}

#[test]
fn what_a_tracker_is_believed_to_have_is_looked_at_before_that_is_a_reason_to_write_nothing() {
    let ana = TrackerValue::Assignee(user(71));
    let known = |known, settled| FacetState {
        settled,
        known,
        ..FacetState::default()
    };
    let now = state(user(71), 3, FacetState::default());
    let already_so = Outcome::Suppressed(Reason::AlreadySo);
    assert_eq!(
        decided(&now, known(Some(ana), 2)),
        Push::Check(ana, already_so)
    );
    assert_eq!(decided(&now, known(Some(ana), 3)), Push::Ended(already_so));
    assert_eq!(decided(&now, known(None, 2)), Push::Write(ana));
    let nobody = TrackerValue::Assignee(NOBODY);
    assert_eq!(decided(&now, known(Some(nobody), 2)), Push::Write(ana));
}
