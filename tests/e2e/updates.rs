//! Updates that wait in the outbox to be told: the newest of each object, in order, and put off together.

use domain::{MessageId, Timestamp, UpdateSchedule, UpdateShard};
use serde_json::{Value, json};
use store::Store;
use tests::World;

fn organization(world: &World, slug: &str) -> String {
    let items = world.items();
    let guard = items
        .iter()
        .find(|item| item["PK"]["S"] == format!("ORG_SLUG#{slug}"));
    guard.expect("an organization")["organization"]["S"]
        .as_str()
        .expect("an id")
        .to_owned()
}

/// An update of a project that does not exist, as the store writes one.
fn update(shard: &str, object: &str, id: MessageId) -> Value {
    json!({
        "PK": { "S": format!("UPDATES#organization#{shard}") },
        "SK": { "S": format!("UPDATE#project_update#{object}") },
        "id": { "S": id.to_string() }, "scope": { "S": "organization" }, "shard": { "S": shard },
        "category": { "S": "project_update" }, "object": { "S": object },
    })
}

/// The message that goes with it.
fn bell(shard: &Value, id: MessageId) -> Value {
    let due = id.minted().millis();
    let body = json!({ "id": id, "trace": "t", "message": {
        "type": "DrainUpdates.v1", "shard": shard, "due": due,
    } });
    json!({
        "PK": { "S": "OUT#0" }, "SK": { "S": format!("{due:013}#{id}") },
        "queue": { "S": "jobs" }, "body": { "S": body.to_string() },
    })
}

async fn put(world: &World, shard: &str, object: &str, id: MessageId) {
    let shard_of_bell = json!({ "organization": shard });
    let items = vec![update(shard, object, id), bell(&shard_of_bell, id)];
    world.put_items(items).await;
}

fn id(world: &World, n: u128) -> MessageId {
    MessageId::new(world.stack.clock().now(), n)
}

fn told(world: &World) -> Vec<String> {
    let lines = world.logs().into_iter();
    let told = lines.filter(|line| line["message"] == "an update is told");
    told.map(|line| line["update.id"].as_str().unwrap_or_default().to_owned())
        .collect()
}

fn with_key(world: &World, beginning: &str) -> Vec<Value> {
    let items = world.items().into_iter();
    let of = |item: &Value| {
        let key = format!("{} {}", item["PK"]["S"], item["SK"]["S"]).replace('"', "");
        key.starts_with(beginning)
    };
    items.filter(of).collect()
}

