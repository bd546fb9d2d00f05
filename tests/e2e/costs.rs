//! What a change costs: write units and round trips to the table, as docs/table.md lists them. One request
//! more is a failing test.

use local::dynamodb::{Used, round_trips, write_units};
use serde_json::{Value, json};
use tests::{World, assigned_to};

const PAGE: &str = include_str!("../../docs/table.md");
/// A work item that one issue is linked to, and nothing else.
const WORK_ITEM: &str = "77";

/// What the page says of a flow: its numbers in their order.
fn documented<const N: usize>(flow: &str) -> [String; N] {
    let line = PAGE
        .lines()
        .find(|line| line.starts_with(&format!("| {flow} |")));
    let line = line.unwrap_or_else(|| panic!("no line for {flow}"));
    let mut cells = line.split('|').skip(2).map(|cell| cell.trim().to_owned());
    std::array::from_fn(|_| cells.next().expect("a number"))
}

/// A world with an issue that is linked to one work item only.
pub(crate) async fn world() -> World {
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

pub(crate) async fn deliver(world: &World, revision: u64, change: Value) {
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

/// A flow with what it used, beside what the page says of it.
fn costs(flow: &str, used: &[Used]) -> (String, [String; 3], [String; 3]) {
    let found = [
        write_units(used).to_string(),
        used.len().to_string(),
        round_trips(used).to_string(),
    ];
    (flow.to_owned(), found, documented(flow))
}

fn assert_so<const N: usize>(costs: Vec<(String, [String; N], [String; N])>) {
    let (found, documented): (Vec<_>, Vec<_>) = costs
        .into_iter()
        .map(|(flow, found, documented)| ((flow.clone(), found), (flow, documented)))
        .unzip();
    assert_eq!(found, documented);
}

#[tokio::test]
async fn a_change_of_assignee_costs_what_the_page_says() {
    let mut world = world().await;
    let (ana, bo) = (assigned_to(world.ana()), assigned_to(world.bo()));
    let mut found = Vec::new();
    for (flow, revision, change) in [
        ("an assignment", 1, ana),
        ("an assignment to somebody else", 2, bo.clone()),
        ("the same delivery again", 2, bo),
        ("an unassignment", 3, json!({ "oldValue": "Bo" })),
        ("somebody unknown", 4, assigned_to("nobody@acme.example")),
    ] {
        deliver(&world, revision, change).await;
        found.push(costs(flow, &used(&mut world).await));
    }
    assert_so(found);
    world.finish().await;
}

#[tokio::test]
async fn telling_a_tracker_costs_what_the_page_says() {
    let mut world = World::quiet().await;
    world.assign(1, world.ana()).await;
    world.drain("issue-sync").await;
    world.relay().await;
    let whom = costs("telling one tracker", &used(&mut world).await);
    let issue = world.link_issues(1).await.remove(0);
    put(&world, &issue, json!({ "status": "resolved" })).await;
    world.relay().await;
    let mut used = used(&mut world).await;
    assert_eq!(world.stack.trackers().work_item(31).state, "Resolved");
    // What Azure tells of it in turn is a delivery of its own.
    used.retain(|used| used.caller != "issue-sync");
    let state = costs("telling one tracker the status", &used);
    assert_so(vec![whom, state]);
    world.finish().await;
}

async fn put(world: &World, issue: &str, body: Value) {
    let path = format!("/api/0/issues/{issue}/");
    let answer = world.put(&path, body.to_string()).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
}

#[tokio::test]
async fn a_change_through_the_api_costs_what_the_page_says() {
    let world = World::quiet().await;
    let issue = world.link_issues(1).await.remove(0);
    let mut costs = Vec::new();
    for (change, body) in [
        ("an assignee", json!({ "assignedTo": world.ana() })),
        ("another assignee", json!({ "assignedTo": world.bo() })),
        ("the assignee as it is", json!({ "assignedTo": world.bo() })),
        ("no assignee", json!({ "assignedTo": null })),
        ("another status", json!({ "status": "resolved" })),
    ] {
        world.stack.dynamodb().measure();
        put(&world, &issue, body).await;
        let used = world.stack.dynamodb().measure();
        let found = [write_units(&used).to_string(), used.len().to_string()];
        costs.push((change.to_owned(), found, documented(change)));
    }
    assert_so(costs);
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
