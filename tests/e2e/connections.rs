//! Connections: a cache that is not there, that moves, and sockets that died while nobody looked.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use domain::{GroupId, Secret, SnowflakeModel, Timestamp};
use local::redis::Redis as Server;
use runtime::{Clock, Env};
use serde_json::{Value, json};
use store::{Redis, Sequences, Store};
use tests::World;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

const NOW: Timestamp = Timestamp::from_millis(1_719_835_200_000);

/// A way to a server that can be cut or blocked: what lies on it then is dead, what comes later is not.
struct Line {
    port: u16,
    opened: Arc<AtomicU64>,
    /// Counts up when what is open dies, and says whether both ends hear of it.
    deaths: watch::Sender<(u64, Death)>,
}

#[derive(Clone, Copy)]
enum Death {
    /// Both ends are told.
    Cut,
    /// Nothing passes any more, and nobody is told.
    Silent,
}

impl Line {
    async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let line = Self {
            port: listener.local_addr().expect("an address").port(),
            opened: Arc::default(),
            deaths: watch::Sender::new((0, Death::Cut)),
        };
        let (opened, deaths) = (line.opened.clone(), line.deaths.subscribe());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                opened.fetch_add(1, Ordering::SeqCst);
                let mut deaths = deaths.clone();
                deaths.mark_unchanged();
                tokio::spawn(carry(client, port, deaths));
            }
        });
        line
    }

    fn kill(&self, death: Death) {
        self.deaths.send_modify(|(count, how)| {
            *count += 1;
            *how = death;
        });
    }

    /// How many connections were ever opened.
    fn opened(&self) -> u64 {
        self.opened.load(Ordering::SeqCst)
    }
}

async fn carry(mut client: TcpStream, port: u16, mut deaths: watch::Receiver<(u64, Death)>) {
    let mut server = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("the server");
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        _ = deaths.changed() => match deaths.borrow().1 {
            Death::Cut => return,
            Death::Silent => {}
        }
    }
    // Held open for as long as the other side likes.
    std::future::pending::<()>().await;
}

/// How often anything was unreachable in this process.
static UNREACHABLE: AtomicU64 = AtomicU64::new(0);

fn count() {
    UNREACHABLE.fetch_add(1, Ordering::SeqCst);
}

/// A store at an endpoint, connected as in a cold start.
async fn store(world: &World, endpoint: &str) -> Store {
    let mut variables = world.stack.environments()["operator"].clone();
    variables.insert("AWS_ENDPOINT_URL_DYNAMODB".into(), endpoint.into());
    let env = Env::new(variables, Clock::default());
    let aws = env.reader().aws();
    aws.open("DYNAMODB").await;
    Store::new(&aws.service("DYNAMODB"), "picket")
}

fn table(world: &World) -> String {
    world.stack.environments()["operator"]["AWS_ENDPOINT_URL_DYNAMODB"].clone()
}

async fn ids(world: &World, line: &Line) -> Sequences {
    let url = Secret::new(format!("redis://127.0.0.1:{}", line.port));
    let redis = Redis::new(&url, store(world, &table(world)).await, count).expect("a URL");
    let sequences = Sequences::new(redis, domain::Region::default());
    sequences.warm().await;
    sequences
}

#[tokio::test]
async fn sockets_to_redis_that_died_in_a_pause_cost_one_reconnect() {
    let world = World::quiet().await;
    let server = Server::start(&local::cache()).await.expect("a Redis");
    let line = Line::to(server.port()).await;
    let ids = Arc::new(ids(&world, &line).await);
    assert_eq!(line.opened(), 1, "opened before the first id");
    for (death, opened) in [(Death::Cut, 2), (Death::Silent, 3)] {
        line.kill(death);
        // Several at once find the same dead socket, and one of them opens a new one.
        let callers = (0..8).map(|_| {
            let ids = ids.clone();
            tokio::spawn(async move { ids.next(SnowflakeModel::Team, NOW).await })
        });
        for caller in callers.collect::<Vec<_>>() {
            caller.await.expect("no panic").expect("an id");
        }
        assert_eq!(line.opened(), opened);
    }
    assert_eq!(UNREACHABLE.load(Ordering::SeqCst), 0);
    world.finish().await;
}

