//! From the text of a commit to a resolved issue: references, what a release resolves, and what trackers and
//! people hear of it.

use local::trackers::Provider;
use serde_json::{Value, json};
use tests::World;

use crate::releases::{RELEASES, items, path_of, post, put};

const AT: &str = "2026-01-01T00:00:00Z";

/// A world with the release "1" of the project "web".
async fn world() -> World {
    let world = World::start().await;
    release(&world, "1").await;
    world
}

async fn release(world: &World, version: &str) {
    let new = json!({ "version": version, "projects": ["web"] });
    let (status, body) = post(world, RELEASES, new).await;
    assert!([201, 208].contains(&status), "{status} {body}");
}

fn commit(sha: &str, message: &str, author: &str) -> Value {
    json!({ "id": sha, "repository": "acme/web", "message": message, "author_email": author,
        "author_name": "Somebody", "timestamp": AT })
}

async fn set(world: &World, version: &str, commits: Value) {
    let (status, body) = put(world, &path_of(version), json!({ "commits": commits })).await;
    assert_eq!(status, 200, "{body}");
}

fn group(world: &World) -> String {
    world.ready.group_id.clone().expect("a seeded issue")
}

/// What is stored of an issue's state.
fn state(world: &World, id: &str) -> Value {
    let all = items(world, &format!("GROUP#{id}"), "STATE");
    all.into_iter().next().expect("a state")
}

async fn issue(world: &World, id: &str) -> Value {
    world.get(&format!("/api/0/issues/{id}/")).await.json()
}

async fn change(world: &World, id: &str, body: Value) -> (u16, Value) {
    let answer = world
        .put(&format!("/api/0/issues/{id}/"), body.to_string())
        .await;
    (answer.status.as_u16(), answer.json())
}

/// The lines of an issue's activity, the oldest first.
async fn activity(world: &World, id: &str) -> Vec<Value> {
    world.stack.dynamodb().catch_up();
    let path = format!("/api/0/issues/{id}/activities/");
    let mut lines = world.get(&path).await.json()["activity"].take();
    let mut lines: Vec<Value> = lines.as_array_mut().expect("a list").drain(..).collect();
    lines.reverse();
    lines
}

async fn kinds(world: &World, id: &str) -> Vec<String> {
    let lines = activity(world, id).await;
    let kind = |line: &Value| line["type"].as_str().unwrap_or_default().to_owned();
    lines.iter().map(kind).collect()
}

/// What trackers were told of the status, with how it ended, the oldest first.
async fn told(world: &World, id: &str) -> Vec<String> {
    world.stack.dynamodb().catch_up();
    let rows = world.get(&format!("/api/0/issues/{id}/sync/")).await.json();
    let outbound = rows.as_array().expect("a list").iter();
    let outbound =
        outbound.filter(|row| row["direction"] == "outbound" && row["facet"] == "status");
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let line = |row: &Value| {
        let (end, why) = (word(&row["outcome"]), word(&row["reason"]));
        format!(
            "{} {end} {why} {}",
            word(&row["provider"]),
            word(&row["change"]["to"])
        )
    };
    let mut lines: Vec<_> = outbound.map(line).collect();
    lines.sort();
    lines
}

/// Makes another issue of the project "web".
async fn another_issue(world: &World, title: &str) -> (String, String) {
    let command = json!({ "command": "create-issue", "organization": "acme", "project": "web",
        "title": title });
    let issue = world.operator(command).await["issue"].take();
    let text = |name: &str| issue[name].as_str().expect("a text").to_owned();
    (text("id"), text("short_id"))
}

fn resolve_when_stored() -> Value {
    json!({ "command": "set-organization", "organization": "acme", "resolve_commits_on": "stored" })
}

fn pull_request(key: &str, text: &str, author: &str, merge_commit: Value) -> Value {
    json!({ "command": "save-pull-request", "organization": "acme", "repository": "acme/web",
        "key": key, "title": text, "author_email": author, "merge_commit": merge_commit })
}

