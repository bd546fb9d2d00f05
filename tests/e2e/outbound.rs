//! What linked trackers are told: everything but what they said themselves, once, and in the end the truth.

use local::trackers::{Mode, Provider};
use serde_json::{Value, json};
use tests::World;

/// Everything a tracker was told, as `provider who`, with `?` after what got no answer.
fn told(world: &World) -> Vec<String> {
    let word = |request: local::trackers::Request| {
        let taken = request.status.is_none_or(|status| status < 300);
        let (provider, who) = match request.provider? {
            Provider::Vsts => ("vsts", &request.body[0]["value"]),
            Provider::JiraServer => ("jira", &request.body["name"]),
        };
        let who = who.as_str().unwrap_or("nobody");
        let lost = if request.status.is_none() { "?" } else { "" };
        taken.then(|| format!("{provider} {who}{lost}"))
    };
    let writes = world.stack.trackers().writes();
    writes.into_iter().filter_map(word).collect()
}

/// How telling the trackers ended, the oldest first, as `provider outcome reason`.
async fn ends(world: &World) -> Vec<String> {
    let group = world.ready.group_id.as_deref().expect("a seeded issue");
    let answer = world.get(&format!("/api/0/issues/{group}/sync/")).await;
    let rows = answer.json();
    let outbound = rows.as_array().into_iter().flatten();
    let outbound = outbound.filter(|row| row["direction"] == "outbound");
    let word = |row: &Value, name: &str| row[name].as_str().unwrap_or("-").to_owned();
    let line = |row: &Value| {
        let words = ["provider", "outcome", "reason"].map(|name| word(row, name));
        words.join(" ")
    };
    let mut lines: Vec<_> = outbound.map(line).collect();
    lines.reverse();
    lines
}

/// Somebody changes work item 31 at Azure DevOps.
async fn at_azure(world: &mut World, assignee: Option<&str>) {
    let trackers = world.stack.trackers().clone();
    trackers.change_as_user(Provider::Vsts, "31", assignee);
    while !trackers.hooks().is_empty() {
        trackers.deliver_hooks().await;
    }
    world.settle().await;
}

/// Somebody assigns the issue here.
async fn here(world: &World, assignee: Value) {
    let group = world.ready.group_id.clone().expect("a seeded issue");
    let body = json!({ "assignedTo": assignee }).to_string();
    let answer = world.put(&format!("/api/0/issues/{group}/"), body).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
}

#[tokio::test]
async fn what_one_tracker_says_the_other_is_told_once_and_the_first_never() {
    let mut world = World::start().await;
    at_azure(&mut world, Some("Bo@Acme.example")).await;
    assert_eq!(told(&world), ["jira bo"]);
    at_azure(&mut world, None).await;
    assert_eq!(told(&world), ["jira bo", "jira nobody"]);
    assert_eq!(world.assignee().await, None);
    assert_eq!(world.stack.trackers().jira_issue("WEB-7"), None);
    let applied = "jira_server applied -";
    assert_eq!(ends(&world).await, [applied, applied]);
    world.finish().await;
}

#[tokio::test]
async fn what_is_decided_here_every_tracker_is_told_once() {
    let mut world = World::start().await;
    let bo = world.bo().to_owned();
    here(&world, bo.clone().into()).await;
    world.settle().await;
    let mut all = told(&world);
    all.sort();
    assert_eq!(all, ["jira bo", "vsts Bo@Acme.example"]);
    // Azure tells of it, and nobody is told again.
    assert_eq!(world.assignee().await, Some(bo));
    assert_eq!(world.activity().await.len(), 1);
    here(&world, Value::Null).await;
    world.settle().await;
    assert_eq!(told(&world).len(), 4);
    assert_eq!(world.stack.trackers().work_item(31).assignee, None);
    world.finish().await;
}

#[tokio::test]
async fn decisions_in_quick_succession_come_to_the_last_one() {
    let mut world = World::start().await;
    let (ana, bo) = (world.ana().to_owned(), world.bo().to_owned());
    for assignee in [&ana, &bo, &ana, &bo] {
        here(&world, assignee.as_str().into()).await;
    }
    world.settle().await;
    let mut all = told(&world);
    all.sort();
    assert_eq!(all, ["jira bo", "vsts Bo@Acme.example"]);
    let ends = ends(&world).await;
    assert_eq!(ends.len(), 8, "one for each decision and tracker: {ends:?}");
    assert_eq!(ends.iter().filter(|end| end.contains("applied")).count(), 2);
    world.finish().await;
}

#[tokio::test]
async fn what_fails_for_now_is_put_off_and_nothing_is_lost() {
    let mut world = World::start().await;
    for (mode, assignee) in [
        (
            Mode::RateLimited { retry_after: 900 },
            world.bo().to_owned(),
        ),
        (Mode::Failing, world.ana().to_owned()),
        (Mode::RefusedToken, world.bo().to_owned()),
        (Mode::Hang, world.ana().to_owned()),
    ] {
        for provider in [Provider::Vsts, Provider::JiraServer] {
            world.stack.trackers().set_mode_for(provider, mode, 2);
        }
        here(&world, assignee.clone().into()).await;
        world.settle().await;
        let item = world.stack.trackers().work_item(31).assignee;
        assert_eq!(
            item.map(|address| address.to_lowercase()),
            Some(assignee.clone())
        );
        let name = assignee.split('@').next().map(str::to_owned);
        assert_eq!(world.stack.trackers().jira_issue("WEB-7"), name, "{mode:?}");
    }
    let ends = ends(&world).await;
    assert_eq!(ends.len(), 8);
    assert!(
        ends.iter().all(|end| end.ends_with("applied -")),
        "{ends:?}"
    );
    world.finish().await;
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_made_once_more_and_its_echo_changes_nothing() {
    let mut world = World::start().await;
    let trackers = world.stack.trackers().clone();
    // The search is answered; the write is not.
    here(&world, world.bo().to_owned().into()).await;
    world.relay().await;
    trackers.set_mode(Provider::Vsts, Mode::LostAnswer);
    world.drain("outbound-sync").await;
    trackers.set_mode(Provider::Vsts, Mode::Ok);
    // Decided anew before the tracker tells of what it was told.
    here(&world, world.ana().to_owned().into()).await;
    world.settle().await;
    assert_eq!(world.assignee().await.as_deref(), Some(world.ana()));
    let item = trackers.work_item(31).assignee;
    assert_eq!(item.as_deref(), Some(world.ana()));
    world.finish().await;
}

#[tokio::test]
async fn each_reason_not_to_tell_a_tracker_is_recorded() {
    let mut world = World::start().await;
    let vsts = world.integration();
    let switch = |on: bool| {
        json!({ "command": "set-sync", "organization": "acme", "integration": vsts,
            "switches": { "outbound_assignee": on } })
    };
    let feature = |on: bool| {
        json!({ "command": "set-feature", "organization": "acme",
            "feature": "integrations-issue-sync", "enabled": on })
    };
    world.operator(switch(false)).await;
    here(&world, world.bo().to_owned().into()).await;
    world.settle().await;
    let mut found = ends(&world).await;
    found.sort();
    assert_eq!(
        found,
        ["jira_server applied -", "vsts suppressed switch_off"]
    );
    world.operator(feature(false)).await;
    here(&world, Value::Null).await;
    world.settle().await;
    let found = ends(&world).await;
    let off = found.iter().filter(|end| end.ends_with("feature_off"));
    assert_eq!(off.count(), 2, "{found:?}");
    world.operator(feature(true)).await;
    world.operator(switch(true)).await;
    world.without_replay();
    world.finish().await;
}
