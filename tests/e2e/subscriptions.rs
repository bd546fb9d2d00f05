//! Who hears of an issue, and why.

use serde_json::{Value, json};
use tests::World;

use crate::{
    api::token,
    issue_update::{path, put},
    releases::{RELEASES, post},
};

/// Whether the owner of the token hears of the issue, and why.
async fn hears(world: &World, token: &str) -> Option<String> {
    reason(&world.get_as(token, &path(world)).await.json())
}

fn reason(issue: &Value) -> Option<String> {
    let reason = issue["subscriptionDetails"]["reason"].as_str();
    assert_eq!(issue["isSubscribed"], reason.is_some(), "{issue}");
    reason.map(str::to_owned)
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

/// The seeded team, as an assignee.
pub(crate) fn team(world: &World) -> String {
    let items = world.items();
    let mut keys = items.iter().filter_map(|item| item["PK"]["S"].as_str());
    let id = keys.find_map(|key| key.strip_prefix("TEAM#"));
    format!("team:{}", id.expect("the seeded team"))
}

/// Tokens of Ana, Bo and Cy.
async fn tokens(world: &World) -> [String; 3] {
    let all = json!(["event:read", "event:write"]);
    let of = async |email: &str| token(world, "hears", ("email", email), all.clone()).await;
    [
        of(world.ana()).await,
        of(world.bo()).await,
        of(world.cy()).await,
    ]
}

/// All who hear of the issue, by their first names, and for what reason the owners of the tokens do.
async fn hearers(world: &World, tokens: &[String]) -> (String, String) {
    world.stack.dynamodb().catch_up();
    let (mut reasons, mut all) = (Vec::new(), Vec::new());
    for token in tokens {
        let issue = world.get_as(token, &path(world)).await.json();
        reasons.push(reason(&issue).unwrap_or("-".to_owned()));
        let people = issue["participants"].as_array().expect("a list").iter();
        let first = |it: &Value| {
            let name = it["name"].as_str().unwrap_or_default().to_lowercase();
            name.split(' ').next().map(str::to_owned)
        };
        all = people.filter_map(first).collect();
        all.sort();
    }
    (all.join(" "), reasons.join(" "))
}

/// Whether teams hear as one.
async fn as_one(world: &World, enabled: bool) {
    let feature = "team-workflow-notifications";
    world
        .operator(
            json!({ "command": "set-feature", "organization": "acme", "feature": feature,
            "enabled": enabled }),
        )
        .await;
    world.stack.dynamodb().catch_up();
    let organization = world.get("/api/0/organizations/acme/").await.json();
    let features = organization["features"].as_array().expect("a list");
    assert_eq!(features.contains(&json!(feature)), enabled);
}

#[tokio::test]
async fn a_team_hears_through_its_members_or_as_one_and_nobody_hears_who_made_room() {
    let world = World::quiet().await;
    let (team, tokens) = (team(&world), tokens(&world).await);
    let (ana, bo, cy) = ("assigned - -", "- assigned -", "- - assigned");
    let (both, nobody) = ("assigned assigned -", "- - -");
    for enabled in [false, true] {
        as_one(&world, enabled).await;
        // Bo is in the team, and Cy is not.
        for (assignee, through_members, alone) in [
            ("bo", ("bo", bo), ("bo", bo)),
            (&team, ("ana bo", both), ("bo web-team", bo)),
            ("bo", ("bo", bo), ("bo", bo)),
            ("ana", ("ana", ana), ("ana", ana)),
            ("cy", ("cy", cy), ("cy", cy)),
            (&team, ("ana bo", both), ("web-team", nobody)),
            ("ana", ("ana", ana), ("ana", ana)),
            ("bo", ("bo", bo), ("bo", bo)),
            (&team, ("ana bo", both), ("bo web-team", bo)),
            ("ana", ("ana", ana), ("ana bo", both)),
            ("", ("", nobody), ("bo", bo)),
        ] {
            let issue = put(&world, json!({ "assignedTo": assignee })).await;
            let (all, reasons) = if enabled { alone } else { through_members };
            let found = hearers(&world, &tokens).await;
            assert_eq!(
                (found.0.as_str(), found.1.as_str()),
                (all, reasons),
                "{assignee} {enabled}"
            );
            assert_eq!(issue["isSubscribed"], reasons.starts_with("assigned"));
        }
    }
    let of_team = |item: &Value| {
        let sk = item["SK"]["S"].as_str();
        sk.is_some_and(|sk| sk.starts_with("SUB#"))
    };
    assert!(!world.items().iter().any(of_team), "no item says any of it");
    world.finish().await;
}

#[tokio::test]
async fn who_comes_into_a_team_hears_of_what_it_works_on_and_who_leaves_it_does_not() {
    let world = World::start().await;
    let (team, tokens) = (team(&world), tokens(&world).await);
    put(&world, json!({ "assignedTo": team })).await;
    let activities = world.get(&format!("{}activities/", path(&world))).await;
    let data = activities.json()["activity"][0]["data"].take();
    let id = team.strip_prefix("team:").expect("a team");
    let expected = json!({ "assignee": id, "assigneeType": "team", "assigneeEmail": null });
    for (name, value) in expected.as_object().expect("fields") {
        assert_eq!(&data[name], value);
    }
    let teams = async |email: &str, teams: Value| {
        let member = json!({ "command": "add-member", "organization": "acme", "email": email, "teams": teams });
        world.operator(member).await;
    };
    let all = async || hearers(&world, &tokens).await.0;
    assert_eq!(all().await, "ana bo");
    teams(world.bo(), json!([])).await;
    teams(world.cy(), json!(["web-team"])).await;
    assert_eq!(all().await, "ana cy");
    // What somebody said counts, and those who take no part any more are not told.
    put(&world, json!({ "isSubscribed": false })).await;
    assert_eq!(all().await, "cy");
    let away = json!({ "command": "create-user", "email": world.cy(), "name": "Cy Moss", "active": false });
    world.operator(away).await;
    put(&world, json!({ "isSubscribed": true })).await;
    let issue = world.get(&path(&world)).await.json();
    let ana = &world.ready.members[0];
    let person = json!({ "type": "user", "id": ana.id, "name": ana.name, "email": ana.email });
    assert_eq!(issue["participants"], json!([person]));
    as_one(&world, true).await;
    let issue = world.get(&path(&world)).await.json();
    let team = json!({ "type": "team", "id": id, "name": "web-team" });
    assert_eq!(issue["participants"], json!([person, team]));
    world.finish().await;
}

#[tokio::test]
async fn the_reason_that_somebody_had_first_is_shown_and_none_is_lost_with_another() {
    let mut world = World::start().await;
    let all = json!(["event:read", "event:write"]);
    let ana = token(&world, "ana", ("email", world.ana()), all.clone()).await;
    let bo = token(&world, "bo", ("email", world.bo()), all).await;
    let (assigned, changed) = (Some("assigned"), Some("status_change"));
    let reasons = async |world: &World| (hears(world, &ana).await, hears(world, &bo).await);
    let expect = async |world: &World, of_ana: Option<&str>, of_bo: Option<&str>| {
        world.stack.dynamodb().catch_up();
        let (found_ana, found_bo) = reasons(world).await;
        assert_eq!((found_ana.as_deref(), found_bo.as_deref()), (of_ana, of_bo));
        world.stack.clock().advance(1_000);
    };
    // Ana's own commit says it, then it is hers, and then it is not.
    let (status, body) = post(
        &world,
        RELEASES,
        json!({ "version": "1", "projects": ["web"], "commits": [{ "id": "c1",
            "repository": "acme/web", "message": "Fixes WEB-1", "author_email": world.ana(),
            "author_name": "Ana", "timestamp": "2026-01-01T00:00:00Z" }] }),
    )
    .await;
    assert_eq!(status, 201, "{body}");
    world.settle().await;
    expect(&world, changed, None).await;
    put(&world, json!({ "assignedTo": "ana" })).await;
    expect(&world, changed, None).await;
    // Resolving it once more does not make the reason a later one.
    for status in ["unresolved", "resolved"] {
        put(&world, json!({ "status": status })).await;
    }
    expect(&world, changed, None).await;
    put(&world, json!({ "assignedTo": "bo" })).await;
    expect(&world, changed, assigned).await;
    // Bo has it first, changes its status then, and goes on hearing of that.
    let body = json!({ "status": "unresolved" }).to_string();
    let answer = world.put_as(&bo, &path(&world), body).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    expect(&world, changed, assigned).await;
    put(&world, json!({ "assignedTo": null })).await;
    expect(&world, changed, changed).await;
    world.settle().await;
    world.finish().await;
}
