//! What is remembered in Redis of a group's owners is forgotten when the assignee goes, and nothing waits
//! for Redis.

use domain::{GroupId, Secret};
use local::{
    client::request,
    trackers::{Mode, Provider},
};
use redis::AsyncCommands;
use serde_json::{Value, json};
use store::{OwnerCache, OwnerCaches, Redis};
use tests::World;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use crate::ordering::store_of;

/// The caches of this world's Redis.
async fn caches(world: &World) -> OwnerCaches {
    let url = Secret::new(world.stack.redis_url().await);
    OwnerCaches::new(Redis::new(&url, store_of(world), || {}).expect("a URL"))
}

fn group(world: &World) -> GroupId {
    let id = world.ready.group_id.as_deref().expect("a seeded issue");
    id.parse().expect("an id")
}

/// Remembers that the group has an assignee and an owner.
async fn fill(caches: &OwnerCaches, group: GroupId) {
    for cache in OwnerCache::ALL {
        caches.remember(cache, group, true).await;
        assert_eq!(caches.recall(cache, group).await, Some(true));
    }
}

/// What is remembered of the group's assignee and owner.
async fn remembered(caches: &OwnerCaches, group: GroupId) -> [Option<bool>; 2] {
    let [assignee, owner] = OwnerCache::ALL;
    [
        caches.recall(assignee, group).await,
        caches.recall(owner, group).await,
    ]
}

const EVERYTHING: [Option<bool>; 2] = [Some(true), Some(true)];
const NOTHING: [Option<bool>; 2] = [None, None];

/// Puts nobody on the seeded issue, through the API.
async fn unassign_here(world: &World) {
    let path = format!("/api/0/issues/{}/", group(world));
    let body = json!({ "assignedTo": null }).to_string();
    let answer = world.put(&path, body).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
}

/// The kinds of the messages in the outbox.
fn waiting(world: &World) -> Vec<String> {
    let items = world.items().into_iter();
    let bodies = items.filter_map(|item| item["body"]["S"].as_str().map(str::to_owned));
    let kind = |body: String| {
        let envelope: Value = serde_json::from_str(&body).expect("an envelope");
        envelope["message"]["type"]
            .as_str()
            .expect("a type")
            .to_owned()
    };
    bodies.map(kind).collect()
}

#[tokio::test]
async fn an_entry_lives_as_long_as_it_may_be_so() {
    let world = World::quiet().await;
    let caches = caches(&world).await;
    let group = group(&world);
    let client = redis::Client::open(world.stack.redis_url().await).expect("a URL");
    let mut connection = client
        .get_multiplexed_async_connection()
        .await
        .expect("Redis");
    for (cache, exists, key, seconds) in [
        (OwnerCache::AssigneeExists, true, "assignee_exists", 86_400),
        (OwnerCache::AssigneeExists, false, "assignee_exists", 60),
        (OwnerCache::OwnerExists, true, "owner_exists", 86_400),
        (OwnerCache::OwnerExists, false, "owner_exists", 86_400),
    ] {
        caches.remember(cache, group, exists).await;
        assert_eq!(caches.recall(cache, group).await, Some(exists));
        let ends: i64 = connection
            .ttl(format!("{key}:1:{group}"))
            .await
            .expect("Redis");
        // The seconds that are left are rounded to the nearest.
        assert!(
            (seconds - 1..=seconds).contains(&ends),
            "{key} {exists}: {ends}"
        );
    }
    world.finish().await;
}

#[tokio::test]
async fn an_unassignment_at_the_tracker_clears_both_caches() {
    let mut world = World::start().await;
    let (caches, group) = (caches(&world).await, group(&world));
    fill(&caches, group).await;
    world.assign(1, world.ana()).await;
    world.settle().await;
    assert_eq!(
        remembered(&caches, group).await,
        EVERYTHING,
        "an assignment leaves them alone"
    );
    world.unassign(2).await;
    world.settle().await;
    assert_eq!(remembered(&caches, group).await, NOTHING);
    assert_eq!(
        world.activity().await,
        ["assigned ana@acme.example", "unassigned"]
    );
    world.finish().await;
}

