use std::collections::BTreeSet;

use super::*;
use aws_sdk_dynamodb::Client as Dynamo;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, KeysAndAttributes, Put, PutRequest, TransactWriteItem, WriteRequest,
};
use serde_json::json;

const NEVER: Faults = Faults {
    stale_reads: 0.0,
    conflicts: 0.0,
    throttled: 0.0,
    seed: 1,
};

fn table() -> Value {
    json!({
        "TableName": "table",
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [
            { "AttributeName": "pk", "KeyType": "HASH" },
            { "AttributeName": "sk", "KeyType": "RANGE" },
        ],
        "AttributeDefinitions": [
            { "AttributeName": "pk", "AttributeType": "S" },
            { "AttributeName": "sk", "AttributeType": "S" },
        ],
        "GlobalSecondaryIndexes": [{
            "IndexName": "by_sk",
            "KeySchema": [{ "AttributeName": "sk", "KeyType": "HASH" }],
            "Projection": { "ProjectionType": "ALL" },
        }],
        "StreamSpecification": { "StreamEnabled": true, "StreamViewType": "KEYS_ONLY" },
    })
}

async fn start(file: Option<&Path>, faults: Faults) -> (DynamoDb, Dynamo) {
    let database = DynamoDb::start(table(), Some("ttl"), file, faults, Arc::default())
        .await
        .unwrap();
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::from_keys("key", "secret", None))
        .retry_config(RetryConfig::disabled())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(database.endpoint())
        .build();
    (database, Dynamo::from_conf(config))
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.into())
}

fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

async fn put(client: &Dynamo, pk: &str, n: i64) {
    let call = client.put_item().table_name("table").item("pk", text(pk));
    call.item("sk", text("s"))
        .item("n", number(n))
        .send()
        .await
        .unwrap();
}

async fn get(client: &Dynamo, pk: &str, consistent: bool) -> Option<i64> {
    let call = client.get_item().table_name("table").key("pk", text(pk));
    let call = call.key("sk", text("s")).consistent_read(consistent);
    let item = call.send().await.unwrap().item?;
    Some(item["n"].as_n().unwrap().parse().unwrap())
}

async fn count_in_index(client: &Dynamo) -> i32 {
    let call = client.query().table_name("table").index_name("by_sk");
    let call = call.key_condition_expression("sk = :s");
    call.expression_attribute_values(":s", text("s"))
        .send()
        .await
        .unwrap()
        .count()
}

fn batch_put(pk: &str) -> WriteRequest {
    let put = PutRequest::builder()
        .item("pk", text(pk))
        .item("sk", text("s"));
    WriteRequest::builder()
        .put_request(put.build().unwrap())
        .build()
}

fn transaction_put(pk: &str) -> TransactWriteItem {
    let put = Put::builder()
        .table_name("table")
        .item("pk", text(pk))
        .item("sk", text("s"));
    TransactWriteItem::builder()
        .put(put.item("n", number(0)).build().unwrap())
        .build()
}

#[tokio::test]
async fn a_quiet_table_reads_what_was_written_and_counts_its_requests() {
    let (database, client) = start(None, NEVER).await;
    put(&client, "a", 1).await;
    assert_eq!(get(&client, "a", false).await, Some(1));
    assert_eq!(count_in_index(&client).await, 1);
    client
        .batch_write_item()
        .request_items("table", vec![batch_put("b")])
        .send()
        .await
        .unwrap();
    assert_eq!(database.items().unwrap().len(), 2);
    let expected = [
        ("BatchWriteItem", 1),
        ("GetItem", 1),
        ("PutItem", 1),
        ("Query", 1),
    ];
    assert_eq!(
        database.operations(),
        expected.map(|(name, n)| (name.to_owned(), n)).into()
    );
}

#[tokio::test]
async fn an_operation_that_the_bundle_may_not_call_is_refused_by_name() {
    let (_database, client) = start(None, NEVER).await;
    let error = client.scan().table_name("table").send().await.unwrap_err();
    assert_eq!(error.code(), Some("AccessDeniedException"));
    assert!(error.message().unwrap().contains("Scan"));
}