/// Leaves what comes of references and resolutions in the table.
pub(crate) async fn resolved(world: &World) {
    set(
        world,
        "web@1.0",
        json!([commit("c1", "Fixes WEB-1", world.ana())]),
    )
    .await;
    let (other, short_id) = another_issue(world, "Other").await;
    change(world, &other, json!({ "status": "resolvedInNextRelease" })).await;
    let text = format!("Fixes {short_id}");
    world
        .operator(pull_request("12", &text, "x@example.com", Value::Null))
        .await;
}

#[tokio::test]
async fn a_pull_request_is_known_to_its_issues_and_resolves_them_with_its_merge_commit() {
    let mut world = world().await;
    let id = group(&world);
    let (ana, bo) = (world.ana().to_owned(), world.bo().to_owned());
    change(&world, &id, json!({ "assignedTo": ana })).await;
    world
        .operator(pull_request("7", "Fixes WEB-1", &bo, Value::Null))
        .await;
    world.settle().await;
    let seen = issue(&world, &id).await;
    assert_eq!(
        (&seen["status"], &seen["assignedTo"]["email"]),
        (&json!("unresolved"), &json!(bo))
    );
    let lines = activity(&world, &id).await;
    let last = lines.last().expect("a line");
    assert_eq!(last["type"], "set_resolved_in_pull_request");
    assert_eq!(last["data"]["pullRequest"]["id"], "7");
    // A commit that is not its own resolves nothing.
    let list = |sha: &str| json!([commit(sha, "Merge", "x@example.com")]);
    set(&world, "1", list("other")).await;
    world.settle().await;
    world
        .operator(pull_request("7", "Fixes WEB-1", &bo, json!("merged")))
        .await;
    world.settle().await;
    assert_eq!(issue(&world, &id).await["status"], "unresolved");
    for _ in 0..2 {
        set(&world, "1", list("merged")).await;
    }
    world.settle().await;
    let seen = issue(&world, &id).await;
    assert_eq!(seen["statusDetails"], json!({ "inRelease": "1" }));
    let lines = activity(&world, &id).await;
    let resolved: Vec<_> = lines
        .iter()
        .filter(|line| line["type"] == "set_resolved_in_release")
        .collect();
    assert_eq!(resolved.len(), 1);
    assert_eq!(
        resolved[0]["data"]["cause"],
        json!({ "pullRequest": "7", "release": "1" })
    );
    assert_eq!(resolved[0]["user"]["email"], bo.as_str());
    // Its text is changed: the issue forgets it, and stays as the release has left it.
    world
        .operator(pull_request("7", "Nothing", &bo, json!("merged")))
        .await;
    world.settle().await;
    let row = &items(&world, "REPOSITORY#", "PULL_REQUEST#")[0];
    assert_eq!(
        (&row["groups"], &row["linked"]),
        (&Value::Null, &Value::Null)
    );
    let rows = items(&world, "COMMIT#", "META");
    assert!(rows.iter().all(|row| row["merged"].is_null()), "{rows:?}");
    assert_eq!(issue(&world, &id).await["status"], "resolved");
    world.finish().await;
}

