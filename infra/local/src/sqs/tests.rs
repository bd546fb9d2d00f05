use super::wire::{MAX_BYTES, md5_hex};
use super::*;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;

const VISIBILITY: Duration = Duration::from_secs(30);

async fn start() -> (Sqs, Client) {
    let work = QueueSpec {
        name: "work".into(),
        visibility_timeout: VISIBILITY,
        max_receive_count: Some(2),
        dead_letter_queue: Some("work-dead".into()),
    };
    let dead = QueueSpec {
        name: "work-dead".into(),
        visibility_timeout: VISIBILITY,
        max_receive_count: None,
        dead_letter_queue: None,
    };
    let sqs = Sqs::start(vec![work, dead], Arc::default()).await.unwrap();
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::from_keys("key", "secret", None))
        .retry_config(RetryConfig::disabled())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(sqs.endpoint())
        .build();
    (sqs, Client::from_conf(config))
}

async fn send(sqs: &Sqs, client: &Client, body: &str) -> String {
    let call = client
        .send_message()
        .queue_url(sqs.queue_url("work"))
        .message_body(body);
    call.send().await.unwrap().message_id.unwrap()
}

fn entry(id: &str, body: &str) -> SendMessageBatchRequestEntry {
    SendMessageBatchRequestEntry::builder()
        .id(id)
        .message_body(body)
        .build()
        .unwrap()
}

async fn batch_code(sqs: &Sqs, client: &Client, n: usize, id: &str, body: &str) -> String {
    let entries = (0..n)
        .map(|i| entry(&id.replace('#', &i.to_string()), body))
        .collect();
    let call = client.send_message_batch().queue_url(sqs.queue_url("work"));
    let error = call.set_entries(Some(entries)).send().await.unwrap_err();
    error.code().unwrap().to_owned()
}

#[tokio::test]
async fn a_message_arrives_as_it_was_sent_and_can_be_deleted_once() {
    let (sqs, client) = start().await;
    let sent = client
        .send_message()
        .queue_url(sqs.queue_url("work"))
        .message_body("grün \u{1f600}\n")
        .send()
        .await
        .unwrap();
    assert_eq!(
        sent.md5_of_message_body(),
        Some(&*md5_hex("grün \u{1f600}\n"))
    );

    let received = sqs.receive_wait("work", 10).await.remove(0);
    assert_eq!(Some(received.message_id.as_str()), sent.message_id());
    assert_eq!(received.body, "grün \u{1f600}\n");
    assert!(sqs.delete("work", &received.receipt_handle));
    assert!(!sqs.delete("work", &received.receipt_handle));
    assert_eq!(sqs.messages("work"), Vec::<String>::new());
    assert_eq!(sqs.sent_count("work"), 1);
}

#[tokio::test]
async fn a_message_received_too_often_goes_to_the_dead_letter_queue_on_the_next_receive() {
    let (sqs, client) = start().await;
    let id = send(&sqs, &client, "poison").await;
    let first = sqs.receive("work", 10).remove(0);
    sqs.advance(VISIBILITY);
    let second = sqs.receive("work", 10).remove(0);
    assert_eq!((first.receive_count, second.receive_count), (1, 2));
    assert_eq!(first.first_received_ms, second.first_received_ms);
    assert!(
        !sqs.delete("work", &first.receipt_handle),
        "the receipt is stale"
    );

    sqs.change_visibility("work", &second.receipt_handle, Duration::ZERO);
    assert_eq!(
        sqs.messages("work-dead").len(),
        0,
        "nobody has received since"
    );
    assert!(sqs.receive("work", 10).is_empty());
    sqs.record_failed("work", 2);
    let expected = QueueStats {
        dead: 1,
        received: 2,
        failed: 2,
        ..QueueStats::default()
    };
    assert_eq!(sqs.stats(), BTreeMap::from([("work".to_owned(), expected)]));
    let dead = sqs.receive("work-dead", 1).remove(0);
    assert_eq!((dead.message_id, dead.body.as_str()), (id, "poison"));
}

