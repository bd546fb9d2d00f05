//! The issues of a project, as sentry-cli lists and changes them.

use hyper::Method;
use serde_json::{Value, json};
use tests::World;

use crate::api::token;

const ISSUES: &str = "/api/0/projects/acme/web/issues/";

async fn list(world: &World, query: &str) -> (u16, Value) {
    world.stack.dynamodb().catch_up();
    let answer = world.get(&format!("{ISSUES}{query}")).await;
    (answer.status.as_u16(), answer.json())
}

/// Titles, in the order of the list.
async fn titles(world: &World, query: &str) -> Vec<String> {
    let (status, rows) = list(world, query).await;
    assert_eq!(status, 200, "{rows}");
    let rows = rows.as_array().expect("rows").iter();
    rows.map(|row| row["title"].as_str().expect("a title").to_owned())
        .collect()
}

async fn put(world: &World, query: &str, status: &str) -> u16 {
    world.stack.dynamodb().catch_up();
    let body = json!({ "status": status, "snoozeDuration": null });
    let answer = world
        .send(Method::PUT, &format!("{ISSUES}{query}"), Some(&body))
        .await;
    answer.status.as_u16()
}

#[tokio::test]
async fn issues_are_found_by_state_and_words_and_changed_together() {
    let world = World::start().await;
    let mut ids = Vec::new();
    for title in ["Alpha breaks", "Beta breaks", "Gamma stops"] {
        world.stack.clock().advance(1_000);
        let issue = world
            .operator(
                json!({ "command": "create-issue", "organization": "acme", "project": "web",
                "title": title }),
            )
            .await;
        ids.push(issue["issue"]["id"].as_str().expect("an id").to_owned());
    }
    let all = titles(&world, "?query=").await;
    assert_eq!(all[..3], ["Gamma stops", "Beta breaks", "Alpha breaks"]);
    assert_eq!(all.len(), 4);
    assert_eq!(
        titles(&world, "?query=BREAKS%20is:unresolved").await,
        all[1..3]
    );
    assert_eq!(
        titles(&world, "?query=&per_page=1&cursor=1:1:0").await,
        ["Beta breaks"]
    );
    let (_, rows) = list(&world, "").await;
    for field in ["id", "shortId", "title", "lastSeen", "status", "level"] {
        assert!(rows[0][field].is_string(), "{field}");
    }
    // By id, and nothing of another project.
    assert_eq!(
        put(
            &world,
            &format!("?id={}&id={}&id=1", ids[0], ids[1]),
            "resolved"
        )
        .await,
        200
    );
    assert_eq!(
        titles(&world, "?query=is:resolved").await,
        ["Beta breaks", "Alpha breaks"]
    );
    assert_eq!(put(&world, "?id=1", "resolved").await, 204);
    // By status, and then all of them.
    assert_eq!(put(&world, "?status=resolved", "muted").await, 200);
    assert_eq!(titles(&world, "?query=is:ignored").await.len(), 2);
    assert_eq!(put(&world, "", "unresolved").await, 200);
    assert_eq!(titles(&world, "").await, all);
    for (query, status) in [("?query=level:error", 400), ("?query=is:odd", 400)] {
        assert_eq!(list(&world, query).await.0, status, "{query}");
    }
    assert_eq!(put(&world, "?status=odd", "resolved").await, 400);
    assert_eq!(put(&world, "", "odd").await, 400);
    // To read is not to write.
    let reads = token(
        &world,
        "reads",
        ("organization", "acme"),
        json!(["event:read"]),
    )
    .await;
    assert_eq!(world.get_as(&reads, ISSUES).await.status.as_u16(), 200);
    let body = json!({ "status": "resolved" });
    let refused = world
        .request_as(&reads, Method::PUT, ISSUES, Some(&body))
        .await;
    assert_eq!(refused.status.as_u16(), 403);
    world.finish().await;
}
