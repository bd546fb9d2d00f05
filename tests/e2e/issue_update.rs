//! `PUT` of an issue: assignee, status and who hears of it.

use local::trackers::Provider;
use serde_json::{Value, json};
use tests::World;

use crate::api::token;

fn path(world: &World) -> String {
    let group = world.ready.group_id.as_deref().expect("a seeded issue");
    format!("/api/0/issues/{group}/")
}

/// Puts with the seeded token, which is the first member's, and expects it to be taken.
async fn put(world: &World, body: Value) -> Value {
    let answer = world.put(&path(world), body.to_string()).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    world.stack.dynamodb().catch_up();
    answer.json()
}

/// Puts what is to be refused, and gives the answer's body.
async fn refused(world: &World, body: impl Into<String>) -> Value {
    let before = world.items();
    let answer = world.put(&path(world), body.into()).await;
    assert_eq!(answer.status.as_u16(), 400, "{}", answer.text());
    assert_eq!(world.items(), before, "nothing of it is written");
    answer.json()
}

#[tokio::test]
async fn an_assignee_can_be_named_in_every_way_clients_do() {
    let world = World::start().await;
    let bo = &world.ready.members[1];
    let (id, email) = (bo.id.clone(), bo.email.clone());
    for name in [
        json!(format!("user:{id}")),
        json!(id),
        json!(id.parse::<u64>().expect("a number")),
        json!(email),
        json!(email.to_uppercase()),
    ] {
        let issue = put(&world, json!({ "assignedTo": name })).await;
        let expected = json!({ "type": "user", "id": id, "name": bo.name, "email": email });
        assert_eq!(issue["assignedTo"], expected, "{name}");
        let nobody = if name.is_number() {
            json!("")
        } else {
            Value::Null
        };
        let issue = put(&world, json!({ "assignedTo": nobody })).await;
        assert_eq!(issue["assignedTo"], Value::Null);
    }
    assert_eq!(world.activity().await.len(), 10);
    let group = world.ready.group_id.as_deref().expect("a group");
    let activities = world
        .get(&format!("/api/0/issues/{group}/activities/"))
        .await
        .json();
    let newest = &activities["activity"][1];
    assert_eq!(newest["user"]["email"], world.ana(), "whose token it was");
    assert_eq!(newest["data"]["assigneeEmail"], email);
    assert_eq!(
        newest["data"]["cause"]["request"].as_str().map(str::len),
        Some(26)
    );
    world.finish().await;
}

#[tokio::test]
async fn what_is_so_already_changes_nothing_more() {
    let world = World::start().await;
    let bo = world.bo().to_owned();
    for _ in 0..2 {
        put(&world, json!({ "assignedTo": bo, "status": "resolved" })).await;
    }
    assert_eq!(
        world.activity().await,
        ["set_resolved", "assigned bo@acme.example"]
    );
    for _ in 0..2 {
        put(
            &world,
            json!({ "assignedTo": null, "status": "unresolved" }),
        )
        .await;
    }
    assert_eq!(
        world.activity().await[2..],
        ["set_unresolved", "unassigned"]
    );
    put(&world, json!({ "unknown": 1 })).await;
    assert_eq!(world.activity().await.len(), 4);
    world.finish().await;
}

