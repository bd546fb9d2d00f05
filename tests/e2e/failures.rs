//! What happens to messages that fail.

use serde_json::{Value, json};
use tests::World;

/// Puts a text on a queue the way a producer would, past the front door.
pub(crate) async fn send(world: &World, queue: &str, body: &str) {
    let url = world.stack.sqs().endpoint();
    let request = json!({ "QueueUrl": world.stack.sqs().queue_url(queue), "MessageBody": body });
    let headers = [
        ("x-amz-target", "AmazonSQS.SendMessage"),
        ("content-type", "application/x-amz-json-1.0"),
    ];
    let answer = local::client::request(hyper::Method::POST, &url, &headers, request.to_string());
    assert_eq!(answer.await.unwrap().status.as_u16(), 200);
}

#[tokio::test]
async fn a_message_that_can_never_work_is_dead_after_five_receives_byte_for_byte() {
    for queue in ["issue-sync", "deassign"] {
        let mut world = World::quiet().await;
        let poison = " {\"not\": \"ours\", \u{fc}} \n";
        send(&world, queue, poison).await;
        world.settle().await;
        let stats = &world.stack.sqs().stats()[queue];
        assert_eq!((stats.received, stats.failed, stats.dead), (5, 5, 1));
        assert_eq!(
            world.stack.sqs().messages(&format!("{queue}-dlq")),
            [poison]
        );
        let poisoned = |line: &&Value| line["fault"] == "poison";
        let logs = world.logs();
        let reasons: Vec<_> = logs
            .iter()
            .filter(poisoned)
            .map(|line| &line["reason"])
            .collect();
        assert!(reasons.len() >= 5, "each receive says why");
        assert!(
            reasons[0]
                .as_str()
                .unwrap()
                .starts_with("not a message of ours"),
            "{reasons:?}"
        );
        world.expect_dead(queue, 1);
        world.finish().await;
    }
}

#[tokio::test]
async fn a_message_on_the_wrong_queue_and_one_of_an_unknown_type_are_poison() {
    let mut world = World::quiet().await;
    world.unassign(1).await;
    let misplaced = world.stack.sqs().messages("issue-sync").remove(0);
    send(&world, "deassign", &misplaced).await;
    let unknown = misplaced.replace("SyncIssue.v1", "SyncIssue.v9");
    send(&world, "issue-sync", &unknown).await;
    world.settle().await;
    assert_eq!(world.stack.sqs().messages("deassign-dlq"), [misplaced]);
    assert_eq!(world.stack.sqs().messages("issue-sync-dlq"), [unknown]);
    world.expect_dead("issue-sync", 1);
    world.expect_dead("deassign", 1);
    world.finish().await;
}

#[tokio::test]
async fn a_poisoned_message_does_not_hold_up_the_others_of_its_batch() {
    let mut world = World::quiet().await;
    send(&world, "issue-sync", "poison").await;
    world.assign(1, world.ana()).await;
    world.step("issue-sync").await;
    assert_eq!(world.assignee().await.as_deref(), Some("ana@acme.example"));
    assert_eq!(
        world.stack.sqs().stats()["issue-sync"].in_flight,
        1,
        "only the poison is left"
    );
    world.expect_dead("issue-sync", 1);
    world.finish().await;
}

#[tokio::test]
async fn a_deassign_for_a_group_that_is_gone_is_done() {
    let mut world = World::start().await;
    let organization = world.get("/api/0/organizations/acme/").await.json()["id"].take();
    world.unassign(1).await;
    let queued: Value = serde_json::from_str(&world.stack.sqs().messages("issue-sync")[0]).unwrap();
    let message = json!({
        "id": queued["id"], "trace": "t",
        "message": {
            "type": "Deassign.v1", "organization": organization, "group": "2", "seen_version": 1,
            "acting_user": null, "origin": { "tracker": queued["message"]["origin"] },
        },
    });
    send(&world, "deassign", &message.to_string()).await;
    world.settle().await;
    assert!(
        world
            .outcomes()
            .contains(&"suppressed: no_group".to_owned())
    );
    let delivery = &queued["message"]["origin"]["delivery"];
    let explained = world
        .operator(json!({ "command": "explain", "organization": "acme", "delivery": delivery }))
        .await;
    let reasons = explained["trail"].as_array().into_iter().flatten();
    let mut reasons: Vec<_> = reasons.filter_map(|row| row["reason"].as_str()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["already_so", "no_group"], "{explained}");
    world.finish().await;
}

#[tokio::test]
async fn the_sweep_sends_what_the_stream_never_announced() {
    let mut world = World::start().await;
    world.assign(1, world.ana()).await;
    world.settle().await;
    world.unassign(2).await;
    world.drain("issue-sync").await;
    // SQS is down while the stream announces the message, until the stream gives up.
    world.stack.sqs().set_failure_rate(1.0, 1);
    world.relay().await;
    assert_eq!(world.stack.sqs().sent_count("deassign"), 0);
    assert_eq!(world.assignee().await.as_deref(), Some("ana@acme.example"));
    world.stack.sqs().set_failure_rate(0.0, 1);
    world.settle().await;
    assert_eq!(world.assignee().await, None);
    world.finish().await;
}

#[tokio::test]
async fn a_relay_that_dies_between_sending_and_deleting_sends_twice_and_changes_once() {
    let mut world = World::start().await;
    world.assign(1, world.ana()).await;
    world.settle().await;
    world.unassign(2).await;
    world.drain("issue-sync").await;
    let outbox = |world: &World| {
        let items = world.items().into_iter();
        items
            .filter(|item| item["PK"]["S"].as_str().unwrap().starts_with("OUT#"))
            .collect::<Vec<_>>()
    };
    let waiting = outbox(&world);
    assert_eq!(waiting.len(), 1);
    // The message as the relay would have sent it before it died; the item is still there.
    send(
        &world,
        "deassign",
        waiting[0]["body"]["S"].as_str().unwrap(),
    )
    .await;
    world.settle().await;
    assert_eq!(world.assignee().await, None);
    assert_eq!(
        world.activity().await,
        ["assigned ana@acme.example", "unassigned"]
    );
    world.finish().await;
}