#[tokio::test]
async fn a_release_resolves_what_its_commits_refer_to_once_and_tells_each_tracker_once() {
    let mut world = world().await;
    let id = group(&world);
    assert_eq!(state(&world, &id)["inbox"]["S"], "new");
    let bo = world.bo().to_owned();
    let list = json!([
        commit("c1", "Fixes WEB-1 and web-1\n\nmore", &bo),
        commit("c2", "See WEB-1, fixes WEB-12F, NONE-1", &bo),
        commit("c4", "Fixes WEB-1 for good", &bo),
    ]);
    set(&world, "1", list.clone()).await;
    set(&world, "1", list.clone()).await;
    world.settle().await;
    let seen = issue(&world, &id).await;
    assert_eq!(
        (&seen["status"], &seen["substatus"]),
        (&json!("resolved"), &Value::Null)
    );
    assert_eq!(seen["statusDetails"], json!({ "inRelease": "1" }));
    assert_eq!(state(&world, &id)["inbox"], json!({ "NULL": true }));
    assert_eq!(seen["assignedTo"], Value::Null, "bo did not ask for it");
    let lines = activity(&world, &id).await;
    let mut kinds: Vec<_> = lines
        .iter()
        .filter_map(|line| line["type"].as_str())
        .collect();
    kinds.sort_unstable();
    let expected = [
        "referenced_in_commit",
        "referenced_in_commit",
        "set_resolved_in_release",
    ];
    assert_eq!(
        kinds, expected,
        "resolved once, however many commits say so"
    );
    let line = |kind: &str| {
        lines
            .iter()
            .find(|line| line["type"] == kind)
            .expect("a line")
    };
    assert_eq!(line("referenced_in_commit")["data"]["commit"]["id"], "c1");
    let resolved = line("set_resolved_in_release");
    assert_eq!(resolved["data"]["version"], "1");
    assert_eq!(
        resolved["data"]["cause"],
        json!({ "commit": "c1", "release": "1" })
    );
    for line in &lines {
        assert_eq!(line["user"]["email"], bo.as_str());
    }
    assert_eq!(
        told(&world, &id).await,
        ["jira_server applied - resolved", "vsts applied - resolved"]
    );
    let trackers = world.stack.trackers();
    assert_eq!(trackers.work_item(31).state, "Resolved");
    assert_eq!(trackers.jira_status("WEB-7"), "Resolved");
    let writes = trackers.writes().len();
    assert_eq!(writes, 2);
    let metric = |line: &&Value| line["group.resolved"] == 1;
    let logs = world.logs();
    let counted: Vec<_> = logs.iter().filter(metric).collect();
    assert_eq!(counted.len(), 1);
    assert_eq!(counted[0]["instance"], "in_commit");
    let subscribers = items(&world, "GROUP#", "SUB#");
    assert_eq!(subscribers.len(), 1, "{subscribers:?}");
    // Opened again, and all of it comes once more: the same commits resolve nothing.
    world.replay().await;
    let (status, _) = change(&world, &id, json!({ "status": "unresolved" })).await;
    assert_eq!(status, 200);
    set(&world, "1", list).await;
    world.settle().await;
    assert_eq!(issue(&world, &id).await["status"], "unresolved");
    assert_eq!(world.stack.trackers().work_item(31).state, "Active");
    assert_eq!(world.stack.trackers().jira_status("WEB-7"), "Open");
    // Another commit does.
    let again = json!([commit("c3", "closes: WEB-1", "nobody@example.com")]);
    set(&world, "1", again).await;
    world.settle().await;
    assert_eq!(issue(&world, &id).await["status"], "resolved");
    let last = activity(&world, &id).await;
    let last = last
        .iter()
        .rfind(|line| line["type"] == "set_resolved_in_release");
    assert_eq!(last.expect("a line")["user"], Value::Null);
    world.finish().await;
}

#[tokio::test]
async fn a_reference_that_goes_is_forgotten_and_opens_the_issue_only_where_commits_resolve_when_stored()
 {
    let mut world = world().await;
    let id = group(&world);
    let ana = world.ana().to_owned();
    let text = |message: &str| json!([commit("c1", message, &ana)]);
    set(&world, "1", text("Fixes WEB-1")).await;
    world.settle().await;
    set(&world, "1", text("Fixes WEB-1, really")).await;
    world.settle().await;
    assert_eq!(kinds(&world, &id).await.len(), 2, "nothing new");
    set(&world, "1", text("Fixes nothing")).await;
    world.settle().await;
    let seen = issue(&world, &id).await;
    assert_eq!(seen["status"], "resolved", "a release has resolved it");
    let row = &items(&world, "COMMIT#", "META")[0];
    assert_eq!(
        (&row["groups"], &row["linked"]),
        (&Value::Null, &Value::Null)
    );
    world.replay().await;

    world.operator(resolve_when_stored()).await;
    let (other, short_id) = another_issue(&world, "Other").await;
    let text = |message: &str| json!([commit("c9", message, &ana)]);
    set(&world, "1", text(&format!("resolves {short_id}"))).await;
    world.settle().await;
    let seen = issue(&world, &other).await;
    assert_eq!(seen["status"], "resolved");
    assert_eq!(seen["statusDetails"], json!({ "inRelease": "1" }));
    let lines = kinds(&world, &other).await;
    assert_eq!(lines, ["set_resolved_in_commit", "set_resolved_in_release"]);
    set(&world, "1", text("resolves nothing")).await;
    world.settle().await;
    let seen = issue(&world, &other).await;
    assert_eq!(
        (&seen["status"], &seen["substatus"]),
        (&json!("unresolved"), &json!("ongoing"))
    );
    assert_eq!(seen["statusDetails"], json!({}));
    let lines = kinds(&world, &other).await;
    assert_eq!(lines[2..], ["set_unresolved"]);
    world.finish().await;
}

