//! The trail: every delivery ends in one outcome that somebody can read.

use serde_json::{Value, json};
use tests::{World, assigned_to};

async fn trail(world: &World) -> Vec<Value> {
    let group = world.ready.group_id.as_deref().expect("a seeded issue");
    let answer = world.get(&format!("/api/0/issues/{group}/sync/")).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    answer.json().as_array().expect("a list").clone()
}

/// How deliveries ended, oldest first, as `revision outcome reason`.
pub(crate) async fn ends(world: &World) -> Vec<String> {
    let word = |row: &Value, name: &str| row[name].as_str().unwrap_or("-").to_owned();
    let line = |row: &Value| {
        let revision = row["cause"]["revision"].as_str().unwrap_or("-");
        format!(
            "{revision} {} {}",
            word(row, "outcome"),
            word(row, "reason")
        )
    };
    let rows = trail(world).await;
    let inbound = rows.iter().filter(|row| row["direction"] == "inbound");
    inbound.rev().map(line).collect()
}

#[tokio::test]
async fn every_delivery_ends_once_however_often_it_comes() {
    let mut world = World::start().await;
    let outsider = world.cy().to_owned();
    for (revision, change) in [
        (2, assigned_to(world.ana())),
        (1, assigned_to(world.bo())),
        (3, assigned_to(world.ana())),
        (4, assigned_to("nobody@acme.example")),
        (5, assigned_to(&outsider)),
        (6, json!({ "oldValue": "Ana" })),
        (7, json!({ "oldValue": "Ana" })),
    ] {
        world.deliver(&world.work_item(revision, change)).await;
        world.settle().await;
    }
    let expected = [
        "2 applied -",
        "1 superseded older_revision",
        "3 suppressed already_so",
        "4 suppressed assignee_unknown",
        "5 suppressed assignee_without_access",
        "6 applied -",
        "7 suppressed already_so",
    ];
    assert_eq!(ends(&world).await, expected);

    let inbound = async || {
        let rows = trail(&world).await.into_iter();
        let rows = rows.filter(|row| row["direction"] == "inbound");
        rows.collect::<Vec<_>>()
    };
    let row = inbound().await.pop().expect("the first");
    let ana = format!("user:{}", world.ready.members[0].id);
    assert_eq!(row["direction"], "inbound");
    assert_eq!(
        (&row["provider"], &row["externalIssue"]),
        (&json!("vsts"), &json!("31"))
    );
    assert_eq!(
        (&row["facet"], &row["rule"]),
        (&json!("assignee"), &json!("verified-email"))
    );
    assert_eq!(row["integrationId"], world.integration());
    assert_eq!(row["change"], json!({ "from": null, "to": ana }));
    assert_eq!(row["id"], row["cause"]["delivery"]);
    let removal = &inbound().await[1];
    assert_eq!(removal["change"], json!({ "from": ana, "to": null }));
    world.finish().await;
}

#[tokio::test]
async fn what_never_came_to_a_group_is_told_with_what_to_do_about_it() {
    let mut world = World::start().await;
    let integration = world.integration();
    let switch = |on: bool| {
        json!({ "command": "set-sync", "organization": "acme", "integration": integration,
            "switches": { "inbound_assignee": on } })
    };
    world.operator(switch(false)).await;
    world.assign(1, world.ana()).await;
    world.settle().await;
    assert_eq!(ends(&world).await, ["1 suppressed switch_off"]);
    let explanation = trail(&world).await[0]["explanation"]
        .as_str()
        .map(str::to_owned);
    assert!(explanation.is_some_and(|text| text.contains("set-sync")));

    world.operator(switch(true)).await;
    let mut other = world.work_item(1, assigned_to(world.ana()));
    other["resource"]["workItemId"] = 99.into();
    world.deliver(&other).await;
    world.settle().await;
    assert_eq!(ends(&world).await.len(), 1, "another work item's");
    let explained = world
        .operator(json!({ "command": "explain", "organization": "acme",
            "integration": integration, "key": "99" }))
        .await;
    let rows = explained["trail"].as_array().expect("a list");
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (&rows[0]["outcome"], &rows[0]["reason"]),
        (&json!("suppressed"), &json!("no_linked_group"))
    );
    // A delivery that comes again is decided by the switch as it is then.
    world.operator(switch(false)).await;
    world.finish().await;
}

