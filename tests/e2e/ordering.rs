//! Deliveries overtake one another; the newest revision wins all the same.

use rand::seq::SliceRandom;
use serde_json::json;
use tests::{World, assigned_to};

#[tokio::test]
async fn shuffled_and_doubled_revisions_end_as_the_newest_says() {
    for newest_assigns in [true, false] {
        let mut world = World::start().await;
        let mut bodies = Vec::new();
        for revision in 1..=10 {
            let assigns = (revision % 2 == 0) == newest_assigns;
            let email = if revision % 3 == 0 {
                world.ana()
            } else {
                world.bo()
            };
            let change = match assigns {
                true => assigned_to(email),
                false => json!({ "oldValue": "Somebody <x@acme.example>" }),
            };
            bodies.push(world.work_item(revision, change));
        }
        bodies.extend(bodies.clone());
        bodies.shuffle(&mut rand::rng());
        for (n, body) in bodies.iter().enumerate() {
            world.deliver(body).await;
            // Some pile up, others are handled on their own.
            if n % 3 == 0 {
                world.step("issue-sync").await;
            }
        }
        world.settle().await;
        let expected = newest_assigns.then(|| world.bo().to_owned());
        assert_eq!(world.assignee().await, expected, "{bodies:?}");
        world.finish().await;
    }
}

/// Brings an unassignment as far as its own queue and holds it there.
async fn held_deassign() -> World {
    let mut world = World::start().await;
    world.assign(1, world.ana()).await;
    world.settle().await;
    world.unassign(2).await;
    world.drain("issue-sync").await;
    world.relay().await;
    assert!(
        !world.stack.sqs().messages("deassign").is_empty(),
        "a Deassign waits"
    );
    assert_eq!(world.assignee().await.as_deref(), Some("ana@acme.example"));
    world
}

#[tokio::test]
async fn a_held_deassign_is_superseded_by_another_persons_later_assignment() {
    let mut world = held_deassign().await;
    world.assign(3, world.bo()).await;
    world.step("issue-sync").await;
    world.settle().await;
    assert_eq!(world.assignee().await.as_deref(), Some("bo@acme.example"));
    assert!(
        world
            .outcomes()
            .contains(&"superseded: older_revision".to_owned())
    );
    world.finish().await;
}

#[tokio::test]
async fn a_held_deassign_is_superseded_by_the_same_persons_later_assignment() {
    let mut world = held_deassign().await;
    world.assign(3, world.ana()).await;
    world.step("issue-sync").await;
    world.settle().await;
    assert_eq!(world.assignee().await.as_deref(), Some("ana@acme.example"));
    assert_eq!(world.activity().await, ["assigned ana@acme.example"]);
    world.finish().await;
}

#[tokio::test]
async fn a_held_deassign_is_superseded_by_a_decision_that_has_no_revision() {
    let mut world = held_deassign().await;
    world.without_replay();
    let mut body = world.work_item(0, assigned_to(world.ana()));
    body["resource"].as_object_mut().unwrap().remove("rev");
    world.deliver(&body).await;
    world.step("issue-sync").await;
    world.settle().await;
    assert_eq!(world.assignee().await.as_deref(), Some("ana@acme.example"));
    assert!(
        world
            .outcomes()
            .contains(&"superseded: newer_decision".to_owned())
    );
    world.finish().await;
}

#[tokio::test]
async fn a_held_deassign_applies_when_nothing_newer_came() {
    let mut world = held_deassign().await;
    world.settle().await;
    assert_eq!(world.assignee().await, None);
    world.finish().await;
}