#[tokio::test]
async fn whoever_wants_it_gets_what_they_resolve_and_nobody_has() {
    let mut world = world().await;
    let id = group(&world);
    for (email, name) in [
        (world.bo().to_owned(), "Bo Li"),
        (world.cy().to_owned(), "Cy Moss"),
    ] {
        world
            .operator(
                json!({ "command": "create-user", "email": email, "name": name,
                "self_assign_issue": true }),
            )
            .await;
    }
    let (bo, cy) = (world.bo().to_uppercase(), world.cy().to_owned());
    // Cy has no access to the project.
    set(&world, "1", json!([commit("c1", "fix WEB-1", &cy)])).await;
    world.settle().await;
    assert_eq!(world.assignee_of(&id).await, None);
    set(&world, "1", json!([commit("c2", "fix WEB-1", &bo)])).await;
    world.settle().await;
    assert_eq!(world.assignee_of(&id).await.as_deref(), Some(world.bo()));
    let bos = format!("{}#status_change", world.ready.members[1].id);
    let hears = |row: &Value| {
        row["SK"]["S"]
            .as_str()
            .is_some_and(|key| key.ends_with(&bos))
    };
    assert!(
        items(&world, "GROUP#", "SUB#").iter().any(hears),
        "bo hears of it"
    );
    let assigned = kinds(&world, &id).await;
    assert_eq!(
        assigned.iter().filter(|kind| *kind == "assigned").count(),
        1
    );
    let ana = world.ana().to_owned();
    change(&world, &id, json!({ "assignedTo": ana })).await;
    set(&world, "1", json!([commit("c3", "fix WEB-1", &bo)])).await;
    world.settle().await;
    assert_eq!(
        world.assignee_of(&id).await.as_deref(),
        Some(world.ana()),
        "hers"
    );
    world.finish().await;
}

#[tokio::test]
async fn whoever_wants_it_gets_what_they_resolve_through_the_api_too() {
    let mut world = World::start().await;
    let id = group(&world);
    let ana = world.ana().to_owned();
    change(&world, &id, json!({ "status": "resolved" })).await;
    assert_eq!(world.assignee_of(&id).await, None, "she did not ask for it");
    world
        .operator(
            json!({ "command": "create-user", "email": ana, "name": "Ana Ruiz",
            "self_assign_issue": true }),
        )
        .await;
    change(&world, &id, json!({ "status": "unresolved" })).await;
    assert_eq!(world.assignee_of(&id).await, None);
    change(&world, &id, json!({ "status": "resolved" })).await;
    assert_eq!(world.assignee_of(&id).await, Some(ana));
    let (other, _) = another_issue(&world, "Other").await;
    let nobody = json!({ "status": "resolved", "assignedTo": null });
    change(&world, &other, nobody).await;
    assert_eq!(world.assignee_of(&other).await, None, "nobody, as she says");
    world.settle().await;
    world.finish().await;
}