#[tokio::test]
async fn the_operator_explains_an_issue_a_ticket_and_one_delivery_of_either() {
    let mut world = World::start().await;
    world.assign(1, world.ana()).await;
    world.settle().await;
    world.assign(2, world.bo()).await;
    world.settle().await;
    let by_issue = json!({ "command": "explain", "organization": "acme", "issue": "WEB-1" });
    let by_ticket = json!({ "command": "explain", "organization": "acme",
        "integration": world.integration(), "key": "31" });
    let trail = world.operator(by_issue.clone()).await["trail"].take();
    let rows = |trail: &Value| {
        let rows = trail.as_array().cloned().unwrap_or_default().into_iter();
        let rows: std::collections::BTreeSet<_> = rows.map(|row| row.to_string()).collect();
        rows
    };
    assert_eq!(
        rows(&trail),
        rows(&world.operator(by_ticket.clone()).await["trail"])
    );
    assert_eq!(
        rows(&trail).len(),
        6,
        "two deliveries, Jira told of both, and Azure, where they come from, of none"
    );
    let delivery = trail[0]["origin"]["tracker"]["delivery"].clone();
    let by_delivery = json!({ "command": "explain", "organization": "acme" });
    for mut command in [by_issue, by_ticket, by_delivery] {
        command["delivery"] = delivery.clone();
        let chain = world.operator(command).await["trail"].take();
        let way = |row: &Value| (row["direction"].clone(), row["outcome"].clone());
        let ways: Vec<_> = chain.as_array().into_iter().flatten().map(way).collect();
        assert_eq!(ways.len(), 3, "{chain}");
        assert_eq!(ways[0], (json!("inbound"), json!("applied")));
        assert_eq!(ways[1], (json!("outbound"), json!("suppressed")));
        assert_eq!(ways[2].0, "outbound");
        let reasons = chain.as_array().into_iter().flatten();
        let reasons: Vec<_> = reasons.map(|row| row["reason"].clone()).collect();
        assert_eq!(reasons[..2], [Value::Null, json!("origin")]);
    }
    let error = world
        .operator_raw(json!({ "command": "explain", "organization": "acme" }))
        .await;
    assert!(
        error["error"]["detail"]
            .as_str()
            .is_some_and(|text| text.contains("integration"))
    );
    world.finish().await;
}

#[tokio::test]
async fn a_delivery_is_explained_however_much_came_after_it() {
    let mut world = World::quiet().await;
    world.assign(1, world.ana()).await;
    world.settle().await;
    let first = trail(&world).await.pop().expect("a row");
    let delivery = first["cause"]["delivery"]
        .as_str()
        .expect("an id")
        .to_owned();
    // As many others as a busy issue sees.
    let items = world.items();
    let row = items.iter().find(|item| {
        let key = item["SK"]["S"].as_str().unwrap_or_default();
        key.starts_with("SYNC#") && key.ends_with("#in")
    });
    let row = row.expect("a row").to_string();
    let later = |n| domain::MessageId::new(world.stack.clock().now().plus(n), 0).to_string();
    let rows = (0..120).map(|n| row.replace(&delivery, &later(n)));
    let rows = rows.map(|row| serde_json::from_str(&row).expect("JSON"));
    world.put_items(rows.collect()).await;
    let by_issue = json!({ "command": "explain", "organization": "acme", "issue": "WEB-1" });
    let by_ticket = json!({ "command": "explain", "organization": "acme",
        "integration": world.integration(), "key": "31" });
    let by_delivery = json!({ "command": "explain", "organization": "acme" });
    for mut command in [by_issue, by_ticket, by_delivery] {
        command["delivery"] = delivery.clone().into();
        let chain = world.operator(command).await["trail"].take();
        let ways = chain.as_array().into_iter().flatten();
        let ways: Vec<_> = ways.map(|row| row["direction"].clone()).collect();
        assert_eq!(ways, ["inbound", "outbound", "outbound"]);
    }
    world.finish().await;
}

#[tokio::test]
async fn the_trail_is_paged_newest_first_and_seen_by_those_who_see_the_issue() {
    let mut world = World::start().await;
    for revision in 1..=5 {
        let email = if revision % 2 == 0 {
            world.ana()
        } else {
            world.bo()
        };
        world.assign(revision, email).await;
        world.settle().await;
    }
    let group = world.ready.group_id.clone().expect("a seeded issue");
    let (mut path, mut revisions) = (
        format!("/api/0/issues/{group}/sync/?per_page=2"),
        Vec::new(),
    );
    loop {
        let answer = world.get(&path).await;
        for row in answer.json().as_array().expect("a list") {
            revisions.push(
                row["cause"]["revision"]
                    .as_str()
                    .expect("a revision")
                    .to_owned(),
            );
        }
        let link = answer.headers["link"].to_str().expect("text").to_owned();
        let next = link
            .split(", ")
            .find(|part| part.contains("rel=\"next\""))
            .expect("a next page");
        if !next.contains("results=\"true\"") {
            break;
        }
        let url = next.split(['<', '>']).nth(1).expect("a URL");
        path = url
            .strip_prefix(world.ready.base_url.as_str())
            .expect("our own")
            .to_owned();
    }
    // Each change came from one tracker and went to the other one.
    assert_eq!(
        revisions,
        [
            "5", "5", "5", "4", "4", "4", "3", "3", "3", "2", "2", "2", "1", "1", "1"
        ]
    );
    let answer = world
        .get("/api/0/organizations/acme/issues/WEB-1/sync/")
        .await;
    let rows = answer.json();
    let rows = rows.as_array().expect("a list");
    let ids: std::collections::BTreeSet<_> = rows.iter().map(|row| row["id"].to_string()).collect();
    assert_eq!(
        (rows.len(), ids.len()),
        (15, 15),
        "each has a name of its own"
    );
    let answer = world
        .get_as("sntryu_wrong", &format!("/api/0/issues/{group}/sync/"))
        .await;
    assert_eq!(answer.status.as_u16(), 401);
    world.finish().await;
}