#[tokio::test]
async fn two_updates_of_one_object_are_told_as_one_the_newest() {
    let mut world = World::quiet().await;
    let shard = organization(&world, "acme");
    let (first, second) = (id(&world, 1), id(&world, 2));
    put(&world, &shard, "7", first).await;
    put(&world, &shard, "7", second).await;
    put(&world, &shard, "8", id(&world, 3)).await;
    world.settle().await;
    assert_eq!(told(&world).len(), 2);
    assert!(!told(&world).contains(&first.to_string()));
    assert_eq!(with_key(&world, "UPDATES#"), Vec::<Value>::new());
    assert_eq!(with_key(&world, "TOMBSTONE#project_update#7").len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn a_shard_that_cannot_be_told_waits_longer_and_longer_and_no_other_waits_for_it() {
    let mut world = World::quiet().await;
    world
        .operator(json!({ "command": "create-organization", "slug": "other", "name": "Other" }))
        .await;
    let (shard, other) = (organization(&world, "acme"), organization(&world, "other"));
    // Nobody can say whether this project is gone.
    let project = json!({ "PK": { "S": "PROJECT#7" }, "SK": { "S": "META" }, "id": { "S": "?" } });
    world.put_items(vec![project.clone()]).await;
    put(&world, &shard, "7", id(&world, 1)).await;
    put(&world, &shard, "8", id(&world, 2)).await;
    let due = |world: &World| -> Option<(i64, u32)> {
        let found = with_key(world, &format!("UPDATES#organization#{shard} DUE"));
        let number = |name: &str| {
            found[0][name]["N"]
                .as_str()
                .and_then(|n| n.parse::<i64>().ok())
        };
        (!found.is_empty()).then(|| {
            let delay = u32::try_from(number("delay").expect("a delay")).expect("seconds");
            (number("due").expect("a time"), delay)
        })
    };
    let mut delays = Vec::new();
    for _ in 0..13 {
        world.relay().await;
        world.drain("jobs").await;
        let (at, delay) = due(&world).expect("a shard that is put off");
        delays.push(delay);
        // A new update does not hurry a shard that is put off.
        put(&world, &shard, "9", id(&world, 3)).await;
        world.relay().await;
        world.drain("jobs").await;
        assert_eq!(due(&world), Some((at, delay)));
        let wait = at - world.stack.clock().now().millis();
        world.stack.clock().advance(wait.max(0));
        world.stack.step_schedules().await.expect("the schedules");
    }
    let expected = [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600];
    assert_eq!(delays, expected);
    assert_eq!(told(&world), Vec::<String>::new());
    put(&world, &other, "5", id(&world, 4)).await;
    world.relay().await;
    world.drain("jobs").await;
    assert_eq!(told(&world).len(), 1);
    assert_eq!(with_key(&world, "TOMBSTONE#project_update#5").len(), 1);

    world.remove_items(vec![project]).await;
    world.settle().await;
    assert_eq!(with_key(&world, "UPDATES#"), Vec::<Value>::new());
    assert_eq!(with_key(&world, "TOMBSTONE#").len(), 4);
    world.finish().await;
}

fn store(world: &World) -> Store {
    let variables = world.stack.environments()["jobs"].clone();
    let aws = runtime::Env::new(variables, runtime::Clock::default())
        .reader()
        .aws();
    Store::new(&aws.service("DYNAMODB"), "picket")
}

#[tokio::test]
async fn what_comes_while_a_shard_is_told_is_told_the_next_time() {
    let mut world = World::quiet().await;
    let organization = organization(&world, "acme");
    let shard = UpdateShard::Organization(organization.parse().expect("an id"));
    let (first, second) = (id(&world, 1), id(&world, 2));
    world
        .put_items(vec![update(&organization, "7", first)])
        .await;
    // A drain, step by step.
    let store = store(&world);
    let found = store.waiting_updates(shard).await.expect("the table");
    let now = world.stack.clock().now();
    let next = UpdateSchedule::after(found.schedule, now);
    let trace = domain::TraceId::new("t");
    let mine = store.put_off_updates(shard, found.schedule, next, &trace, now);
    assert!(mine.await.expect("the table"));
    let theirs = store.put_off_updates(shard, found.schedule, next, &trace, now);
    assert!(!theirs.await.expect("the table"), "two at once");
    put(&world, &organization, "7", second).await;
    put(&world, &organization, "8", id(&world, 3)).await;
    world.relay().await;
    world.drain("jobs").await;
    assert_eq!(told(&world), Vec::<String>::new(), "another drain is at it");
    for waiting in &found.updates {
        store.update_told(waiting).await.expect("the table");
    }
    store.updates_told(shard, next).await.expect("the table");
    assert_eq!(with_key(&world, "UPDATES#").len(), 2);
    world.settle().await;
    assert_eq!(told(&world).len(), 2);
    assert!(told(&world).contains(&second.to_string()));
    assert_eq!(with_key(&world, "UPDATES#"), Vec::<Value>::new());
    world.finish().await;
}

#[tokio::test]
async fn a_category_of_another_scope_is_refused_and_changes_nothing() {
    let mut world = World::quiet().await;
    world.settle().await;
    let before = world.items();
    let bell = bell(&json!({ "integration": "7" }), id(&world, 1));
    world.put_items(vec![bell]).await;
    world.expect_dead("jobs", 1);
    world.settle().await;
    assert_eq!(world.items(), before);
    world.finish().await;
}

#[tokio::test]
async fn a_transaction_that_is_refused_leaves_no_update() {
    let mut world = World::quiet().await;
    let delete = world.delete("/api/0/projects/acme/web/", "").await;
    assert_eq!(delete.status.as_u16(), 204);
    let organization = organization(&world, "acme").parse().expect("an id");
    let project = world
        .ready
        .project_id
        .as_deref()
        .expect("a project")
        .parse()
        .expect("an id");
    let store = store(&world);
    let stale = store
        .deletion(domain::DeletionRef {
            organization,
            project: Some(project),
        })
        .await
        .expect("the table")
        .expect("a deletion");
    let before = world.items();
    let now = Timestamp::from_millis(1);
    let trace = domain::TraceId::new("t");
    // It has not begun, so the project cannot go.
    let error = store
        .finish_deletion(&stale, &stale.touched(now), &trace, now)
        .await;
    assert!(error.is_err());
    assert_eq!(world.items(), before);
    world.settle().await;
    world.finish().await;
}

#[tokio::test]
async fn whoever_ends_between_telling_and_forgetting_tells_twice_and_it_is_the_same() {
    let mut world = World::quiet().await;
    let shard = organization(&world, "acme");
    for nth in 1_u8.. {
        let object = (100 + u32::from(nth)).to_string();
        put(&world, &shard, &object, id(&world, nth.into())).await;
        world.stack.dynamodb().end_after("jobs", nth.into());
        world.settle().await;
        assert_eq!(
            with_key(&world, "UPDATES#"),
            Vec::<Value>::new(),
            "ended after call {nth}"
        );
        let gone = with_key(&world, &format!("TOMBSTONE#project_update#{object} META"));
        assert_eq!(gone.len(), 1, "ended after call {nth}");
        if world.stack.dynamodb().will_end() {
            assert!(nth > 5, "only {nth} calls");
            break;
        }
    }
    world.finish().await;
}