#[tokio::test]
async fn a_new_release_takes_the_place_of_the_next_one() {
    let mut world = World::start().await;
    let id = group(&world);
    let next = json!({ "status": "resolved", "statusDetails": { "inNextRelease": true } });
    let (status, body) = change(&world, &id, next.clone()).await;
    assert_eq!(status, 400);
    assert_eq!(
        body["statusDetails"],
        json!(["inNextRelease: there is no release data to resolve by."])
    );
    release(&world, "1").await;
    world.stack.clock().advance(1000);
    let (status, body) = change(&world, &id, next.clone()).await;
    assert_eq!((status, &body["status"]), (200, &json!("resolved")));
    assert_eq!(body["statusDetails"], json!({ "inNextRelease": true }));
    change(&world, &id, next).await;
    let lines = activity(&world, &id).await;
    assert_eq!(lines.len(), 1, "the same wish changes nothing");
    assert_eq!(lines[0]["data"]["version"], "");
    let (other, _) = another_issue(&world, "Other").await;
    change(&world, &other, json!({ "status": "resolvedInNextRelease" })).await;
    change(&world, &other, json!({ "status": "unresolved" })).await;
    // In another project it is no next release of this one.
    world
        .operator(
            json!({ "command": "create-project", "organization": "acme", "team": "web-team",
            "slug": "shop", "name": "Shop" }),
        )
        .await;
    let elsewhere = json!({ "version": "shop@1", "projects": ["shop"] });
    assert_eq!(post(&world, RELEASES, elsewhere).await.0, 201);
    world.settle().await;
    assert_eq!(
        issue(&world, &id).await["statusDetails"],
        json!({ "inNextRelease": true })
    );
    world.stack.clock().advance(1000);
    release(&world, "2").await;
    world.settle().await;
    assert_eq!(
        issue(&world, &id).await["statusDetails"],
        json!({ "inRelease": "2" })
    );
    let lines = activity(&world, &id).await;
    assert_eq!(
        (lines.len(), &lines[0]["data"]["version"]),
        (1, &json!("2"))
    );
    assert_eq!(issue(&world, &other).await["status"], "unresolved");
    assert_eq!(items(&world, "PROJECT#", "PENDING_RESOLUTION#").len(), 0);
    release(&world, "3").await;
    world.settle().await;
    assert_eq!(
        issue(&world, &id).await["statusDetails"],
        json!({ "inRelease": "2" })
    );
    world.finish().await;
}

#[tokio::test]
async fn a_release_overwrites_a_resolution_that_waits_for_the_next_one() {
    let mut world = world().await;
    let id = group(&world);
    change(&world, &id, json!({ "status": "resolvedInNextRelease" })).await;
    set(
        &world,
        "1",
        json!([commit("c1", "fixed WEB-1", world.bo())]),
    )
    .await;
    world.settle().await;
    assert_eq!(
        issue(&world, &id).await["statusDetails"],
        json!({ "inRelease": "1" })
    );
    let by = &state(&world, &id)["resolution"]["M"]["actor"]["S"];
    assert_eq!(
        *by, *world.ready.members[1].id,
        "its author has resolved it"
    );
    assert_eq!(items(&world, "PROJECT#", "PENDING_RESOLUTION#").len(), 0);
    world.finish().await;
}

#[tokio::test]
async fn an_issue_is_resolved_in_the_release_that_is_named() {
    let mut world = world().await;
    let id = group(&world);
    let named =
        |name: Value| json!({ "status": "resolved", "statusDetails": { "inRelease": name } });
    let (status, body) = change(&world, &id, named(json!("1"))).await;
    assert_eq!(
        (status, &body["statusDetails"]),
        (200, &json!({ "inRelease": "1" }))
    );
    for bad in [
        named(json!("9")),
        named(json!("a/b")),
        named(json!(7)),
        json!({ "status": "resolved", "statusDetails": { "inCommit": { "commit": "x" } } }),
        json!({ "status": "resolved", "statusDetails": { "inNextRelease": "yes" } }),
    ] {
        let (status, body) = change(&world, &id, bad).await;
        assert_eq!(status, 400, "{body}");
        assert!(body["statusDetails"].is_array(), "{body}");
    }
    world.stack.clock().advance(1000);
    release(&world, "2").await;
    let (_, body) = change(&world, &id, named(json!("latest"))).await;
    assert_eq!(body["statusDetails"], json!({ "inRelease": "2" }));
    let (_, body) = change(&world, &id, json!({ "status": "ignored" })).await;
    assert_eq!(body["statusDetails"], json!({}));
    assert_eq!(kinds(&world, &id).await.len(), 3);
    world.settle().await;
    world.finish().await;
}

