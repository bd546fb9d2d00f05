use super::*;

/// The place that `cargo local` uses, too, so that a machine fetches one Redis only.
fn cache() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/redis")
}

async fn set_and_get(redis: &Redis) -> String {
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut pipe = redis::pipe();
    pipe.cmd("SET")
        .arg("k")
        .arg("v")
        .ignore()
        .cmd("GET")
        .arg("k");
    let (value,): (String,) = pipe.query_async(&mut connection).await.unwrap();
    value
}

#[tokio::test]
async fn a_server_answers_until_it_is_stopped() {
    let mut redis = Redis::start(&cache()).await.unwrap();
    assert_eq!(set_and_get(&redis).await, "v");
    redis.stop().await;
    TcpStream::connect(("127.0.0.1", redis.port()))
        .await
        .unwrap_err();
}

#[tokio::test]
async fn a_dropped_server_ends() {
    let mut redis = Redis::start(&cache()).await.unwrap();
    let gone = std::mem::replace(&mut redis.gone, oneshot::channel().1);
    drop(redis);
    gone.await.unwrap();
}

#[tokio::test]
async fn a_taken_port_is_noticed_even_if_a_redis_answers_there() {
    let redis = Redis::start(&cache()).await.unwrap();
    let program = find_server(&cache()).unwrap();
    let second = Redis::try_start(&program, redis.port()).await.unwrap();
    assert!(second.is_none());
    assert_eq!(set_and_get(&redis).await, "v");
}