#[tokio::test]
async fn a_paused_older_revision_does_not_undo_a_newer_one() {
    let mut world = World::start().await;
    // Received and not handled: its function is paused.
    world.assign(9, world.ana()).await;
    let paused = world.stack.sqs().receive("issue-sync", 10);
    world.assign(10, world.bo()).await;
    while world.step("issue-sync").await > 0 {}
    let failed = world
        .stack
        .deliver_again("issue-sync", paused)
        .await
        .unwrap();
    assert!(failed.is_empty(), "superseded is a success");
    world.settle().await;
    assert_eq!(world.assignee().await.as_deref(), Some("bo@acme.example"));
    assert_eq!(world.activity().await, ["assigned bo@acme.example"]);
    world.finish().await;
}

#[tokio::test]
async fn a_newer_revision_that_changes_nothing_still_refuses_an_older_one() {
    let mut world = World::start().await;
    world.assign(1, world.ana()).await;
    world.settle().await;
    world.assign(10, world.ana()).await;
    world.settle().await;
    world.assign(9, world.bo()).await;
    world.unassign(8).await;
    world.settle().await;
    assert_eq!(world.assignee().await.as_deref(), Some("ana@acme.example"));
    assert_eq!(world.activity().await, ["assigned ana@acme.example"]);
    world.finish().await;
}

#[tokio::test]
async fn an_unassignment_that_is_still_on_its_way_refuses_an_older_assignment() {
    let mut world = held_deassign().await;
    world.assign(1, world.bo()).await;
    world.drain("issue-sync").await;
    world.settle().await;
    assert_eq!(world.assignee().await, None);
    world.finish().await;
}

#[tokio::test]
async fn a_refused_assignment_moves_nothing() {
    let mut world = World::start().await;
    world.assign(5, "nobody@acme.example").await;
    world.settle().await;
    world.assign(4, world.ana()).await;
    world.settle().await;
    assert_eq!(world.assignee().await.as_deref(), Some("ana@acme.example"));
    world.finish().await;
}

/// The store, as a function of this world has it.
pub(crate) fn store_of(world: &World) -> store::Store {
    let variables = [
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "local".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
        (
            "AWS_ENDPOINT_URL_DYNAMODB",
            world.stack.dynamodb().endpoint(),
        ),
    ];
    let variables = variables
        .map(|(name, value)| (name.to_owned(), value))
        .into();
    let env = runtime::Env::new(variables, world.stack.clock().clone());
    store::Store::new(&env.reader().aws().service("DYNAMODB"), "picket")
}

#[tokio::test]
async fn an_older_revision_that_pauses_between_its_reading_and_its_writing_does_not_apply() {
    let mut world = World::start().await;
    world.assign(1, world.ana()).await;
    world.settle().await;
    let store = store_of(&world);
    let group = world.ready.group_id.clone().unwrap().parse().unwrap();
    let read_by_9 = store.group_state(group).await.unwrap();
    // Revision 10 claims its place; the version stays, so only the position can tell.
    world.unassign(10).await;
    world.drain("issue-sync").await;

    let now = world.stack.clock().now();
    let origin = domain::Origin::Tracker(domain::TrackerOrigin {
        provider: domain::Provider::Vsts,
        integration: world.integration().parse().unwrap(),
        external_issue: "31".parse().unwrap(),
        revision: Some(9),
        delivery: domain::MessageId::new(now, 9),
        author: None,
    });
    let bo = domain::Assignment {
        actor: domain::Actor::User(world.ready.members[1].id.parse().unwrap()),
        email: world.bo().parse().ok(),
        acting_user: None,
        existing: domain::Existing::Replace,
        leaves: None,
    };
    let decide = |state: &domain::GroupState| domain::assign(state, &bo, &origin);
    let trace = domain::TraceId::new("paused");
    let cause = store::Cause {
        origin: &origin,
        facet: domain::Facet::Assignee,
        rule: None,
        handed_over: false,
        trace: &trace,
        now,
    };
    let decision = store
        .change_group(read_by_9, decide, &cause)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        decision.outcome,
        domain::Outcome::Superseded(domain::Reason::OlderRevision)
    );
    world.settle().await;
    assert_eq!(world.assignee().await, None);
    world.finish().await;
}
