//! What a million deliveries cost at list price, from what one uses.

use local::dynamodb::Used;
use serde_json::json;
use tests::assigned_to;

use crate::costs::{deliver, world};

const PAGE: &str = include_str!("../../docs/table.md");

/// List prices of us-east-1 in dollars, for a million of each; of logs, for a byte a million times.
const FRONT: f64 = 1.00;
const QUEUE_CALL: f64 = 0.40;
const INVOCATION: f64 = 0.20;
const GB_SECOND: f64 = 13.3334;
const WRITE_UNIT: f64 = 0.625;
const READ_UNIT: f64 = 0.125;
const LOGGED: f64 = 0.0005;

/// What an invocation is taken to last, in GB-seconds: 50 ms with 256 MB.
const LASTS: f64 = 0.05 * 0.25;
/// What Lambda itself logs about an invocation, in bytes: where it starts, ends, and what it used.
const PLATFORM_LINES: usize = 320;
/// Sent, received, deleted.
const CALLS: usize = 3;

/// What the page says, in dollars: the price, and the most that it may be.
fn documented(change: &str) -> [f64; 2] {
    let line = PAGE
        .lines()
        .find(|line| line.starts_with(&format!("| a million times {change} |")));
    let line = line.unwrap_or_else(|| panic!("no line for {change}"));
    let mut cells = line.split('|').skip(2).map(str::trim);
    std::array::from_fn(|_| {
        cells
            .next()
            .and_then(|cell| cell.parse().ok())
            .expect("a number")
    })
}

fn dollars(messages: usize, relayed: usize, used: &[Used], logged: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "they are few")]
    let count = |number: usize| number as f64;
    let units = |writes: bool| {
        let used = used.iter().filter(|used| used.writes == writes);
        used.map(|used| used.units).sum::<f64>()
    };
    let invocations = 1 + messages + relayed;
    let logged = logged + invocations * PLATFORM_LINES;
    FRONT
        + QUEUE_CALL * count(messages * CALLS)
        + (INVOCATION + GB_SECOND * LASTS) * count(invocations)
        + WRITE_UNIT * units(true)
        + READ_UNIT * units(false)
        + LOGGED * count(logged)
}

#[tokio::test]
async fn a_million_deliveries_cost_what_the_page_says() {
    let mut world = world().await;
    let ana = assigned_to(world.ana());
    let mut prices = Vec::new();
    for (revision, change, body) in [
        (1, "an assignment", ana),
        (2, "an unassignment", json!({ "oldValue": "Ana" })),
    ] {
        let before = world.log_text().len();
        world.stack.dynamodb().measure();
        deliver(&world, revision, body).await;
        let mut messages = world.step("issue-sync").await;
        let queued = world.stack.sqs().messages("deassign").len();
        world.relay().await;
        let relayed = world.stack.sqs().messages("deassign").len() - queued;
        messages += world.step("deassign").await;
        let used = world.stack.dynamodb().measure();
        let logged = world.log_text().len() - before;
        let price = dollars(messages, relayed, &used, logged);
        prices.push((change, messages, price));
    }
    for ((change, messages, price), expected) in prices.into_iter().zip([1, 2]) {
        let [said, most] = documented(change);
        assert_eq!(messages, expected, "{change}");
        assert!(
            (price - said).abs() <= 0.05,
            "{change}: {price:.2}, and the page says {said:.2}"
        );
        assert!(price <= most, "{change}: {price:.2} of {most:.2}");
    }
    world.settle().await;
    world.finish().await;
}