#[tokio::test]
async fn a_waiting_receive_wakes_for_a_message_and_for_a_jump_of_the_clock() {
    let (sqs, client) = start().await;
    let waiting = tokio::spawn({
        let sqs = sqs.clone();
        async move { sqs.receive_wait("work", 10).await }
    });
    send(&sqs, &client, "now").await;
    assert_eq!(waiting.await.unwrap()[0].body, "now");

    let delayed = client.send_message().queue_url(sqs.queue_url("work"));
    delayed
        .message_body("later")
        .delay_seconds(900)
        .send()
        .await
        .unwrap();
    let stats = &sqs.stats()["work"];
    assert_eq!((stats.visible, stats.in_flight, stats.delayed), (0, 1, 1));
    assert!(sqs.next_visible_in("work").unwrap() <= VISIBILITY);
    let (received, ()) = tokio::join!(sqs.receive_wait("work", 10), async {
        sqs.advance(Duration::from_secs(900));
    });
    let bodies: Vec<&str> = received
        .iter()
        .map(|message| message.body.as_str())
        .collect();
    assert_eq!(bodies, ["now", "later"]);
}

#[tokio::test]
async fn a_batch_tells_entry_by_entry_what_was_sent() {
    let (sqs, client) = start().await;
    let call = client.send_message_batch().queue_url(sqs.queue_url("work"));
    let call = call
        .entries(entry("good", "body"))
        .entries(entry("bad", ""));
    let answer = call.send().await.unwrap();
    assert_eq!(answer.successful()[0].id(), "good");
    assert_eq!(answer.failed()[0].id(), "bad");
    assert!(answer.failed()[0].sender_fault());
    assert_eq!(sqs.messages("work"), ["body"]);
}

#[tokio::test]
async fn what_aws_refuses_is_refused_with_the_same_typed_error() {
    let (sqs, client) = start().await;
    let big = "x".repeat(MAX_BYTES / 10 + 1);
    assert_eq!(
        batch_code(&sqs, &client, 11, "#", "b").await,
        "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"
    );
    assert_eq!(
        batch_code(&sqs, &client, 2, "same", "b").await,
        "AWS.SimpleQueueService.BatchEntryIdsNotDistinct"
    );
    assert_eq!(
        batch_code(&sqs, &client, 10, "#", &big).await,
        "AWS.SimpleQueueService.BatchRequestTooLong"
    );

    let refused = |queue: &str, body: &str| {
        let call = client.send_message().queue_url(sqs.queue_url(queue));
        let call = call.message_body(body);
        async move { call.send().await.unwrap_err().into_service_error() }
    };
    assert!(refused("unknown", "b").await.is_queue_does_not_exist());
    assert!(refused("work", "\u{1}").await.is_invalid_message_contents());
    assert_eq!(refused("work", "").await.code(), Some("MissingParameter"));
    let too_long = "x".repeat(MAX_BYTES + 1);
    assert_eq!(
        refused("work", &too_long).await.code(),
        Some("InvalidParameterValue")
    );
    send(&sqs, &client, &too_long[1..]).await;
}

#[tokio::test]
async fn a_call_the_bundle_does_not_make_is_refused_by_name() {
    let (sqs, client) = start().await;
    let call = client.receive_message().queue_url(sqs.queue_url("work"));
    let error = call.send().await.unwrap_err().into_service_error();
    assert_eq!(error.code(), Some("InvalidAction"));
    assert!(error.message().unwrap().contains("ReceiveMessage"));
}

#[tokio::test]
async fn the_same_seed_fails_the_same_tries() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let (sqs, client) = start().await;
        sqs.set_failure_rate(0.5, 7);
        let mut failed = Vec::new();
        for _ in 0..20 {
            let call = client.send_message().queue_url(sqs.queue_url("work"));
            failed.push(call.message_body("same").send().await.is_err());
        }
        let stored = failed.iter().filter(|failed| !**failed).count();
        assert_eq!(
            sqs.messages("work").len(),
            stored,
            "a failed try stores nothing"
        );
        assert!((1..20).contains(&stored));
        runs.push(failed);
    }
    assert_eq!(runs[0], runs[1]);
}
