//! Changes from every side while everything fails now and then: in the end all sides agree, nothing was
//! told twice without need, and every delivery has its end.

use std::collections::BTreeSet;

use local::trackers::{Mode, Provider, Request};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};
use tests::World;

/// How many changes; `CHANGES=1000` for a long run.
const CHANGES: usize = 60;

#[expect(clippy::disallowed_methods, reason = "for those who want more of it")]
fn number(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Whom a write names.
fn value(request: &Request) -> String {
    let value = match request.provider {
        Some(Provider::Vsts) => &request.body[0]["value"],
        Some(Provider::JiraServer | Provider::Github) | None => &request.body["name"],
    };
    let name = value.as_str().unwrap_or("nobody").to_lowercase();
    name.split('@').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn when_the_faults_end_the_trackers_and_the_issue_agree() {
    let seed = number("SEED", rand::random());
    println!("SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut world = World::start().await;
    // What is redelivered at the end comes after changes that had no order among themselves.
    world.without_replay();
    let trackers = world.stack.trackers().clone();
    trackers.set_token_lifetime(1_000_000);
    for (provider, seed) in [(Provider::Vsts, seed), (Provider::JiraServer, !seed)] {
        trackers.set_mode(provider, Mode::Faults { rate: 0.3, seed });
    }
    world.stack.sqs().set_failure_rate(0.3, seed);
    let group = world.ready.group_id.clone().expect("a seeded issue");
    let path = format!("/api/0/issues/{group}/");
    let people = [Some("ana"), Some("bo"), None];
    let changes = usize::try_from(number("CHANGES", 0))
        .unwrap_or(0)
        .max(CHANGES);
    // The requests after which a user of Azure changed the work item.
    let mut by_users = BTreeSet::new();
    for _ in 0..changes {
        let who = people.choose(&mut random).copied().flatten();
        let address = who.map(|who| format!("{who}@acme.example"));
        if random.random_bool(0.5) {
            trackers.change_as_user(Provider::Vsts, "31", address.as_deref());
            by_users.insert(trackers.requests().len());
        } else {
            let body = json!({ "assignedTo": address }).to_string();
            let answer = world.put(&path, body).await;
            assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
        }
        // Some of what follows happens before the next change, and some much later.
        for _ in 0..random.random_range(0..4) {
            match random.random_range(0..5) {
                0 => drop(world.stack.step_stream(2).await),
                1 => drop(trackers.deliver_hooks().await),
                2 => drop(world.step("issue-sync").await),
                3 => drop(world.step("deassign").await),
                _ => drop(world.step("outbound-sync").await),
            }
        }
    }
    // Whatever a person did at Azure so far is known here; then somebody decides once more.
    world.stack.sqs().set_failure_rate(0.0, seed);
    while !trackers.hooks().is_empty() {
        trackers.deliver_hooks().await;
    }
    for queue in ["issue-sync", "deassign"] {
        world.drain(queue).await;
        world.relay().await;
    }
    let last = people.choose(&mut random).copied().flatten();
    let last = last.map(|who| format!("{who}@acme.example"));
    let body = json!({ "assignedTo": last }).to_string();
    assert_eq!(world.put(&path, body).await.status.as_u16(), 200);
    for _ in 0..4 {
        world.relay().await;
        world.step("outbound-sync").await;
        world.stack.clock().advance(15_000);
    }
    trackers.set_mode(Provider::Vsts, Mode::Ok);
    trackers.set_mode(Provider::JiraServer, Mode::Ok);
    // Most of what is left are pushes, which are handled one at a time.
    world.settle_within(300 + 5 * changes).await;

    let here = world.assignee().await;
    assert_eq!(here, last, "what was decided last");
    let at_azure = trackers.work_item(31).assignee.map(|it| it.to_lowercase());
    let at_jira = trackers.jira_issue("WEB-7");
    let name = |email: &String| email.split('@').next().map(str::to_owned);
    assert_eq!(at_azure, here, "Azure DevOps and the issue");
    assert_eq!(at_jira, here.as_ref().and_then(name), "Jira and the issue");

    // What a tracker took and said so is not written once more while nobody else changed it. An answer that
    // is too long to be read is as good as lost; its status is none.
    let unread = |line: &Value| line["detail"] == "the tracker's answer cannot be read";
    let unread = world.logs().into_iter().filter(unread).count();
    let mut repeated = 0;
    for provider in [Provider::Vsts, Provider::JiraServer] {
        let requests = trackers.requests().into_iter().enumerate();
        let writes = requests.filter(|(_, request)| {
            request.provider == Some(provider) && ["PATCH", "PUT"].contains(&&*request.method)
        });
        let (mut last, mut distinct) = (None::<(usize, String)>, 0);
        for (index, request) in writes {
            let taken = request.status.is_some_and(|status| status < 300);
            let written = value(&request);
            match &last {
                Some((before, said)) if *said == written => {
                    let by_user = by_users.range(before + 1..=index).next().is_some();
                    let changed = provider == Provider::Vsts && by_user;
                    repeated += usize::from(!changed);
                }
                Some(_) | None => distinct += usize::from(taken),
            }
            last = taken.then_some((index, written));
        }
        assert!(
            distinct <= changes,
            "{provider:?} was told more than was decided"
        );
    }
    assert!(
        repeated <= unread,
        "{repeated} writes were made twice, {unread} answers unread"
    );
    println!("{changes} changes, {repeated} repeated, {unread} answers unread");

    // Every delivery, and every telling, came to one end.
    let items = world.items();
    let ends: Vec<&Value> = items
        .iter()
        .filter(|item| {
            item["SK"]["S"]
                .as_str()
                .is_some_and(|sk| sk.starts_with("SYNC#"))
        })
        .collect();
    for end in &ends {
        let outcome = end["outcome"]["S"].as_str().unwrap_or_default();
        assert!(
            ["applied", "superseded", "suppressed"].contains(&outcome),
            "{outcome}"
        );
    }
    let inbound = ends.iter().filter(|end| end["direction"]["S"] == "inbound");
    let delivered = |line: &Value| line["message"] == "accepted a delivery";
    let accepted = world.logs().into_iter().filter(delivered).count();
    assert_eq!(inbound.count(), accepted, "one end for each delivery");

    // Each change has an end for each tracker that it does not come from. What was told besides follows from
    // a tracker's word of our own writing.
    let told = ends
        .iter()
        .filter(|end| end["direction"]["S"] == "outbound");
    let told: BTreeSet<_> = told.filter_map(|end| end["SK"]["S"].as_str()).collect();
    let links = [
        (world.integration(), "31"),
        (world.integration_of("jira_server"), "WEB-7"),
    ];
    let to = |cause: &str, from_tracker: bool| {
        let others = links.iter().skip(usize::from(from_tracker));
        let key = |(integration, issue): &(String, &str)| {
            format!("SYNC#{cause}#assignee#out#{integration}/{issue}")
        };
        others.map(key).collect::<Vec<_>>()
    };
    let activities = items.iter().filter(|item| {
        let key = item["SK"]["S"].as_str().unwrap_or_default();
        key.starts_with("ACT#")
    });
    let mut expected = BTreeSet::new();
    for origin in activities.map(|activity| &activity["origin"]["M"]) {
        let by_tracker = origin["tracker"]["M"]["delivery"]["S"].as_str();
        let cause = by_tracker.or(origin["api"]["M"]["request"]["S"].as_str());
        expected.extend(to(cause.expect("a cause"), by_tracker.is_some()));
    }
    assert!(expected.len() > changes / 2);
    let missing: Vec<_> = expected
        .iter()
        .filter(|key| !told.contains(key.as_str()))
        .collect();
    assert!(missing.is_empty(), "without an end: {missing:?}");
    let echo = |key: &&&str| {
        let cause = key.split('#').nth(1).unwrap_or_default();
        ends.iter().any(|end| {
            end["SK"]["S"] == format!("SYNC#{cause}#assignee#in").as_str()
                && end["reason"]["S"] == "echo"
        })
    };
    let besides = told.iter().filter(|key| !expected.contains(**key));
    let besides: Vec<_> = besides.filter(|key| !echo(key)).collect();
    // And from confirming what a removal on its way would have undone: its tracker is told that it did not.
    let undone = ends
        .iter()
        .filter(|end| end["outcome"]["S"] == "superseded");
    let undone = undone
        .filter(|end| end["direction"]["S"] == "inbound")
        .count();
    assert!(
        besides.len() <= undone,
        "told without a change: {besides:?}"
    );
    world.finish().await;
}