#[tokio::test]
async fn trackers_hear_of_the_status_as_far_as_they_know_one() {
    let mut world = World::start().await;
    let id = group(&world);
    change(&world, &id, json!({ "status": "ignored" })).await;
    world.settle().await;
    assert_eq!(told(&world, &id).await, [""; 0], "they have no word for it");
    change(&world, &id, json!({ "status": "resolved" })).await;
    change(&world, &id, json!({ "status": "unresolved" })).await;
    change(&world, &id, json!({ "status": "resolved" })).await;
    world.settle().await;
    assert_eq!(
        world.stack.trackers().writes().len(),
        2,
        "the last word, once each"
    );
    let ends = told(&world, &id).await;
    assert_eq!(ends.len(), 6, "one for each decision and tracker: {ends:?}");
    assert_eq!(ends.iter().filter(|end| end.contains("applied")).count(), 2);
    // Whoever is assigned is told beside it.
    change(
        &world,
        &id,
        json!({ "assignedTo": world.bo(), "status": "unresolved" }),
    )
    .await;
    world.settle().await;
    let item = world.stack.trackers().work_item(31);
    assert_eq!(
        (item.state, item.assignee.as_deref()),
        ("Active", Some("Bo@Acme.example"))
    );
    assert_eq!(
        world.stack.trackers().jira_issue("WEB-7").as_deref(),
        Some("bo")
    );
    assert_eq!(world.stack.trackers().jira_status("WEB-7"), "Open");
    // Put away before anybody was told.
    change(&world, &id, json!({ "status": "resolved" })).await;
    change(&world, &id, json!({ "status": "ignored" })).await;
    world.settle().await;
    let ends = told(&world, &id).await;
    let away = ends
        .iter()
        .filter(|end| end.contains("suppressed put_away"));
    assert_eq!(away.count(), 2, "{ends:?}");
    world.finish().await;
}

#[tokio::test]
async fn each_reason_not_to_tell_a_tracker_of_the_status_is_recorded() {
    let mut world = World::start().await;
    let id = group(&world);
    let (vsts, jira) = (world.integration(), world.integration_of("jira_server"));
    let set = |integration: &str, name: &str, value: Value| {
        json!({ "command": "set-sync", "organization": "acme", "integration": integration,
            name: value })
    };
    world
        .operator(set(&vsts, "switches", json!({ "outbound_status": false })))
        .await;
    world.operator(set(&jira, "states", json!({}))).await;
    change(&world, &id, json!({ "status": "resolved" })).await;
    world.settle().await;
    assert_eq!(
        told(&world, &id).await,
        [
            "jira_server suppressed status_not_mapped -",
            "vsts suppressed switch_off -"
        ]
    );
    // Assignees are still told.
    change(&world, &id, json!({ "assignedTo": world.bo() })).await;
    world.settle().await;
    assert_eq!(world.stack.trackers().writes().len(), 2);
    world
        .operator(set(&vsts, "switches", json!({ "outbound_status": true })))
        .await;
    let states = |resolve: &str| json!({ "10000": { "on_resolve": resolve, "on_unresolve": "1" } });
    world.operator(set(&jira, "states", states("77"))).await;
    change(&world, &id, json!({ "status": "unresolved" })).await;
    world.settle().await;
    change(&world, &id, json!({ "status": "resolved" })).await;
    world.settle().await;
    let ends = told(&world, &id).await;
    assert!(
        ends.contains(&"jira_server suppressed no_transition -".to_owned()),
        "{ends:?}"
    );
    assert_eq!(world.stack.trackers().work_item(31).state, "Resolved");
    let refused = set(
        &jira,
        "states",
        json!({ "1": { "on_resolve": "", "on_unresolve": "1" } }),
    );
    let answer = world.operator_raw(refused).await;
    assert!(answer["error"]["fields"]["states"].is_array(), "{answer}");
    world.without_replay();
    world.finish().await;
}