#[tokio::test]
async fn the_stream_wakes_its_reader_and_tells_keys_in_the_shape_of_lambda() {
    let (database, client) = start(None, NEVER).await;
    let mut position = StreamPosition::default();
    let (records, ()) = tokio::join!(
        database.stream_wait(&mut position, 10),
        put(&client, "a", 1)
    );
    let records = records.unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["eventName"], "INSERT");
    assert_eq!(records[0]["eventSource"], "aws:dynamodb");
    let arn = records[0]["eventSourceARN"].as_str().unwrap();
    assert!(arn.starts_with("arn:aws:dynamodb:us-east-1:000000000000:table/table/stream/"));
    let change = &records[0]["dynamodb"];
    assert_eq!(
        change["Keys"],
        json!({ "pk": { "S": "a" }, "sk": { "S": "s" } })
    );
    assert!(change["SequenceNumber"].is_string() && change.get("NewImage").is_none());

    let before = position.clone();
    put(&client, "a", 2).await;
    let after = database.stream_records(&mut position, 10).unwrap();
    assert_eq!(after[0]["eventName"], "MODIFY");
    let again = database.stream_records(&mut before.clone(), 10).unwrap();
    assert_eq!(after, again, "a kept position redelivers");
    assert!(
        database
            .stream_records(&mut position, 10)
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_table_in_a_file_is_still_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("table.sqlite");
    let (database, client) = start(Some(&file), NEVER).await;
    put(&client, "a", 1).await;
    drop((database, client));
    let stale = Faults {
        stale_reads: 1.0,
        ..NEVER
    };
    let (_database, client) = start(Some(&file), stale).await;
    assert_eq!(get(&client, "a", true).await, Some(1));
    assert_eq!(
        get(&client, "a", false).await,
        Some(1),
        "the replica starts as a copy"
    );
}

#[tokio::test]
async fn a_stale_read_lags_behind_never_goes_back_and_can_catch_up() {
    let (database, client) = start(
        None,
        Faults {
            stale_reads: 1.0,
            ..NEVER
        },
    )
    .await;
    let mut newest_seen = 0;
    for n in 1..=30 {
        put(&client, "a", n).await;
        assert_eq!(get(&client, "a", true).await, Some(n));
        let seen = get(&client, "a", false).await.unwrap_or(0);
        assert!(
            (newest_seen..n).contains(&seen),
            "{seen} after {newest_seen}, of {n}"
        );
        assert!(n - seen <= 8);
        newest_seen = seen;
    }
    put(&client, "b", 1).await;
    assert_eq!(count_in_index(&client).await, 1, "indexes lag, too");
    database.catch_up();
    assert_eq!(get(&client, "a", false).await, Some(30));
    assert_eq!(count_in_index(&client).await, 2);
}

#[tokio::test]
async fn expired_items_leave_the_table_its_stream_and_in_the_end_the_replica() {
    let (database, client) = start(
        None,
        Faults {
            stale_reads: 1.0,
            ..NEVER
        },
    )
    .await;
    let call = client
        .put_item()
        .table_name("table")
        .item("pk", text("old"));
    let call = call
        .item("sk", text("s"))
        .item("n", number(1))
        .item("ttl", number(1_700_000_000));
    call.send().await.unwrap();
    put(&client, "young", 1).await;
    database.catch_up();
    let mut position = StreamPosition::default();
    database.stream_records(&mut position, 10).unwrap();

    assert_eq!(database.sweep_ttl().unwrap(), 1);
    assert_eq!(database.items().unwrap().len(), 1);
    let removed = database.stream_wait(&mut position, 10).await.unwrap();
    assert_eq!(removed[0]["eventName"], "REMOVE");
    assert_eq!(
        removed[0]["userIdentity"]["principalId"],
        "dynamodb.amazonaws.com"
    );
    assert_eq!(get(&client, "old", false).await, Some(1));
    database.catch_up();
    assert_eq!(get(&client, "old", false).await, None);
}

#[tokio::test]
async fn a_drawn_conflict_has_the_errors_of_aws_and_writes_nothing() {
    let (database, client) = start(
        None,
        Faults {
            conflicts: 1.0,
            ..NEVER
        },
    )
    .await;
    let call = client
        .transact_write_items()
        .transact_items(transaction_put("a"));
    let call = call.transact_items(transaction_put("b"));
    let error = call.send().await.unwrap_err().into_service_error();
    assert!(
        error.message().unwrap().contains("for specific reasons ["),
        "{error:?}"
    );
    let TransactWriteItemsError::TransactionCanceledException(canceled) = error else {
        panic!("{error:?}");
    };
    let reasons = canceled.cancellation_reasons.unwrap();
    let mut codes: Vec<&str> = reasons.iter().filter_map(|reason| reason.code()).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["None", "TransactionConflict"]);

    let call = client.put_item().table_name("table").item("pk", text("a"));
    let error = call
        .item("sk", text("s"))
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert!(error.is_transaction_conflict_exception());
    assert!(database.items().unwrap().is_empty());
}

