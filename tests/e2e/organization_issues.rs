//! Who asks, and the issues of an organization, as the client for Node.js looks for them.

use serde_json::{Value, json};
use tests::World;

use crate::api::token;

const ACME: &str = "/api/0/organizations/acme/";

async fn get(world: &World, path: &str) -> (u16, Value) {
    world.stack.dynamodb().catch_up();
    let answer = world.get(path).await;
    (answer.status.as_u16(), answer.json())
}

/// Titles, in the order of the list.
async fn titles(world: &World, query: &str) -> Vec<String> {
    let (status, rows) = get(world, &format!("{ACME}issues/{query}")).await;
    assert_eq!(status, 200, "{rows}");
    let rows = rows.as_array().expect("rows").iter();
    rows.map(|row| row["title"].as_str().expect("a title").to_owned())
        .collect()
}

#[tokio::test]
async fn issues_of_all_projects_are_listed_by_when_they_were_seen() {
    let world = World::start().await;
    let shop = json!({ "command": "create-project", "organization": "acme", "team": "web-team",
        "slug": "shop", "name": "Shop" });
    let shop = world.operator(shop).await["project"]["id"].take();
    let shop = shop.as_str().expect("an id");
    for (project, title) in [
        ("shop", "Alpha breaks"),
        ("web", "Beta breaks"),
        ("shop", "Gamma stops"),
    ] {
        world.stack.clock().advance(1_000);
        let new = json!({ "command": "create-issue", "organization": "acme", "project": project,
            "title": title });
        world.operator(new).await;
    }
    let all = titles(&world, "").await;
    let expected = [
        "Gamma stops",
        "Beta breaks",
        "Alpha breaks",
        "KeyError: 'user'",
    ];
    assert_eq!(all, expected);
    let web = world.ready.project_id.clone().expect("a project");
    for (query, found) in [
        (format!("?project={shop}"), vec![&all[0], &all[2]]),
        (
            format!("?project={web}&project={shop}"),
            all.iter().collect(),
        ),
        ("?project=-1&sort=date".to_owned(), all.iter().collect()),
        ("?query=BREAKS".to_owned(), vec![&all[1], &all[2]]),
        ("?limit=1&cursor=1:2:0".to_owned(), vec![&all[2]]),
        ("?query=is:resolved".to_owned(), vec![]),
    ] {
        let titles = titles(&world, &query).await;
        assert_eq!(titles.iter().collect::<Vec<_>>(), found, "{query}");
    }
    let answer = world.get(&format!("{ACME}issues/?limit=3")).await;
    let link = answer.headers["link"].to_str().expect("a text").to_owned();
    let next = "rel=\"next\"; results=\"true\"; cursor=\"3:1:0\"";
    assert!(link.contains(next) && link.contains("limit=3"), "{link}");
    // A day later one more is seen.
    let seen = world.stack.clock().now();
    world.stack.clock().advance(86_400_000);
    let new = json!({ "command": "create-issue", "organization": "acme", "project": "web",
        "title": "Delta" });
    world.operator(new).await;
    assert_eq!(titles(&world, "?statsPeriod=1h").await, ["Delta"]);
    assert_eq!(titles(&world, "?statsPeriod=90d").await.len(), 5);
    assert_eq!(titles(&world, &format!("?end={seen}")).await, all);
    for (query, status) in [
        ("?project=web", 400),
        ("?project=1", 403),
        ("?sort=freq", 400),
        ("?environment=production", 400),
        ("?query=level:error", 400),
        ("?limit=101", 400),
        ("?statsPeriod=soon", 400),
    ] {
        let answer = get(&world, &format!("{ACME}issues/{query}")).await;
        assert_eq!(answer.0, status, "{query}: {}", answer.1);
    }

    let id = world.ready.group_id.clone().expect("an issue");
    for name in ["WEB-1", "web-1"] {
        let (status, found) = get(&world, &format!("{ACME}shortids/{name}/")).await;
        assert_eq!(status, 200, "{found}");
        let whole = get(&world, &format!("/api/0/issues/{id}/")).await.1;
        let expected = json!({
            "organizationSlug": "acme", "projectSlug": "web", "groupId": id, "shortId": "WEB-1",
            "group": whole,
        });
        assert_eq!(found, expected);
    }
    for name in ["WEB-99", "NO-1", "odd", &id] {
        let path = format!("{ACME}shortids/{name}/");
        assert_eq!(get(&world, &path).await.0, 404, "{name}");
    }
    let owner = ("organization", "acme");
    let ci = token(&world, "ci", owner, json!(["org:ci"])).await;
    for path in ["issues/", "shortids/WEB-1/"] {
        let refused = world.get_as(&ci, &format!("{ACME}{path}")).await;
        assert_eq!(refused.status.as_u16(), 403, "{path}");
    }
    world.finish().await;
}

#[tokio::test]
async fn whoever_asks_is_told_who_they_are() {
    let world = World::start().await;
    let (status, found) = get(&world, "/api/0/auth/").await;
    assert_eq!(status, 200, "{found}");
    let expected = json!({
        "id": world.ready.members[0].id, "name": "Ana Ruiz", "username": "ana",
        "email": "ana@acme.example", "isActive": true,
        "emails": [{ "email": "ana@acme.example", "is_verified": true }],
    });
    assert_eq!(found, expected);
    let owner = ("organization", "acme");
    let nobody = token(&world, "ci", owner, json!(["org:ci"])).await;
    for (token, status) in [(nobody.as_str(), 400), ("unknown", 401)] {
        let refused = world.get_as(token, "/api/0/auth/").await;
        assert_eq!(refused.status.as_u16(), status);
        assert!(refused.json()["detail"].is_string());
    }
    world.finish().await;
}
