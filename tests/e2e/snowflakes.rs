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

async fn sequences(region: &str) -> (Redis, Sequences) {
    let redis = Redis::start(&local::cache()).await.expect("a Redis");
    // Nobody has heard of another address.
    let aws = Env::default().reader().aws();
    let store = Store::new(&aws.service("DYNAMODB"), "none");
    let connection = store::Redis::new(&Secret::new(redis.url()), store, || {}).expect("a URL");
    (redis, Sequences::new(connection, region.parse().unwrap()))
}

#[tokio::test]
async fn the_first_and_the_seventeenth_id_of_a_second_are_the_specified_ones() {
    let (_redis, sequences) = sequences("1").await;
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
    let (redis, sequences) = sequences("0").await;
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
    connect_to(&redis.url()).await
}

async fn connect_to(url: &str) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(url).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

/// Says something to Redis.
async fn say<T: redis::FromRedisValue>(
    connection: &mut redis::aio::MultiplexedConnection,
    words: &[&str],
) -> T {
    let mut command = redis::cmd(words[0]);
    words[1..].iter().for_each(|word| {
        command.arg(word);
    });
    command.query_async(connection).await.unwrap()
}

fn counter(model: &str, second: u64) -> String {
    format!("snowflake:{{{model}}}:{second}")
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
    let (redis, sequences) = sequences("0").await;
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
    let (_redis, sequences) = sequences("0").await;
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
    let mut connection = connect_to(&world.stack.redis_url().await).await;
    let _: () = say(&mut connection, &["FLUSHALL"]).await;
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
    let (_redis, sequences) = sequences("0").await;
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

#[tokio::test]
async fn ids_of_a_second_follow_one_another_and_then_come_those_of_the_seconds_before() {
    let (_redis, sequences) = sequences("0").await;
    let mut ids = Vec::new();
    for _ in 0..33 {
        ids.push(sequences.next(SnowflakeModel::Team, NOW).await.unwrap());
    }
    assert_eq!(ids[0], 4_507_526_439_632_896);
    let expected = (0..33_u64).map(|n| ids[0] + n % 16 - ((n / 16) << 16));
    assert!(ids.iter().copied().eq(expected), "{ids:?}");
}

#[tokio::test]
async fn the_one_second_with_room_is_found_in_one_call_and_a_full_window_refuses_at_once() {
    let (redis, sequences) = sequences("0").await;
    let mut connection = connect(&redis).await;
    let free = SECONDS - 137;
    for second in SECONDS - 299..=SECONDS {
        let count = if second == free { "15" } else { "16" };
        let _: () = say(&mut connection, &["SET", &counter("team", second), count]).await;
    }
    let id = sequences.next(SnowflakeModel::Team, NOW).await.unwrap();
    let found = Snowflake::decode(id);
    assert_eq!((found.seconds, found.sequence), (free, 15));
    let refused = sequences.next(SnowflakeModel::Team, NOW).await.unwrap_err();
    assert_eq!(refused.to_string(), "No available ID");
    for second in SECONDS - 299..=SECONDS {
        let count: u64 = say(&mut connection, &["GET", &counter("team", second)]).await;
        assert_eq!(count, 16, "no counter grows or is begun anew");
    }
    let older: Option<u64> = say(&mut connection, &["GET", &counter("team", SECONDS - 300)]).await;
    assert_eq!(older, None, "nothing is looked for beyond the window");
}

#[tokio::test]
async fn a_counters_life_counts_from_its_first_use() {
    let (redis, sequences) = sequences("0").await;
    let mut connection = connect(&redis).await;
    let key = counter("team", SECONDS);
    sequences.next(SnowflakeModel::Team, NOW).await.unwrap();
    // As if most of it were over.
    let _: () = say(&mut connection, &["EXPIRE", &key, "100"]).await;
    sequences.next(SnowflakeModel::Team, NOW).await.unwrap();
    let left: u64 = say(&mut connection, &["TTL", &key]).await;
    assert!(left <= 100, "{left}");
    let taken: u64 = say(&mut connection, &["GET", &key]).await;
    assert_eq!(taken, 2);
}

#[tokio::test]
async fn four_ids_that_are_taken_are_made_up_for_by_the_fifth_and_a_taken_name_by_none() {
    let (_redis, sequences) = sequences("0").await;
    let seen = std::sync::Mutex::new(Vec::new());
    let insert = |id: TeamId| {
        let tries = {
            let mut seen = seen.lock().unwrap();
            seen.push(id);
            seen.len()
        };
        async move {
            Ok::<_, Fault>(match tries {
                1..=4 => Insert::IdTaken,
                _ => Insert::Made(id),
            })
        }
    };
    let saved = sequences.save_with_snowflake_id(NOW, insert).await.unwrap();
    let tried = seen.lock().unwrap().clone();
    assert_eq!(tried.len(), 5);
    assert_eq!(
        tried.iter().collect::<BTreeSet<_>>().len(),
        5,
        "each another one"
    );
    assert_eq!(saved, tried.last().copied());

    let tries = std::sync::atomic::AtomicUsize::new(0);
    let insert = |_: TeamId| {
        tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        async { Ok::<Insert<()>, Fault>(Insert::NameTaken) }
    };
    let saved = sequences.save_with_snowflake_id(NOW, insert).await.unwrap();
    assert_eq!((saved, tries.into_inner()), (None, 1));
}

#[tokio::test]
async fn a_full_window_makes_a_new_project_wait_and_is_no_conflict() {
    let world = World::quiet().await;
    let mut connection = connect_to(&world.stack.redis_url().await).await;
    let now = Snowflake::seconds_at(world.stack.clock().now());
    // The seconds that the test may take as well.
    for second in now - 300..now + 120 {
        let _: () = say(&mut connection, &["SET", &counter("project", second), "16"]).await;
    }
    let token = world.ready.auth_token.clone().unwrap();
    let path = "/api/0/teams/acme/web-team/projects/";
    let body = json!({ "name": "x" });
    let answer = world
        .request_as(&token, hyper::Method::POST, path, Some(&body))
        .await;
    assert_eq!(answer.status.as_u16(), 503, "{}", answer.text());
    assert_eq!(answer.headers["retry-after"], "1");
    // Another model has its own.
    let team = json!({ "slug": "free" });
    let made = world
        .post_json("/api/0/organizations/acme/teams/", &team)
        .await;
    assert_eq!(made.status.as_u16(), 201, "{}", made.text());
    world.finish().await;
}

/// How many teams, by how many callers.
const ROWS: usize = 480;
const CALLERS: usize = 64;

/// What the callers have in common.
struct Rush {
    sequences: Sequences,
    store: Store,
    organization: domain::OrganizationId,
    redis: String,
    /// How many ids were asked for: what drives the clock and the losses.
    calls: std::sync::atomic::AtomicUsize,
}

impl Rush {
    /// The time jumps five minutes ahead and back with every 25 calls, and at two of them Redis forgets.
    async fn now(&self) -> Timestamp {
        let call = self
            .calls
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if [ROWS / 3, ROWS * 2 / 3].contains(&call) {
            let _: () = say(&mut connect_to(&self.redis).await, &["FLUSHALL"]).await;
        }
        NOW.plus([0, 300_000, -300_000][call / 25 % 3])
    }

    async fn save(&self, n: usize) -> TeamId {
        let slug: domain::Slug = format!("t-{n}").parse().unwrap();
        loop {
            let now = self.now().await;
            let insert = |id: TeamId| {
                let team = domain::Team {
                    id,
                    organization: self.organization,
                    slug: slug.clone(),
                    name: slug.to_string(),
                    created: now,
                };
                let event = domain::AuditEvent::TeamCreate(domain::TeamFacts::of(&team));
                let audit = event.by(
                    domain::AuditActor::Operator,
                    self.organization,
                    now,
                    rand::random(),
                );
                async move { Ok(self.store.create_team(team, None, &audit).await?) }
            };
            match self.sequences.save_with_snowflake_id(now, insert).await {
                Ok(made) => return made.expect("the name is nobody else's").id,
                // What a client is told to do.
                Err(Fault::Client(domain::ClientFault::Conflict(_)) | Fault::Retry(_)) => {}
                Err(fault) => panic!("{fault}"),
            }
        }
    }
}

#[tokio::test]
async fn no_row_is_lost_to_another_one_while_the_clock_jumps_and_redis_forgets() {
    let world = World::quiet().await;
    let environment = world.stack.environments()["api"].clone();
    let aws = Env::new(environment, runtime::Clock::default())
        .reader()
        .aws();
    let store = Store::new(&aws.service("DYNAMODB"), "picket");
    let url = world.stack.redis_url().await;
    let connection = store::Redis::new(&Secret::new(&url), store.clone(), || {}).unwrap();
    let acme = store.organization_by_slug(&"acme".parse().unwrap()).await;
    let rush = Arc::new(Rush {
        sequences: Sequences::new(connection, domain::Region::default()),
        store,
        organization: acme.unwrap().unwrap().id,
        redis: url,
        calls: std::sync::atomic::AtomicUsize::new(0),
    });
    let callers = (0..CALLERS).map(|caller| {
        let rush = rush.clone();
        tokio::spawn(async move {
            let mut ids = Vec::new();
            for n in (caller..ROWS).step_by(CALLERS) {
                ids.push(rush.save(n).await);
            }
            ids
        })
    });
    let mut ids = BTreeSet::new();
    for caller in callers.collect::<Vec<_>>() {
        for id in caller.await.unwrap() {
            assert!(ids.insert(id.to_string()), "{id} was given twice");
        }
    }
    assert_eq!(ids.len(), ROWS);
    // Each slug still leads to the row that was made for it.
    let items = world.items();
    let mut rows = 0;
    for item in &items {
        let id = item["PK"]["S"]
            .as_str()
            .and_then(|pk| pk.strip_prefix("TEAM#"));
        if let Some(id) = id.filter(|id| item["SK"]["S"] == "META" && ids.contains(*id)) {
            let slug = item["slug"]["S"].as_str().unwrap();
            let guard = format!("TEAM_SLUG#{slug}");
            let guard = items.iter().find(|item| item["SK"]["S"] == guard.as_str());
            assert_eq!(guard.unwrap()["team"]["S"], id, "{slug}");
            rows += 1;
        }
    }
    assert_eq!(rows, ROWS);
    let calls = rush.calls.load(std::sync::atomic::Ordering::Relaxed);
    assert!(calls > ROWS, "ids came again and were passed over");
    world.finish().await;
}
