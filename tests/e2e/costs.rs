//! What a change costs: write units and round trips to the table, as docs/table.md lists them. One request
//! more is a failing test.

use local::dynamodb::{Used, round_trips, write_units};
use serde_json::{Value, json};
use tests::{World, assigned_to};

const PAGE: &str = include_str!("../../docs/table.md");
/// A work item that one issue is linked to, and nothing else.
const WORK_ITEM: &str = "77";

/// What the page says of a flow: write units and round trips.
fn documented(flow: &str) -> (f64, usize) {
    let line = PAGE
        .lines()
        .find(|line| line.starts_with(&format!("| {flow} |")));
    let cells: Vec<_> = line
        .expect("a line for the flow")
        .split('|')
        .map(str::trim)
        .collect();
    let number = |index: usize| cells[index].parse::<f64>().expect("a number");
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "small numbers"
    )]
    (number(2), number(3) as usize)
}

/// A world with an issue that is linked to one work item only.
async fn world() -> World {
    let world = World::quiet().await;
    let issue = json!({ "command": "create-issue", "organization": "acme", "project": "web", "title": "Other" });
    let issue = world.operator(issue).await["issue"].take();
    world
        .operator(json!({
            "command": "link-external-issue", "organization": "acme", "issue": issue["short_id"],
            "integration": world.integration(), "key": WORK_ITEM,
        }))
        .await;
    world
}

async fn deliver(world: &World, revision: u64, change: Value) {
    let mut body = world.work_item(revision, change);
    body["resource"]["workItemId"] = json!(WORK_ITEM);
    assert_eq!(world.deliver(&body).await.status.as_u16(), 200);
}

/// Lets everything happen that follows, and gives what it used of the table. What the relay deletes is not
/// a part of it.
async fn used(world: &mut World) -> Vec<Used> {
    world.stack.dynamodb().measure();
    world.settle().await;
    let used = world.stack.dynamodb().measure().into_iter();
    let used =
        used.filter(|used| !(used.caller == "outbox-relay" && used.operation == "DeleteItem"));
    used.collect()
}

fn assert_costs(flow: &str, used: &[Used]) {
    let calls: Vec<_> = used
        .iter()
        .map(|used| format!("{} {} {}", used.caller, used.operation, used.units))
        .collect();
    let found = (write_units(used), round_trips(used));
    assert_eq!(found, documented(flow), "{flow}: {calls:#?}");
}

#[tokio::test]
async fn a_change_of_assignee_costs_what_the_page_says() {
    let mut world = world().await;
    deliver(&world, 1, assigned_to(world.ana())).await;
    assert_costs("an assignment", &used(&mut world).await);
    deliver(&world, 2, assigned_to(world.bo())).await;
    assert_costs("an assignment to somebody else", &used(&mut world).await);
    deliver(&world, 2, assigned_to(world.bo())).await;
    assert_costs("the same delivery again", &used(&mut world).await);
    deliver(&world, 3, json!({ "oldValue": "Bo" })).await;
    assert_costs("an unassignment", &used(&mut world).await);
    deliver(&world, 4, assigned_to("nobody@acme.example")).await;
    assert_costs("somebody unknown", &used(&mut world).await);
    world.finish().await;
}

#[tokio::test]
async fn telling_a_tracker_costs_what_the_page_says() {
    let mut world = World::quiet().await;
    world.assign(1, world.ana()).await;
    world.drain("issue-sync").await;
    world.relay().await;
    assert_costs("telling one tracker", &used(&mut world).await);
    world.finish().await;
}

#[tokio::test]
async fn a_delivery_costs_one_message_and_reads_nothing_that_was_read_lately() {
    let world = World::quiet().await;
    world.stack.dynamodb().measure();
    world.assign(1, world.ana()).await;
    let first = world.stack.dynamodb().measure();
    world.assign(2, world.ana()).await;
    let second = world.stack.dynamodb().measure();
    assert_eq!((first.len(), second.len()), (1, 0));
    let sent = world.stack.sqs().messages("issue-sync").len();
    assert_eq!(sent, 2);
    let mut world = world;
    world.settle().await;
    world.finish().await;
}