#[tokio::test]
async fn what_a_tracker_does_not_take_now_is_told_later() {
    use local::trackers::Mode;
    let mut world = World::start().await;
    let id = group(&world);
    for provider in [Provider::Vsts, Provider::JiraServer] {
        world
            .stack
            .trackers()
            .set_mode_for(provider, Mode::Failing, 2);
    }
    change(&world, &id, json!({ "status": "resolved" })).await;
    world.settle().await;
    assert_eq!(world.stack.trackers().work_item(31).state, "Resolved");
    assert_eq!(world.stack.trackers().jira_status("WEB-7"), "Resolved");
    assert_eq!(
        told(&world, &id).await,
        ["jira_server applied - resolved", "vsts applied - resolved"]
    );
    world.finish().await;
}

#[tokio::test]
async fn what_is_too_much_for_one_message_is_done_by_several() {
    let mut world = World::quiet().await;
    release(&world, "1").await;
    let mut issues = Vec::new();
    for n in 0..3 {
        issues.push(another_issue(&world, &format!("Other {n}")).await);
    }
    let names: Vec<_> = issues
        .iter()
        .map(|(_, short_id)| short_id.as_str())
        .collect();
    let all = format!("Fixes {}", names.join(", "));
    let one = format!("Fixes {}", names[0]);
    // More than 25 commits of one repository, with more than 50 references among 20 of them.
    let text = |n: usize| if n < 18 { &all } else { &one };
    let mut list: Vec<_> = (0..26)
        .map(|n| commit(&format!("c{n}"), text(n), "x@example.com"))
        .collect();
    let mut elsewhere = commit("d1", &one, "x@example.com");
    elsewhere["repository"] = json!("acme/shop");
    list.push(elsewhere);
    set(&world, "1", json!(list)).await;
    world.settle().await;
    let resolved: Vec<_> = items(&world, "GROUP#", "DONE#");
    assert_eq!(resolved.len(), 18 * 3 + 8 + 1);
    let linked = items(&world, "COMMIT#", "META");
    let linked = linked
        .iter()
        .map(|row| row["linked"]["L"].as_array().map_or(0, Vec::len));
    assert_eq!(linked.sum::<usize>(), 18 * 3 + 8 + 1);
    for (id, _) in &issues {
        let details = issue(&world, id).await["statusDetails"].take();
        assert_eq!(details, json!({ "inRelease": "1" }));
    }
    // The first fifty places lead to groups that are gone.
    let id = group(&world);
    change(&world, &id, json!({ "status": "resolvedInNextRelease" })).await;
    let project = world.ready.project_id.clone().expect("a project");
    let gone = |n: usize| {
        json!({ "PK": { "S": format!("PROJECT#{project}") },
            "SK": { "S": format!("PENDING_RESOLUTION#1{n:04}") }, "group": { "S": format!("1{n:04}") } })
    };
    let gone: Vec<_> = (0..50).map(gone).collect();
    world.put_items(gone.clone()).await;
    world.stack.clock().advance(1000);
    release(&world, "2").await;
    world.settle().await;
    assert_eq!(
        issue(&world, &id).await["statusDetails"],
        json!({ "inRelease": "2" })
    );
    world.remove_items(gone).await;
    world.finish().await;
}

#[tokio::test]
async fn a_release_that_is_gone_or_has_other_commits_by_now_resolves_nothing() {
    let mut world = world().await;
    let id = group(&world);
    set(
        &world,
        "1",
        json!([commit("c1", "Fixes WEB-1", "x@example.com")]),
    )
    .await;
    // Before anybody has looked at it.
    set(
        &world,
        "1",
        json!([commit("c2", "Nothing", "x@example.com")]),
    )
    .await;
    world.settle().await;
    assert_eq!(issue(&world, &id).await["status"], "unresolved");
    assert_eq!(kinds(&world, &id).await, ["referenced_in_commit"]);
    release(&world, "2").await;
    set(
        &world,
        "2",
        json!([commit("c3", "Fixes WEB-1", "x@example.com")]),
    )
    .await;
    assert_eq!(crate::releases::delete(&world, &path_of("2")).await, 204);
    world.settle().await;
    assert_eq!(issue(&world, &id).await["status"], "unresolved");
    world.finish().await;
}
