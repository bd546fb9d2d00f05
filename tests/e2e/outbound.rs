//! What linked trackers are told: everything but what they said themselves, once, and in the end the truth.

use local::trackers::{Mode, Provider};
use serde_json::{Value, json};
use tests::World;

/// Everything a tracker was told, as `provider who`, with `?` after what got no answer.
pub(crate) fn told(world: &World) -> Vec<String> {
    let word = |request: local::trackers::Request| {
        let taken = request.status.is_none_or(|status| status < 300);
        let (provider, who) = match request.provider? {
            Provider::Vsts => ("vsts", &request.body[0]["value"]),
            Provider::JiraServer => ("jira", &request.body["name"]),
            Provider::Github => return None,
        };
        let who = who.as_str().unwrap_or("nobody");
        let lost = if request.status.is_none() { "?" } else { "" };
        taken.then(|| format!("{provider} {who}{lost}"))
    };
    let writes = world.stack.trackers().writes();
    writes.into_iter().filter_map(word).collect()
}

/// How telling the trackers ended that a change does not come from, the oldest first, as `provider outcome
/// reason`.
pub(crate) async fn ends(world: &World) -> Vec<String> {
    let group = world.ready.group_id.as_deref().expect("a seeded issue");
    let answer = world.get(&format!("/api/0/issues/{group}/sync/")).await;
    let rows = answer.json();
    let outbound = rows.as_array().into_iter().flatten();
    let outbound =
        outbound.filter(|row| row["direction"] == "outbound" && row["reason"] != "origin");
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
pub(crate) async fn at_azure(world: &mut World, assignee: Option<&str>) {
    let trackers = world.stack.trackers().clone();
    trackers.change_as_user(Provider::Vsts, "31", assignee);
    while !trackers.hooks().is_empty() {
        trackers.deliver_hooks().await;
    }
    world.settle().await;
}

/// Somebody assigns the issue here.
pub(crate) async fn here(world: &World, assignee: Value) {
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
async fn what_fails_for_a_day_is_given_up_once_and_an_alarm_hears_of_it() {
    let mut world = World::quiet().await;
    let jira = Provider::JiraServer;
    world.stack.trackers().set_mode(jira, Mode::Failing);
    here(&world, world.bo().to_owned().into()).await;
    world.settle().await;
    let ends = ends(&world).await;
    let dead: Vec<_> = ends.iter().filter(|end| end.contains("dead")).collect();
    assert_eq!(dead, ["jira_server dead tracker_unavailable"]);
    let given_up = |line: &&Value| line["SyncGivenUp"] == 1;
    let logs = world.logs();
    let lines: Vec<_> = logs.iter().filter(given_up).collect();
    assert_eq!(lines.len(), 1);
    // An alarm watches one metric with the very dimensions that it is written with.
    let metrics = &lines[0]["_aws"]["CloudWatchMetrics"][0];
    assert_eq!(metrics["Dimensions"], json!([[]]));
    world.stack.trackers().set_mode(jira, Mode::Ok);
    world.finish().await;
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_made_once_more_and_its_echo_changes_nothing() {
    // Each message once: a second copy would get the answer that the first one lost.
    let mut world = World::quiet().await;
    let trackers = world.stack.trackers().clone();
    here(&world, world.bo().to_owned().into()).await;
    world.settle().await;
    // To take it from somebody needs no search, so the one call is the write.
    here(&world, Value::Null).await;
    trackers.set_mode_for(Provider::Vsts, Mode::LostAnswer, 1);
    world.relay().await;
    world.drain("outbound-sync").await;
    assert_eq!(trackers.work_item(31).assignee, None, "carried out");
    // Decided anew before Azure tells of what it was told.
    here(&world, world.ana().to_owned().into()).await;
    world.settle().await;
    assert_eq!(world.assignee().await.as_deref(), Some(world.ana()));
    let item = trackers.work_item(31).assignee;
    assert_eq!(item.as_deref(), Some(world.ana()));
    world.finish().await;
}

#[tokio::test]
async fn a_write_that_finds_everything_so_already_is_made_once() {
    let mut world = World::quiet().await;
    let trackers = world.stack.trackers().clone();
    at_azure(&mut world, Some("Bo@Acme.example")).await;
    trackers.forget_requests();
    // Nobody knows whether it was carried out, and it was not.
    trackers.set_mode_for(Provider::Vsts, Mode::Failing, 1);
    here(&world, Value::Null).await;
    world.relay().await;
    world.drain("outbound-sync").await;
    here(&world, world.bo().to_owned().into()).await;
    let before = trackers.work_item(31).rev;
    world.settle().await;
    assert_eq!(trackers.work_item(31).rev, before, "nothing changed");
    let mut told = told(&world);
    told.retain(|told| told.starts_with("vsts"));
    assert_eq!(told, ["vsts Bo@Acme.example"]);
    world.finish().await;
}

#[tokio::test]
async fn a_tracker_whose_revisions_begin_anew_is_told_once_all_the_same() {
    let mut world = World::start().await;
    let before = world.stack.trackers().work_item(31).rev;
    world.assign(before + 9, world.ana()).await;
    world.settle().await;
    here(&world, world.bo().to_owned().into()).await;
    world.settle().await;
    let mut told = told(&world);
    told.retain(|told| told.starts_with("vsts"));
    assert_eq!(told, ["vsts Bo@Acme.example"]);
    assert_eq!(world.assignee().await.as_deref(), Some(world.bo()));
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
    let before = told(&world);
    world.operator(feature(false)).await;
    here(&world, Value::Null).await;
    world.settle().await;
    assert_eq!(world.assignee().await, None, "it holds here all the same");
    assert_eq!(told(&world), before);
    let found = ends(&world).await;
    let off = found.iter().filter(|end| end.ends_with("feature_off"));
    assert_eq!(off.count(), 2, "{found:?}");
    world.operator(feature(true)).await;
    world.operator(switch(true)).await;
    world.without_replay();
    world.finish().await;
}

#[tokio::test]
async fn whom_a_tracker_does_not_know_it_is_not_told_and_keeps_whom_it_has() {
    let mut world = World::start().await;
    for command in [
        json!({ "command": "create-user", "email": "eve@acme.example", "name": "Eve" }),
        json!({ "command": "add-member", "organization": "acme", "email": "eve@acme.example",
            "teams": ["web-team"] }),
    ] {
        world.operator(command).await;
    }
    at_azure(&mut world, Some("Bo@Acme.example")).await;
    world.stack.trackers().forget_requests();
    here(&world, "eve@acme.example".into()).await;
    world.settle().await;
    world.replay().await;
    // Ana is known there by an address that she has not proven here.
    world
        .operator(
            json!({ "command": "create-user", "email": world.ana(), "name": "Ana",
            "verified": false }),
        )
        .await;
    here(&world, world.ana().to_owned().into()).await;
    world.settle().await;
    assert_eq!(world.assignee().await.as_deref(), Some(world.ana()));
    assert_eq!(told(&world), [""; 0]);
    let item = world.stack.trackers().work_item(31).assignee;
    assert_eq!(item.as_deref(), Some("Bo@Acme.example"));
    assert_eq!(
        world.stack.trackers().jira_issue("WEB-7").as_deref(),
        Some("bo")
    );
    let ends = ends(&world).await;
    let unknown = ends
        .iter()
        .filter(|end| end.ends_with("unknown_at_tracker"));
    assert_eq!(unknown.count(), 4, "{ends:?}");
    world.finish().await;
}

/// The requests for tokens so far.
pub(crate) fn exchanges(world: &World) -> usize {
    let requests = world.stack.trackers().requests();
    let tokens = |request: &&local::trackers::Request| request.path.contains("oauth2/token");
    requests.iter().filter(tokens).count()
}

#[tokio::test]
async fn tokens_that_have_ended_are_exchanged_first_and_the_new_ones_are_kept() {
    let mut world = World::quiet().await;
    let bo = world.bo().to_owned();
    here(&world, bo.clone().into()).await;
    world.settle().await;
    assert_eq!(exchanges(&world), 0, "they have not ended");
    // A refresh token is good for one exchange, so the second one shows that the first was kept.
    for (exchanged, assignee) in [(1, Value::Null), (2, bo.into())] {
        let left = world.stack.trackers().azure_identity().expires;
        let now = world.stack.clock().now().seconds();
        world.stack.clock().advance((left - now) * 1000);
        here(&world, assignee.clone()).await;
        world.settle().await;
        assert_eq!(exchanges(&world), exchanged);
        let item = world.stack.trackers().work_item(31).assignee;
        assert_eq!(item.is_some(), assignee.is_string());
        here(&world, Value::Null).await;
        world.settle().await;
        assert_eq!(exchanges(&world), exchanged, "they are used until they end");
    }
    world.finish().await;
}

/// Where a change comes from. The match in [`carry_out`] is exhaustive, as the one in `domain::Origin` is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum From {
    Azure,
    Api,
}

/// What is to be so.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Change {
    Ana,
    Bo,
    Nobody,
    Team,
}

async fn carry_out(world: &mut World, from: From, change: Change) {
    let (ana, bo) = (world.ana().to_owned(), world.bo().to_owned());
    match (from, change) {
        (From::Azure, Change::Ana) => at_azure(world, Some(&ana)).await,
        (From::Azure, Change::Bo) => at_azure(world, Some(&bo)).await,
        (From::Azure, Change::Nobody | Change::Team) => at_azure(world, None).await,
        (From::Api, Change::Ana) => here(world, ana.into()).await,
        (From::Api, Change::Bo) => here(world, bo.into()).await,
        (From::Api, Change::Nobody) => here(world, Value::Null).await,
        (From::Api, Change::Team) => {
            let items = world.items();
            let mut keys = items.iter().filter_map(|item| item["PK"]["S"].as_str());
            let id = keys.find_map(|key| key.strip_prefix("TEAM#"));
            let id = id.expect("a seeded team").to_owned();
            here(world, format!("team:{id}").into()).await;
        }
    }
    world.settle().await;
}

/// Whom the trackers have, by name.
fn at_trackers(world: &World) -> [Option<String>; 2] {
    let trackers = world.stack.trackers();
    let azure = trackers.work_item(31).assignee;
    let name = |address: String| address.split('@').next().map(str::to_lowercase);
    [azure.and_then(name), trackers.jira_issue("WEB-7")]
}

#[tokio::test]
async fn whatever_changes_from_wherever_exactly_those_are_told_who_do_not_know() {
    use Change::{Ana, Bo, Nobody, Team};
    let changes = [
        Ana, Bo, Bo, Nobody, Nobody, Team, Ana, Team, Bo, Team, Nobody, Ana,
    ];
    let mut world = World::start().await;
    // The same change of both origins, in all orders of two.
    for first in [From::Azure, From::Api] {
        for second in [From::Azure, From::Api] {
            for (index, change) in changes.into_iter().enumerate() {
                let from = if index % 2 == 0 { first } else { second };
                world.stack.trackers().forget_requests();
                let before = at_trackers(&world);
                let activity = world.activity().await.len();
                let was = world.assignee().await;
                carry_out(&mut world, from, change).await;
                let wanted = match change {
                    Ana => Some("ana".to_owned()),
                    Bo => Some("bo".to_owned()),
                    Nobody => None,
                    // Trackers know people only, and Azure has no teams.
                    Team if from == From::Api => {
                        assert_eq!(told(&world), [""; 0], "{from:?} {change:?}");
                        continue;
                    }
                    Team => None,
                };
                let knows = |has: &Option<String>| *has == wanted;
                let expected = match from {
                    From::Azure => usize::from(!knows(&before[1])),
                    From::Api => before.iter().filter(|has| !knows(has)).count(),
                };
                let told = told(&world);
                let case = format!("{first:?} {second:?} {index}: {change:?}: {told:?}");
                assert_eq!(told.len(), expected, "{case}");
                assert_eq!(
                    at_trackers(&world),
                    [wanted.clone(), wanted.clone()],
                    "{case}"
                );
                let now = world.assignee().await;
                let is = wanted.map(|name| format!("{name}@acme.example"));
                assert_eq!(now, is, "{case}");
                if was.is_some() {
                    let changed = usize::from(was != is);
                    assert_eq!(world.activity().await.len() - activity, changed, "{case}");
                }
            }
        }
    }
    world.without_replay();
    world.finish().await;
}
