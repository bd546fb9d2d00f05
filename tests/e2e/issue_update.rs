//! `PUT` of an issue: assignee, status and who hears of it.

use local::trackers::Provider;
use serde_json::{Value, json};
use tests::World;

use crate::api::token;

pub(crate) fn path(world: &World) -> String {
    let group = world.ready.group_id.as_deref().expect("a seeded issue");
    format!("/api/0/issues/{group}/")
}

/// Puts with the seeded token, which is the first member's, and expects it to be taken.
pub(crate) async fn put(world: &World, body: Value) -> Value {
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
    let nobodies = [
        json!(null),
        json!(""),
        json!(false),
        json!(0),
        json!([]),
        json!({}),
        json!(" "),
    ];
    let mut nobodies = nobodies.into_iter();
    for name in [
        json!(format!("user:{id}")),
        json!(id),
        json!(id.parse::<u64>().expect("a number")),
        json!(email),
        json!(email.to_uppercase()),
        json!("bo"),
        json!("Bo"),
    ] {
        let issue = put(&world, json!({ "assignedTo": name })).await;
        let expected = json!({ "type": "user", "id": id, "name": bo.name, "email": email });
        assert_eq!(issue["assignedTo"], expected, "{name}");
        let nobody = nobodies.next().expect("a way to say nobody");
        let issue = put(&world, json!({ "assignedTo": nobody })).await;
        assert_eq!(issue["assignedTo"], Value::Null, "{nobody}");
    }
    assert_eq!((nobodies.next(), world.activity().await.len()), (None, 14));
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
    closed(&world, true).await;
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
        (json!({ "assignedTo": { "id": 1 } }), "assignedTo"),
        (json!({ "assignedTo": "x".repeat(2_000) }), "assignedTo"),
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
        (
            json!({ "status": "ignored", "statusDetails": { "ignoreDuration": 5 } }),
            "statusDetails",
        ),
        (
            json!({ "status": "resolved", "statusDetails": { "inNextRelease": false, "ignoreCount": 5 } }),
            "statusDetails",
        ),
        (
            json!({ "status": "ignored", "statusDetails": "soon" }),
            "statusDetails",
        ),
        (
            json!({ "assignedTo": null, "statusDetails": [] }),
            "statusDetails",
        ),
        (
            json!({ "status": "muted", "snoozeDuration": 30 }),
            "snoozeDuration",
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
    let answer = world.put(&path(&world), long).await;
    let large = json!({ "detail": "The request is too large." });
    assert_eq!((answer.status.as_u16(), answer.json()), (413, large));
    // What asks for nothing is no wish.
    let nothing = json!({ "ignoreDuration": null, "ignoreCount": 0 });
    let body = json!({ "status": "ignored", "snoozeDuration": null, "statusDetails": nothing });
    assert_eq!(put(&world, body).await["status"], "ignored");
    world.finish().await;
}

#[tokio::test]
async fn who_gets_what_they_resolve_takes_it_from_nobody() {
    let mut world = World::start().await;
    for (email, name) in [(world.ana(), "Ana Ruiz"), (world.cy(), "Cy Moss")] {
        world
            .operator(
                json!({ "command": "create-user", "email": email, "name": name,
                "self_assign_issue": true }),
            )
            .await;
    }
    put(&world, json!({ "assignedTo": world.bo() })).await;
    world.settle().await;
    let told = crate::outbound::told(&world).len();
    let issue = put(&world, json!({ "status": "resolved" })).await;
    assert_eq!(issue["assignedTo"]["email"], world.bo());
    let commit = json!([{ "id": "c1", "repository": "acme/web", "message": "Fixes WEB-1",
        "author_email": world.ana(), "author_name": "Ana", "timestamp": "2026-01-01T00:00:00Z" }]);
    let release = json!({ "version": "1", "projects": ["web"], "commits": commit });
    let (status, body) = crate::releases::post(&world, crate::releases::RELEASES, release).await;
    assert_eq!(status, 201, "{body}");
    world.settle().await;
    assert_eq!(world.assignee().await.as_deref(), Some(world.bo()));
    let mut lines = world.activity().await;
    lines.retain(|line| line.contains("assigned"));
    assert_eq!(lines, ["assigned bo@acme.example"]);
    let states = crate::outbound::told(&world).len() - told;
    assert_eq!(states, 2, "of the status alone");
    world.finish().await;
}

/// Whether members come into teams only through others.
pub(crate) async fn closed(world: &World, closed: bool) {
    let body = json!({ "openMembership": !closed }).to_string();
    let answer = world.put("/api/0/organizations/acme/", body).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
}

#[tokio::test]
async fn who_is_in_no_team_of_the_project_is_assigned_where_everybody_may_join_one() {
    let world = World::start().await;
    for command in [
        json!({ "command": "create-team", "organization": "acme", "slug": "ops", "name": "Ops" }),
        json!({ "command": "create-user", "email": "eve@other.example", "name": "Eve", "username": "eve" }),
        json!({ "command": "create-user", "email": "dan@acme.example", "name": "Dan", "active": false }),
        json!({ "command": "add-member", "organization": "acme", "email": "dan@acme.example", "teams": ["web-team"] }),
        json!({ "command": "create-user", "email": world.bo(), "name": "Bo Li", "username": "bobo" }),
    ] {
        world.operator(command).await;
    }
    let ops = world.get("/api/0/teams/acme/ops/").await.json()["id"].take();
    let ops = format!("team:{}", ops.as_str().expect("an id"));
    let why = async |who: &str| {
        let answer = refused(&world, json!({ "assignedTo": who }).to_string()).await;
        answer["assignedTo"][0]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    for open in [true, false] {
        closed(&world, !open).await;
        for (who, says, is) in [
            ("cy", "a user who is in no team of the project", "cy"),
            (world.cy(), "a user who is in no team of the project", "cy"),
            (&ops, "a team without access to the project", "ops"),
        ] {
            if open {
                let issue = put(&world, json!({ "assignedTo": who })).await;
                let name = issue["assignedTo"]["name"].as_str().unwrap_or_default();
                assert!(name.to_lowercase().starts_with(is), "{who}: {name}");
            } else {
                assert!(why(who).await.contains(says), "{who}");
            }
        }
        // Of the organization they have to be in any case, and to take part.
        for (who, says) in [
            ("eve", "no such member"),
            ("eve@other.example", "no such member"),
            ("bo", "no such member"),
            ("dan@acme.example", "deactivated"),
        ] {
            assert!(why(who).await.contains(says), "{who}");
        }
        put(&world, json!({ "assignedTo": "bobo" })).await;
        assert_eq!(world.assignee().await.as_deref(), Some(world.bo()));
    }
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