#[tokio::test]
async fn unassigning_an_unassigned_issue_leaves_the_caches_alone() {
    let mut world = World::start().await;
    let (caches, group) = (caches(&world).await, group(&world));
    fill(&caches, group).await;
    world.unassign(1).await;
    unassign_here(&world).await;
    world.settle().await;
    assert_eq!(remembered(&caches, group).await, EVERYTHING);
    assert_eq!(world.activity().await, [""; 0]);
    assert_eq!(world.stack.trackers().writes().len(), 0);
    world.finish().await;
}

#[tokio::test]
async fn an_unassignment_here_clears_both_caches_and_tells_as_many_trackers_as_there_can_be() {
    let mut world = World::start().await;
    let (caches, group) = (caches(&world).await, group(&world));
    for key in 101..=106 {
        world
            .operator(json!({
                "command": "link-external-issue", "organization": "acme", "issue": "WEB-1",
                "integration": world.integration(), "key": key.to_string(),
            }))
            .await;
    }
    world.assign(1, world.ana()).await;
    world.settle().await;
    fill(&caches, group).await;
    unassign_here(&world).await;
    let mut kinds = waiting(&world);
    kinds.sort();
    let (clear, pushes) = kinds.split_first().expect("messages");
    assert_eq!(clear, "ClearOwnerCaches.v1");
    assert_eq!(pushes, ["PushAssignee.v1"; 8]);
    world.settle().await;
    assert_eq!(remembered(&caches, group).await, NOTHING);
    assert_eq!(world.assignee().await, None);
    world.finish().await;
}

/// Brings the removal of Ana as far as its own queue.
async fn held_removal() -> World {
    let mut world = World::start().await;
    world.assign(1, world.ana()).await;
    world.settle().await;
    world.unassign(2).await;
    world.drain("issue-sync").await;
    world.relay().await;
    world
}

#[tokio::test]
async fn a_removal_that_died_before_it_came_to_the_caches_clears_them_when_it_comes_again() {
    let mut world = held_removal().await;
    let (caches, group) = (caches(&world).await, group(&world));
    fill(&caches, group).await;
    let body = world.stack.sqs().messages("deassign").remove(0);
    let envelope: domain::Envelope = serde_json::from_str(&body).expect("a message");
    let domain::Message::Deassign(message) = &envelope.message else {
        panic!("{body}");
    };
    let cause = store::Cause {
        origin: &message.origin,
        facet: domain::Facet::Assignee,
        rule: None,
        handed_over: false,
        trace: &envelope.trace,
        now: world.stack.clock().now(),
    };
    let store = store_of(&world);
    let state = store.group_state(group).await.expect("a state");
    let decide = |state: &_| domain::deassign(state, message);
    let decision = store.change_group(state, decide, &cause).await;
    let decision = decision.expect("a table").expect("a group");
    assert_eq!(decision.outcome, domain::Outcome::Applied);
    assert_eq!(remembered(&caches, group).await, EVERYTHING, "it died here");
    world.settle().await;
    assert_eq!(remembered(&caches, group).await, NOTHING);
    assert_eq!(world.activity().await.len(), 2);
    world.finish().await;
}

#[tokio::test]
async fn a_redis_that_is_killed_on_the_way_holds_up_nothing() {
    let mut world = held_removal().await;
    world.stack.kill_redis().await;
    world.drain("deassign").await;
    assert_eq!(world.assignee().await, None, "the removal does not wait");
    world.relay().await;
    let clears = waiting(&world);
    assert!(
        clears.contains(&"ClearOwnerCaches.v1".to_owned()),
        "{clears:?}"
    );
    // For as long as anything could still be remembered, and then no longer.
    world.settle().await;
    assert_eq!(waiting(&world), [""; 0]);
    assert_eq!(
        world.activity().await,
        ["assigned ana@acme.example", "unassigned"]
    );
    assert_eq!(world.stack.trackers().jira_issue("WEB-7"), None);
    world.assign(3, world.bo()).await;
    world.settle().await;
    assert_eq!(world.assignee().await.as_deref(), Some(world.bo()));
    let said = |text: &str| {
        let logs = world.logs().into_iter();
        logs.filter(|line| line["message"] == text).count()
    };
    assert!(said("the caches are cleared later") > 20);
    assert!(said("the caches have ended by themselves") > 0);
    world.finish().await;
}

