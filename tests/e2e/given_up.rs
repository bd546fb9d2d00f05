//! What a message leaves behind that fails as often as it may, and what becomes of it when it is sent again.

use serde_json::{Value, json};
use tests::World;

use crate::failures::send;

/// An item that no function can read, until it is as it was.
struct Broken(Value);

impl Broken {
    async fn make(world: &World, partition: &str, sort: &str) -> Self {
        let named = |item: &Value| item["PK"]["S"] == partition && item["SK"]["S"] == sort;
        let item = world.items().into_iter().find(named);
        let item = item.unwrap_or_else(|| panic!("no {partition} {sort}"));
        let mut broken = item.clone();
        let attributes = broken.as_object_mut().expect("an item").iter_mut();
        for (_, value) in attributes.filter(|(name, _)| !["PK", "SK"].contains(&name.as_str())) {
            *value = json!({ "L": [{ "NULL": true }] });
        }
        world.put_items(vec![broken]).await;
        Self(item)
    }

    async fn mend(self, world: &World) {
        world.put_items(vec![self.0]).await;
    }
}

async fn trail(world: &World, group: &str) -> Vec<Value> {
    let answer = world.get(&format!("/api/0/issues/{group}/sync/")).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    answer.json().as_array().expect("a list").clone()
}

/// The ends of a group's trail, the newest first, as `direction outcome reason`, without those that follow from
/// where a change comes from.
async fn ends(world: &World, group: &str) -> Vec<String> {
    let word = |row: &Value, name: &str| row[name].as_str().unwrap_or("-").to_owned();
    let line = |row: &Value| ["direction", "outcome", "reason"].map(|name| word(row, name));
    let rows = trail(world, group).await;
    let kept = rows.iter().filter(|row| row["reason"] != "origin");
    kept.map(|row| line(row).join(" ")).collect()
}

/// Puts the one message of a dead-letter queue on its queue once more, as a redrive does.
async fn redrive(world: &mut World, queue: &str) {
    let dead = world.stack.sqs().messages(&format!("{queue}-dlq"));
    let [message] = dead.as_slice() else {
        panic!("{} messages", dead.len());
    };
    send(world, queue, message).await;
    world.settle().await;
    world.expect_dead(queue, 1);
}

#[tokio::test]
async fn a_group_that_fails_to_the_end_says_so_until_the_message_is_sent_again() {
    let mut world = World::start().await;
    let other = world.link_issues(1).await.remove(0);
    let group = world.ready.group_id.clone().expect("a seeded issue");
    let broken = Broken::make(&world, &format!("GROUP#{group}"), "STATE").await;
    world.assign(1, world.ana()).await;
    world.settle().await;
    broken.mend(&world).await;
    assert_eq!(
        ends(&world, &group).await,
        ["inbound dead handling_failed"],
        "and no tracker was told"
    );
    let row = &trail(&world, &group).await[0];
    assert_eq!(row["cause"]["revision"], "1");
    let explanation = row["explanation"].as_str().unwrap_or_default();
    assert!(explanation.contains("dead-letter queue"), "{explanation}");
    // Nobody else waited for it.
    let assignee = world.assignee_of(&other).await;
    assert_eq!(assignee.as_deref(), Some("ana@acme.example"));
    assert_eq!(ends(&world, &other).await, ["inbound applied -"]);
    let given_up = |line: &&Value| line["reason"] == "handling_failed";
    let copies = 2;
    assert_eq!(world.logs().iter().filter(given_up).count(), copies);

    redrive(&mut world, "issue-sync").await;
    assert_eq!(
        ends(&world, &group).await,
        ["outbound applied -", "inbound applied -"]
    );
    assert_eq!(ends(&world, &other).await, ["inbound applied -"]);
    world.finish().await;
}

#[tokio::test]
async fn a_removal_that_fails_to_the_end_says_so_until_it_is_sent_again() {
    let mut world = World::start().await;
    let group = world.ready.group_id.clone().expect("a seeded issue");
    world.assign(1, world.ana()).await;
    world.settle().await;
    world.unassign(2).await;
    world.drain("issue-sync").await;
    let broken = Broken::make(&world, &format!("GROUP#{group}"), "STATE").await;
    world.settle().await;
    broken.mend(&world).await;
    assert_eq!(
        ends(&world, &group).await[0],
        "inbound dead handling_failed"
    );
    redrive(&mut world, "deassign").await;
    assert_eq!(world.assignee().await, None);
    let ends = ends(&world, &group).await;
    assert!(!ends.iter().any(|end| end.contains("dead")), "{ends:?}");
    assert_eq!(ends.len(), 4, "assigned and unassigned, here and at Jira");
    world.finish().await;
}

