//! Snowflake ids against a real Redis.

use std::{collections::BTreeSet, sync::Arc};

use domain::{Fault, Secret, Snowflake, SnowflakeModel, TeamId, Timestamp};
use local::redis::Redis;
use runtime::Env;
use serde_json::{Value, json};
use store::{Insert, SequenceError, Sequences, Store};
use tests::World;

/// 2024-07-01T12:00:00Z, when 59,918,400 seconds of the epoch are over.
const NOW: Timestamp = Timestamp::from_millis(1_719_835_200_000);
const SECONDS: u64 = 59_918_400;

async fn sequences(region: u16) -> (Redis, Sequences) {
    let redis = Redis::start(&local::cache()).await.expect("a Redis");
    // Nobody has heard of another address.
    let aws = Env::default().reader().aws();
    let store = Store::new(&aws.service("DYNAMODB"), "none");
    let connection = store::Redis::new(&Secret::new(redis.url()), store, || {}).expect("a URL");
    (redis, Sequences::new(connection, region))
}

#[tokio::test]
async fn the_first_and_the_seventeenth_id_of_a_second_are_the_specified_ones() {
    let (_redis, sequences) = sequences(1).await;
    let mut ids = Vec::new();
    for _ in 0..17 {
        ids.push(sequences.next(SnowflakeModel::Project, NOW).await.unwrap());
    }
    assert_eq!(ids[0], 4_507_526_439_632_912);
    assert_eq!(ids[15], 4_507_526_439_632_927);
    assert_eq!(ids[16], 4_507_526_439_567_376, "one second back");
    // Every model has its own sequence.
    let team = sequences.next(SnowflakeModel::Team, NOW).await.unwrap();
    assert_eq!(team, ids[0]);
}

#[tokio::test]
async fn a_window_gives_every_id_once_and_then_says_that_none_is_left() {
    let (redis, sequences) = sequences(0).await;
    let sequences = Arc::new(sequences);
    let callers = (0..64).map(|_| {
        let sequences = sequences.clone();
        tokio::spawn(async move {
            let mut ids = Vec::new();
            loop {
                match sequences.next(SnowflakeModel::Project, NOW).await {
                    Ok(id) => ids.push(id),
                    Err(SequenceError::Exhausted) => return ids,
                    Err(error) => panic!("{error}"),
                }
            }
        })
    });
    let mut all = BTreeSet::new();
    for caller in callers.collect::<Vec<_>>() {
        for id in caller.await.unwrap() {
            assert!(all.insert(id), "{id} was given twice");
        }
    }
    let oldest = Snowflake::decode(*all.first().unwrap());
    assert!(oldest.seconds >= SECONDS - 299, "{oldest:?}");

    let mut connection = connect(&redis).await;
    let mut calls = 0_usize;
    for line in commands(&mut connection).await {
        if let Some(count) = line.strip_prefix("cmdstat_evalsha:calls=") {
            calls = count.split(',').next().unwrap().parse().unwrap();
        }
    }
    // One call for each id and each refusal; at the start each caller may have had to bring the script
    // along. An answer that a busy machine gave too late was asked for again, and its id is lost.
    let (given, refusals) = (all.len(), 64);
    let repeated = calls - given - refusals;
    assert!(
        given <= 4800 && given + repeated >= 4800,
        "{given} ids, {repeated} repeated"
    );
    assert!(calls <= 4800 + refusals + 480, "{calls} calls");
}

async fn connect(redis: &Redis) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(redis.url()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

async fn commands(connection: &mut redis::aio::MultiplexedConnection) -> Vec<String> {
    let info: String = redis::cmd("INFO")
        .arg("commandstats")
        .query_async(connection)
        .await
        .unwrap();
    info.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_counter_lives_for_five_minutes_and_does_not_grow_past_its_room() {
    let (redis, sequences) = sequences(0).await;
    for _ in 0..40 {
        sequences
            .next(SnowflakeModel::Organization, NOW)
            .await
            .unwrap();
    }
    let mut connection = connect(&redis).await;
    for (second, count) in [(SECONDS, 16), (SECONDS - 1, 16), (SECONDS - 2, 8)] {
        let key = format!("snowflake:{{organization}}:{second}");
        let taken: u64 = redis::cmd("GET")
            .arg(&key)
            .query_async(&mut connection)
            .await
            .unwrap();
        let left: u64 = redis::cmd("TTL")
            .arg(&key)
            .query_async(&mut connection)
            .await
            .unwrap();
        assert_eq!(taken, count, "{key}");
        assert!((290..=300).contains(&left), "{key} lives {left} s");
    }
}

#[tokio::test]
async fn before_the_epoch_there_is_no_id() {
    let (_redis, sequences) = sequences(0).await;
    let next = sequences
        .next(SnowflakeModel::Team, Timestamp::from_millis(0))
        .await;
    assert!(matches!(next, Err(SequenceError::Exhausted)));
}

#[tokio::test]
async fn a_lost_redis_makes_no_duplicate_row() {
    let world = World::start().await;
    let run = async |command: Value| world.operator(command).await;
    let team = |organization: &str, slug: &str| json!({ "command": "create-team", "organization": organization, "slug": slug, "name": slug });
    run(json!({ "command": "create-organization", "slug": "beta", "name": "Beta" })).await;
    run(team("acme", "one")).await;
    let client = redis::Client::open(world.stack.redis_url().await).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let _: () = redis::cmd("FLUSHALL")
        .query_async(&mut connection)
        .await
        .unwrap();
    // The counters are gone: the same ids come again, for other organizations as well, and are
    // passed over.
    run(team("beta", "two")).await;
    run(team("acme", "three")).await;
    let items = world.items();
    let teams = items
        .iter()
        .filter_map(|item| item["PK"]["S"].as_str()?.strip_prefix("TEAM#"));
    assert_eq!(
        teams.collect::<BTreeSet<_>>().len(),
        4,
        "web-team, one, two and three"
    );
    world.finish().await;
}

#[tokio::test]
async fn an_id_that_stays_taken_is_given_up_after_five_tries() {
    let (_redis, sequences) = sequences(0).await;
    let tries = std::sync::atomic::AtomicUsize::new(0);
    let insert = |_: TeamId| {
        tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        async { Ok::<Insert<()>, Fault>(Insert::IdTaken) }
    };
    let saved = sequences.save_with_snowflake_id(NOW, insert).await;
    let Err(Fault::Client(domain::ClientFault::Conflict(text))) = saved else {
        panic!("{saved:?}");
    };
    assert_eq!(
        text,
        "Max allowed ID retry reached. Please try again in a second"
    );
    assert_eq!(tries.into_inner(), 5);
}

#[tokio::test]
async fn without_redis_only_new_ids_wait() {
    let mut world = World::quiet().await;
    world.stack.kill_redis().await;
    world.assign(1, world.ana()).await;
    world.settle().await;
    assert_eq!(world.assignee().await.as_deref(), Some("ana@acme.example"));
    let found = json!({ "command": "create-organization", "slug": "acme", "name": "Acme" });
    assert_eq!(
        world.operator_raw(found).await["created"],
        false,
        "what is there needs no id"
    );
    let new = json!({ "command": "create-organization", "slug": "new", "name": "New" });
    let error = world
        .stack
        .invoke("operator", new.to_string())
        .await
        .unwrap_err();
    assert!(
        error.contains("the snowflake sequence cannot be reached"),
        "{error}"
    );
    world.finish().await;
}
