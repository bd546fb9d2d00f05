//! What requests about a project cost, as docs/table.md lists it: write units and requests to the table.

use hyper::Method;
use local::dynamodb::write_units;
use serde_json::{Value, json};
use tests::World;

const PAGE: &str = include_str!("../../docs/table.md");

/// Write units and requests, as the page says.
fn documented(change: &str) -> (f64, usize) {
    let line = PAGE
        .lines()
        .find(|line| line.starts_with(&format!("| {change} |")));
    let cells: Vec<_> = line
        .expect("a line for the change")
        .split('|')
        .map(str::trim)
        .collect();
    let number = "a number";
    (
        cells[2].parse().expect(number),
        cells[3].parse().expect(number),
    )
}

#[tokio::test]
async fn making_changing_and_deleting_a_project_costs_what_the_page_says() {
    let world = World::quiet().await;
    let path = "/api/0/projects/acme/shop/";
    let mut found = Vec::new();
    let mut expected = Vec::new();
    for (change, method, path, body) in [
        (
            "a new project",
            Method::POST,
            "/api/0/teams/acme/web-team/projects/",
            json!({ "name": "Shop", "slug": "shop" }),
        ),
        (
            "another name",
            Method::PUT,
            path,
            json!({ "name": "Store" }),
        ),
        ("nothing new", Method::PUT, path, json!({ "name": "Store" })),
        (
            "another slug",
            Method::PUT,
            path,
            json!({ "slug": "store" }),
        ),
        (
            "a deletion, as far as it is waited for",
            Method::DELETE,
            "/api/0/projects/acme/store/",
            Value::Null,
        ),
    ] {
        world.stack.dynamodb().measure();
        let body = Some(&body).filter(|body| !body.is_null());
        let answer = world.send(method, path, body).await;
        assert!(answer.status.is_success(), "{change}: {}", answer.text());
        let used = world.stack.dynamodb().measure();
        found.push((change, write_units(&used), used.len()));
        let (units, requests) = documented(change);
        expected.push((change, units, requests));
    }
    assert_eq!(found, expected);
    world.finish().await;
}