#[tokio::test]
async fn a_push_that_fails_to_the_end_says_so_until_it_is_sent_again() {
    let mut world = World::start().await;
    let group = world.ready.group_id.clone().expect("a seeded issue");
    let jira = world.integration_of("jira_server");
    world.assign(1, world.ana()).await;
    world.drain("issue-sync").await;
    let broken = Broken::make(&world, &format!("INTEGRATION#{jira}"), "META").await;
    world.settle().await;
    broken.mend(&world).await;
    assert_eq!(
        ends(&world, &group).await,
        ["outbound dead handling_failed", "inbound applied -"]
    );
    redrive(&mut world, "outbound-sync").await;
    assert_eq!(
        ends(&world, &group).await,
        ["outbound applied -", "inbound applied -"]
    );
    world.finish().await;
}

/// How the messages of a delivery ended that came to no end, as `outcome reason facet`.
async fn given_up(world: &World, delivery: &Value) -> Vec<String> {
    let explain = json!({ "command": "explain", "organization": "acme", "delivery": delivery });
    let explained = world.operator(explain).await;
    let rows = explained["trail"].as_array().expect("a list");
    let failed = rows.iter().filter(|row| row["reason"] == "handling_failed");
    let word = |row: &Value, name: &str| row[name].as_str().unwrap_or("-").to_owned();
    let line = |row: &Value| {
        ["outcome", "reason", "facet"]
            .map(|name| word(row, name))
            .join(" ")
    };
    failed.map(line).collect()
}

/// The one message that waits, and whose delivery it is.
fn queued(world: &World) -> (String, Value) {
    let text = world.stack.sqs().messages("issue-sync").remove(0);
    let message: Value = serde_json::from_str(&text).expect("JSON");
    (text, message["message"]["origin"]["delivery"].clone())
}

fn organization(world: &World) -> String {
    let org = |item: &Value| {
        let key = item["PK"]["S"].as_str().unwrap_or_default().to_owned();
        (item["SK"]["S"] == "META" && item["slug"]["S"] == "acme").then_some(key)
    };
    let mut items = world.items().into_iter();
    items.find_map(|item| org(&item)).expect("an organization")
}

const NO_END: &str = "dead handling_failed assignee";

#[tokio::test]
async fn a_delivery_that_never_came_to_a_group_says_so_until_it_is_sent_again() {
    let mut world = World::start().await;
    let group = world.ready.group_id.clone().expect("a seeded issue");
    let organization = organization(&world);
    // What is read first of all, and what is read then.
    let integration = format!("INTEGRATION#{}", world.integration());
    for (revision, partition, sort) in [
        (1, integration, organization.clone()),
        (2, organization, "META".to_owned()),
    ] {
        let assignee = [world.bo(), world.ana()][revision % 2].to_owned();
        world.assign(revision as u64, &assignee).await;
        let (text, delivery) = queued(&world);
        let broken = Broken::make(&world, &partition, &sort).await;
        world.settle().await;
        broken.mend(&world).await;
        assert_eq!(given_up(&world, &delivery).await, [NO_END], "{sort}");
        send(&world, "issue-sync", &text).await;
        world.settle().await;
        assert_eq!(given_up(&world, &delivery).await, [""; 0], "{sort}");
        assert_eq!(world.assignee().await, Some(assignee));
    }
    world.expect_dead("issue-sync", 2);
    let ends = ends(&world, &group).await;
    assert!(
        ends.iter().all(|end| end.ends_with("applied -")),
        "{ends:?}"
    );
    world.finish().await;
}

#[tokio::test]
async fn each_message_of_a_delivery_to_many_groups_comes_to_an_end_of_its_own() {
    let mut world = World::start().await;
    let groups = world.link_issues(25).await;
    let organization = organization(&world);
    world.assign(1, world.ana()).await;
    let (first, delivery) = queued(&world);
    world.drain("issue-sync").await;
    world.relay().await;
    world.drain("outbound-sync").await;
    let broken = Broken::make(&world, &organization, "META").await;
    world.settle().await;
    broken.mend(&world).await;
    assert_eq!(given_up(&world, &delivery).await, [NO_END]);
    // That another message of it ends says nothing of this one.
    send(&world, "issue-sync", &first).await;
    world.settle().await;
    assert_eq!(given_up(&world, &delivery).await, [NO_END]);
    let rest = world.stack.sqs().messages("issue-sync-dlq").remove(0);
    send(&world, "issue-sync", &rest).await;
    world.settle().await;
    assert_eq!(given_up(&world, &delivery).await, [""; 0]);
    let dead = world.stack.sqs().messages("issue-sync-dlq").len();
    world.expect_dead("issue-sync", dead as u64);
    let last = groups.last().expect("a group");
    assert_eq!(world.assignee_of(last).await.as_deref(), Some(world.ana()));
    world.finish().await;
}