#[tokio::test]
async fn sockets_to_the_table_that_died_in_a_pause_cost_one_reconnect() {
    let world = World::quiet().await;
    let port = table(&world).rsplit_once(':').expect("a port").1.to_owned();
    let line = Line::to(port.parse().expect("a number")).await;
    let store = store(&world, &format!("http://127.0.0.1:{}", line.port)).await;
    assert_eq!(line.opened(), 1, "opened before the first request");
    let group: GroupId = world
        .ready
        .group_id
        .as_deref()
        .expect("a group")
        .parse()
        .expect("an id");
    assert!(store.group_state(group).await.expect("an answer").is_some());
    assert_eq!(line.opened(), 1);
    line.kill(Death::Cut);
    assert!(store.group_state(group).await.expect("an answer").is_some());
    assert_eq!(line.opened(), 2);
    world.finish().await;
}

async fn create(world: &World, slug: &str) -> Result<Value, String> {
    let command = json!({ "command": "create-organization", "slug": slug, "name": slug });
    let answer = world.stack.invoke("operator", command.to_string()).await?;
    Ok(serde_json::from_str(&answer).expect("JSON"))
}

#[tokio::test]
async fn functions_that_start_without_redis_do_everything_but_make_ids() {
    let mut world = World::quiet().await;
    world.stack.kill_redis().await;
    world
        .stack
        .start_functions()
        .await
        .expect("functions start without Redis");
    world.assign(1, world.ana()).await;
    world.settle().await;
    assert_eq!(world.assignee().await.as_deref(), Some("ana@acme.example"));
    assert_eq!(
        create(&world, "acme").await.expect("found")["created"],
        false
    );
    let error = create(&world, "new").await.unwrap_err();
    assert!(
        error.contains("the snowflake sequence cannot be reached"),
        "{error}"
    );
    let unreachable = |line: &Value| line["CacheUnreachable"] == 1;
    let alarmed = world.logs().iter().filter(|line| unreachable(line)).count();
    assert_eq!(
        alarmed, 3,
        "when the operator and deassign started, and for the new organization"
    );
    world.finish().await;
}

#[tokio::test]
async fn a_cache_that_moved_is_found_without_a_deployment() {
    let world = World::quiet().await;
    create(&world, "one").await.expect("an id");
    world
        .stack
        .move_redis(&local::cache())
        .await
        .expect("another Redis");
    let error = create(&world, "two").await.unwrap_err();
    assert!(
        error.contains("cannot be reached"),
        "nobody has said yet where it is: {error}"
    );
    world
        .stack
        .step_schedules()
        .await
        .expect("the relay asks ElastiCache");
    assert_eq!(create(&world, "two").await.expect("an id")["created"], true);
    let before = world.items();
    world
        .stack
        .step_schedules()
        .await
        .expect("the relay asks again");
    assert_eq!(world.items(), before, "what is known is not written again");

    // And back: the newer report wins over the one that was followed.
    world
        .stack
        .move_redis(&local::cache())
        .await
        .expect("a third Redis");
    world
        .stack
        .step_schedules()
        .await
        .expect("the relay asks ElastiCache");
    assert_eq!(
        create(&world, "three").await.expect("an id")["created"],
        true
    );
    // What was first written down is no news, what took its place is.
    let logs = world.logs().into_iter();
    let news = logs.filter(|line| line.to_string().contains("the cache has another endpoint"));
    assert_eq!(news.count(), 1);
    // New sandboxes begin with the address of the deployment and find the way as well.
    world.stack.start_functions().await.expect("functions");
    assert_eq!(
        create(&world, "four").await.expect("an id")["created"],
        true
    );
    world.finish().await;
}

#[tokio::test]
async fn without_an_answer_of_elasticache_messages_still_move() {
    let world = World::quiet().await;
    let nowhere = local::elasticache::Endpoint {
        host: String::new(),
        port: 0,
        status: "creating".into(),
    };
    world.stack.elasticache().set(nowhere);
    world.stack.step_schedules().await.expect("the sweep");
    world.finish().await;
}