#[tokio::test]
async fn every_status_word_gives_its_status_and_substatus() {
    let world = World::start().await;
    for (body, status, substatus) in [
        (json!({ "status": "resolved" }), "resolved", Value::Null),
        (
            json!({ "status": "resolved", "statusDetails": {} }),
            "resolved",
            Value::Null,
        ),
        (
            json!({ "status": "unresolved" }),
            "unresolved",
            json!("ongoing"),
        ),
        (
            json!({ "status": "ignored" }),
            "ignored",
            json!("archived_until_escalating"),
        ),
        (
            json!({ "status": "muted" }),
            "ignored",
            json!("archived_until_escalating"),
        ),
        (
            json!({ "status": "ignored", "substatus": "archived_forever" }),
            "ignored",
            json!("archived_forever"),
        ),
        (
            json!({ "substatus": "escalating" }),
            "unresolved",
            json!("escalating"),
        ),
        (
            json!({ "status": null, "substatus": null }),
            "unresolved",
            json!("escalating"),
        ),
    ] {
        let issue = put(&world, body.clone()).await;
        assert_eq!(
            (issue["status"].as_str(), &issue["substatus"]),
            (Some(status), &substatus),
            "{body}"
        );
    }
    let activity = world.activity().await;
    let expected = [
        "set_resolved",
        "set_unresolved",
        "set_ignored",
        "set_ignored",
        "set_unresolved",
    ];
    assert_eq!(activity, expected);
    world.finish().await;
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_as_a_whole_and_names_the_field() {
    let world = World::start().await;
    let cy = world.cy().to_owned();
    for (body, field) in [
        (json!({ "assignedTo": "user:1" }), "assignedTo"),
        (json!({ "assignedTo": "nobody@acme.example" }), "assignedTo"),
        (
            json!({ "assignedTo": cy, "status": "resolved" }),
            "assignedTo",
        ),
        (json!({ "assignedTo": "team:1" }), "assignedTo"),
        (json!({ "assignedTo": ["a"] }), "assignedTo"),
        (json!({ "assignedTo": true }), "assignedTo"),
        (json!({ "assignedTo": "no such thing" }), "assignedTo"),
        (json!({ "status": "done" }), "status"),
        (json!({ "status": 1 }), "status"),
        (json!({ "substatus": "asleep" }), "substatus"),
        (
            json!({ "status": "resolved", "substatus": "ongoing" }),
            "substatus",
        ),
        (
            json!({ "status": "resolvedInNextRelease" }),
            "statusDetails",
        ),
        (
            json!({ "status": "resolved", "statusDetails": { "inRelease": "1.0" } }),
            "statusDetails",
        ),
        (json!({ "isSubscribed": "yes" }), "isSubscribed"),
    ] {
        let answer = refused(&world, body.to_string()).await;
        let messages = answer[field].as_array().map(Vec::len);
        assert_eq!(messages, Some(1), "{body}: {answer}");
    }
    for (body, part) in [("", "JSON parse error"), ("[]", "dictionary")] {
        let answer = refused(&world, body).await;
        let detail = answer["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(part), "{body}: {answer}");
    }
    let long = json!({ "status": "x".repeat(70_000) }).to_string();
    assert_eq!(
        refused(&world, long).await["detail"],
        "The request is too large."
    );
    world.finish().await;
}

#[tokio::test]
async fn only_those_who_may_write_issues_and_see_this_one_may_change_it() {
    let world = World::start().await;
    let url = path(&world);
    let body = json!({ "status": "resolved" }).to_string();
    let reader = token(
        &world,
        "reader",
        ("email", world.ana()),
        json!(["event:read"]),
    )
    .await;
    let answer = world.put_as(&reader, &url, body.clone()).await;
    assert_eq!(answer.status.as_u16(), 403);
    assert!(answer.text().contains("event:write"), "{}", answer.text());
    world
        .operator(json!({ "command": "create-organization", "slug": "beta", "name": "Beta" }))
        .await;
    let stranger = token(
        &world,
        "stranger",
        ("organization", "beta"),
        json!(["event:write"]),
    )
    .await;
    assert_eq!(
        world
            .put_as(&stranger, &url, body.clone())
            .await
            .status
            .as_u16(),
        404
    );

    let robot = token(
        &world,
        "robot",
        ("organization", "acme"),
        json!(["event:write"]),
    )
    .await;
    let short = "/api/0/organizations/acme/issues/WEB-1/";
    let answer = world.put_as(&robot, short, body).await;
    assert_eq!(answer.json()["status"], "resolved", "{}", answer.text());
    let group = world.ready.group_id.as_deref().expect("a group");
    let activities = world
        .get(&format!("/api/0/issues/{group}/activities/"))
        .await
        .json();
    assert_eq!(
        activities["activity"][0]["user"],
        Value::Null,
        "an organization is nobody"
    );
    world.finish().await;
}

#[tokio::test]
async fn a_removal_on_its_way_does_not_undo_what_a_person_decided_since() {
    let mut world = World::start().await;
    let ana = world.ana().to_owned();
    crate::outbound::at_azure(&mut world, Some(&ana)).await;
    let trackers = world.stack.trackers().clone();
    trackers.change_as_user(Provider::Vsts, "31", None);
    trackers.deliver_hooks().await;
    world.drain("issue-sync").await;
    put(&world, json!({ "assignedTo": ana })).await;
    world.settle().await;
    assert_eq!(
        world.assignee().await,
        Some(ana.clone()),
        "the same person, decided anew"
    );
    // Azure, where she was taken off, is told that she is on it.
    let item = world.stack.trackers().work_item(31).assignee;
    assert_eq!(item, Some(ana));
    world.finish().await;
}

/// Whether the owner of the token hears of the issue, and why.
async fn hears(world: &World, token: &str) -> Option<String> {
    let issue = world.get_as(token, &path(world)).await.json();
    let reason = issue["subscriptionDetails"]["reason"]
        .as_str()
        .map(str::to_owned);
    assert_eq!(issue["isSubscribed"], reason.is_some(), "{issue}");
    reason
}

#[tokio::test]
async fn whoever_is_assigned_hears_of_the_issue_for_as_long_as_they_are() {
    let mut world = World::start().await;
    let all = json!(["event:read", "event:write"]);
    let ana = token(&world, "ana", ("email", world.ana()), all.clone()).await;
    let bo = token(&world, "bo", ("email", world.bo()), all).await;
    let heard = async |world: &World| (hears(world, &ana).await, hears(world, &bo).await);
    let assigned = || Some("assigned".to_owned());
    assert_eq!(heard(&world).await, (None, None));
    world.assign(1, world.ana()).await;
    world.settle().await;
    assert_eq!(heard(&world).await, (assigned(), None));
    world.assign(2, world.bo()).await;
    world.settle().await;
    assert_eq!(heard(&world).await, (None, assigned()));
    world.unassign(3).await;
    world.settle().await;
    assert_eq!(heard(&world).await, (None, None));

    // Who resolves it hears as well, and goes on hearing when the assignment ends.
    put(
        &world,
        json!({ "status": "resolved", "assignedTo": world.ana() }),
    )
    .await;
    put(&world, json!({ "assignedTo": "" })).await;
    assert_eq!(heard(&world).await, (Some("status_change".into()), None));
    world.finish().await;
}

#[tokio::test]
async fn what_somebody_chose_holds_whatever_happens_to_the_issue() {
    let mut world = World::start().await;
    let token = world.ready.auth_token.clone().expect("ana's token");
    let issue = put(&world, json!({ "isSubscribed": false })).await;
    assert_eq!(issue["isSubscribed"], false);
    world.assign(1, world.ana()).await;
    world.settle().await;
    assert_eq!(
        hears(&world, &token).await,
        None,
        "assigned, and still does not want to hear"
    );
    put(&world, json!({ "isSubscribed": true })).await;
    world.unassign(2).await;
    world.settle().await;
    assert_eq!(hears(&world, &token).await.as_deref(), Some("unknown"));
    world.finish().await;
}

#[tokio::test]
async fn a_team_hears_as_one_and_its_members_keep_what_they_have() {
    let world = World::start().await;
    let all = json!(["event:read", "event:write", "team:read"]);
    let bo = token(&world, "bo", ("email", world.bo()), all.clone()).await;
    let cy = token(&world, "cy", ("email", world.cy()), all).await;
    let team = world.items().iter().find_map(|item| {
        item["PK"]["S"]
            .as_str()?
            .strip_prefix("TEAM#")
            .map(str::to_owned)
    });
    let team = format!("team:{}", team.expect("the seeded team"));
    let assigned = Some("assigned".to_owned());

    put(&world, json!({ "assignedTo": world.bo() })).await;
    let issue = put(&world, json!({ "assignedTo": team })).await;
    assert_eq!(issue["assignedTo"]["type"], "team");
    let activities = world.get(&format!("{}activities/", path(&world))).await;
    let data = activities.json()["activity"][0]["data"].take();
    let id = team.strip_prefix("team:").expect("a team");
    assert_eq!(
        [
            &data["assignee"],
            &data["assigneeType"],
            &data["assigneeEmail"]
        ],
        [&json!(id), &json!("team"), &Value::Null]
    );
    assert_eq!(hears(&world, &bo).await, assigned, "bo is in the team");
    assert_eq!(hears(&world, &cy).await, None);
    put(&world, json!({ "assignedTo": world.ana() })).await;
    // Bo went on hearing when the team took over, and does so after the team: until it was bo's own once more.
    assert_eq!(hears(&world, &bo).await, assigned);
    assert_eq!(
        hears(&world, world.ready.auth_token.as_deref().expect("a token")).await,
        assigned
    );
    let of_team = |item: &Value| {
        item["SK"]["S"]
            .as_str()
            .is_some_and(|sk| sk.starts_with("SUB#team"))
    };
    assert!(
        !world.items().iter().any(of_team),
        "the team has no item of its own"
    );
    for next in [world.bo(), world.ana()] {
        put(&world, json!({ "assignedTo": next })).await;
    }
    assert_eq!(hears(&world, &bo).await, None);
    world.finish().await;
}