#[tokio::test]
async fn a_redis_that_is_killed_after_an_unassignment_here_holds_up_nothing_either() {
    let mut world = World::start().await;
    world.assign(1, world.ana()).await;
    world.settle().await;
    unassign_here(&world).await;
    assert_eq!(world.assignee().await, None);
    world.relay().await;
    // The trackers have trouble of their own.
    for tracker in [Provider::Vsts, Provider::JiraServer] {
        let trackers = world.stack.trackers();
        trackers.set_mode_for(tracker, Mode::Failing, 2);
    }
    world.stack.kill_redis().await;
    world.settle_now().await;
    let mut kinds = waiting(&world);
    kinds.sort();
    kinds.dedup();
    assert_eq!(kinds, ["ClearOwnerCaches.v1", "PushAssignee.v1"]);
    let again = world.stack.move_redis(&local::cache()).await;
    again.expect("another Redis");
    let scheduled = world.stack.step_schedules().await;
    scheduled.expect("the relay asks ElastiCache");
    // Somebody remembers what was so before.
    let (caches, group) = (caches(&world).await, group(&world));
    fill(&caches, group).await;
    world.settle().await;
    assert_eq!(remembered(&caches, group).await, NOTHING);
    assert_eq!(world.stack.trackers().jira_issue("WEB-7"), None);
    assert_eq!(world.stack.trackers().work_item(31).assignee, None);
    world.finish().await;
}

#[tokio::test]
async fn what_could_not_be_cleared_is_cleared_when_redis_is_back() {
    let mut world = held_removal().await;
    world.stack.kill_redis().await;
    world.drain("deassign").await;
    assert_eq!(world.assignee().await, None);
    world
        .stack
        .move_redis(&local::cache())
        .await
        .expect("another Redis");
    // The relay asks ElastiCache. Faults may fail a sweep; the next one goes on.
    while world.stack.step_schedules().await.is_err() {}
    // Somebody remembers what was so before.
    let (caches, group) = (caches(&world).await, group(&world));
    fill(&caches, group).await;
    world.settle().await;
    assert_eq!(remembered(&caches, group).await, NOTHING);
    assert_eq!(world.assignee().await, None);
    world.finish().await;
}

#[tokio::test]
async fn without_redis_nothing_is_remembered_and_nobody_waits() {
    let world = World::quiet().await;
    let (caches, group) = (caches(&world).await, group(&world));
    fill(&caches, group).await;
    world.stack.kill_redis().await;
    assert_eq!(remembered(&caches, group).await, NOTHING);
    caches
        .remember(OwnerCache::AssigneeExists, group, true)
        .await;
    let error = caches.clear(&[group]).await.unwrap_err().to_string();
    assert!(error.starts_with("the caches of owners cannot be cleared"));
    world.finish().await;
}

/// Makes more groups of the seeded project like this one's item: it and they were last seen then.
async fn make_groups(world: &World, like: &Value, count: u64) -> Vec<GroupId> {
    let id = |item: &Value| -> GroupId {
        let key = item["PK"]["S"].as_str().expect("a key");
        let id = key.strip_prefix("GROUP#").expect("a group's key");
        id.parse().expect("an id")
    };
    let first = id(like);
    let groups: Vec<_> = (0..count)
        .map(|n| GroupId::new(first.number() - 1 - n).expect("an id"))
        .collect();
    for batch in groups.chunks(25) {
        let put = |group: &GroupId| {
            let item = like.to_string();
            let item: Value =
                serde_json::from_str(&item.replace(&first.to_string(), &group.to_string()))
                    .expect("an item");
            json!({ "PutRequest": { "Item": item } })
        };
        let puts: Vec<_> = batch.iter().map(put).collect();
        let headers = [
            ("x-amz-target", "DynamoDB_20120810.BatchWriteItem"),
            ("content-type", "application/x-amz-json-1.0"),
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=test/20261121/us-east-1/dynamodb/aws4_request, \
                 SignedHeaders=host, Signature=0",
            ),
            ("x-amz-date", "20261121T000000Z"),
        ];
        let body = json!({ "RequestItems": { "picket": puts } }).to_string();
        let url = world.stack.dynamodb().endpoint();
        let answer = request(hyper::Method::POST, &url, &headers, body).await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    }
    groups
}