#[tokio::test]
async fn transactions_that_overlap_are_refused_and_the_key_is_free_again_afterwards() {
    // So rare that none is drawn: what is refused here is the overlap.
    let (database, client) = start(
        None,
        Faults {
            conflicts: 1e-12,
            ..NEVER
        },
    )
    .await;
    let transact = |pk: &str| {
        client
            .transact_write_items()
            .transact_items(transaction_put(pk))
            .send()
    };
    let proxy = &database.0.proxy;
    let key = json!({ "pk": { "S": "a" }, "sk": { "S": "s" } }).to_string();
    lock(&proxy.in_flight).insert(key.clone());
    let error = transact("a").await.unwrap_err().into_service_error();
    assert!(error.is_transaction_canceled_exception());
    transact("b").await.unwrap();
    lock(&proxy.in_flight).remove(&key);
    transact("a").await.unwrap();
    assert!(lock(&proxy.in_flight).is_empty());
}

#[tokio::test]
async fn the_same_seed_refuses_the_same_tries() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let (_database, client) = start(
            None,
            Faults {
                conflicts: 0.5,
                ..NEVER
            },
        )
        .await;
        let mut refused = Vec::new();
        for _ in 0..20 {
            let call = client
                .transact_write_items()
                .transact_items(transaction_put("a"));
            refused.push(call.send().await.is_err());
        }
        assert!(refused.contains(&true) && refused.contains(&false));
        runs.push(refused);
    }
    assert_eq!(runs[0], runs[1]);
}

const THROTTLED: &str = "ProvisionedThroughputExceededException";

#[tokio::test]
async fn what_is_throttled_has_the_errors_of_aws_and_writes_nothing() {
    let all = Faults {
        throttled: 1.0,
        ..NEVER
    };
    let (database, client) = start(None, all).await;
    let call = client.get_item().table_name("table").key("pk", text("a"));
    let read = call.key("sk", text("s")).send().await.unwrap_err();
    let call = client.put_item().table_name("table").item("pk", text("a"));
    let write = call.item("sk", text("s")).send().await.unwrap_err();
    let call = client.query().table_name("table").index_name("by_sk");
    let call = call.key_condition_expression("sk = :s");
    let call = call.expression_attribute_values(":s", text("s"));
    let query = call.send().await.unwrap_err();
    let call = client.batch_write_item();
    let call = call.request_items("table", vec![batch_put("a"), batch_put("b")]);
    let batch = call.send().await.unwrap_err();
    let codes = [read.code(), write.code(), query.code(), batch.code()];
    assert_eq!(codes, [Some(THROTTLED); 4]);
    assert!(read.message().unwrap().contains("throughput"), "{read:?}");

    let call = client.transact_write_items();
    let call = call.transact_items(transaction_put("a"));
    let error = call.transact_items(transaction_put("b")).send().await;
    let error = error.unwrap_err().into_service_error();
    let TransactWriteItemsError::TransactionCanceledException(canceled) = error else {
        panic!("{error:?}");
    };
    let reasons = canceled.cancellation_reasons.unwrap();
    let mut codes: Vec<&str> = reasons.iter().filter_map(|reason| reason.code()).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["None", "ProvisionedThroughputExceeded"]);
    assert!(database.items().unwrap().is_empty());
    database.set_quiet(true);
    put(&client, "a", 1).await;
}

#[tokio::test]
async fn a_batch_says_what_it_was_not_done_for_and_the_same_seed_says_the_same() {
    let half = Faults {
        throttled: 0.5,
        ..NEVER
    };
    let mut runs = Vec::new();
    for _ in 0..2 {
        let (database, client) = start(None, half).await;
        let names: Vec<_> = (0..10).map(|n| format!("{n}")).collect();
        let puts = names.iter().map(|name| batch_put(name)).collect();
        let call = client.batch_write_item().request_items("table", puts);
        let left = call.send().await.unwrap().unprocessed_items.unwrap();
        let left: BTreeSet<_> = left["table"]
            .iter()
            .map(|write| write.put_request().unwrap().item["pk"].as_s().unwrap())
            .cloned()
            .collect();
        let stored = database.items().unwrap();
        let stored = stored.iter().map(|item| item["pk"]["S"].as_str().unwrap());
        let stored: BTreeSet<_> = stored.map(str::to_owned).collect();
        assert!(!left.is_empty() && left.is_disjoint(&stored));
        assert_eq!(left.len() + stored.len(), 10);

        let mut keys = KeysAndAttributes::builder().consistent_read(true);
        for name in &stored {
            keys = keys.keys([("pk".into(), text(name)), ("sk".into(), text("s"))].into());
        }
        let call = client
            .batch_get_item()
            .request_items("table", keys.build().unwrap());
        let answer = call.send().await.unwrap();
        let unread = &answer.unprocessed_keys.unwrap()["table"];
        assert_eq!(unread.consistent_read, Some(true));
        let unread = unread.keys.len();
        let read = answer.responses.unwrap()["table"].len();
        assert!(unread > 0 && unread + read == stored.len());
        runs.push((left, unread));
    }
    assert_eq!(runs[0], runs[1]);
}