/// How many keys each deletion in Redis names, from now on until `done` is heard.
async fn deletions(world: &World) -> tokio::task::JoinHandle<Vec<usize>> {
    let url = world.stack.redis_url().await;
    let address = url.strip_prefix("redis://").expect("a URL").to_owned();
    let mut stream = BufReader::new(TcpStream::connect(address).await.expect("Redis"));
    stream.write_all(b"MONITOR\r\n").await.expect("Redis");
    let mut line = String::new();
    stream.read_line(&mut line).await.expect("an answer");
    assert_eq!(line, "+OK\r\n");
    tokio::spawn(async move {
        let mut sizes = Vec::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.expect("a line");
            if line.contains("\"ECHO\" \"done\"") {
                return sizes;
            }
            if line.contains("\"UNLINK\"") {
                sizes.push(line.matches("_exists:1:").count());
            }
        }
    })
}

#[tokio::test]
async fn a_projects_caches_are_cleared_by_the_thousand_for_groups_seen_within_a_day() {
    const HOUR: i64 = 60 * 60 * 1000;
    let world = World::quiet().await;
    let (caches, old) = (caches(&world).await, group(&world));
    world.stack.clock().advance(HOUR + 60_000);
    let older_project = world
        .operator(
            json!({ "command": "create-project", "organization": "acme", "team": "web-team",
            "slug": "other", "name": "Other" }),
        )
        .await;
    assert_eq!(older_project["created"], true, "{older_project}");
    let issue = |project: &str| json!({ "command": "create-issue", "organization": "acme", "project": project, "title": "New" });
    let id = |answer: Value| -> GroupId {
        let id = answer["issue"]["id"].as_str().expect("an id");
        id.parse().expect("an id")
    };
    let elsewhere = id(world.operator(issue("other")).await);
    let newest = id(world.operator(issue("web")).await);
    let items = world.items();
    let like = items
        .iter()
        .find(|item| item["PK"]["S"] == format!("GROUP#{newest}") && item["SK"]["S"] == "META");
    let groups = make_groups(&world, like.expect("the group's item"), 2499).await;
    // The others were seen a minute less than 24 hours ago, and the first one 25 hours.
    world.stack.clock().advance(24 * HOUR - 60_000);
    for group in [old, elsewhere, newest, groups[0], groups[2498]] {
        fill(&caches, group).await;
    }
    let heard = deletions(&world).await;
    let command =
        json!({ "command": "clear-owner-caches", "organization": "acme", "project": "web" });
    let answer = world.operator(command.clone()).await;
    assert_eq!(answer, json!({ "project": "web", "issues": 2500 }));
    let client = redis::Client::open(world.stack.redis_url().await).expect("a URL");
    let mut connection = client
        .get_multiplexed_async_connection()
        .await
        .expect("Redis");
    let echo: String = redis::cmd("ECHO")
        .arg("done")
        .query_async(&mut connection)
        .await
        .expect("Redis");
    assert_eq!(echo, "done");
    let sizes = heard.await.expect("no panic");
    assert_eq!(
        sizes,
        [1000, 1000, 1000, 1000, 500, 500],
        "of either family"
    );
    for group in [newest, groups[0], groups[2498]] {
        assert_eq!(remembered(&caches, group).await, NOTHING);
    }
    for group in [old, elsewhere] {
        assert_eq!(remembered(&caches, group).await, EVERYTHING);
    }

    world.stack.kill_redis().await;
    let error = world
        .stack
        .invoke("operator", command.to_string())
        .await
        .unwrap_err();
    assert!(
        error.contains("the caches of owners cannot be cleared"),
        "{error}"
    );
    world.finish().await;
}

#[tokio::test]
async fn nothing_is_remembered_of_the_groups_of_a_deleted_project() {
    let mut world = World::start().await;
    world
        .operator(
            json!({ "command": "create-project", "organization": "acme", "team": "web-team",
            "slug": "shop", "name": "Shop" }),
        )
        .await;
    let made = world
        .operator(
            json!({ "command": "create-issue", "organization": "acme", "project": "shop",
            "title": "Broken" }),
        )
        .await;
    let gone: GroupId = serde_json::from_value(made["issue"]["id"].clone()).expect("an id");
    let (caches, stays) = (caches(&world).await, group(&world));
    fill(&caches, gone).await;
    fill(&caches, stays).await;
    let answer = world.delete("/api/0/projects/acme/shop/", "").await;
    assert_eq!(answer.status.as_u16(), 204);
    world.settle().await;
    assert_eq!(remembered(&caches, gone).await, NOTHING);
    assert_eq!(remembered(&caches, stays).await, EVERYTHING);
    world.finish().await;
}
