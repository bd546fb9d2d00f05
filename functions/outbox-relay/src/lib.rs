//! `outbox-relay`: moves messages from the table to SQS.
//!
//! The table's stream wakes it with the keys of new messages, so it reads exactly those. A sweep every
//! minute takes what is overdue: what the stream gave up on, and what was meant for later. A message
//! is deleted after SQS has accepted it; a crash in between sends it twice, which every receiver takes.
//!
//! The same schedule looks where the cache is.

mod discovery;

use std::{collections::BTreeMap, sync::Arc};

use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use domain::{Fault, Queue, Timestamp};
use runtime::{Clock, Env, Function, Metric, QueueUrls, StartError};
use serde::{Deserialize, Serialize};
use store::{Key, OUTBOX_SHARDS, OutboxItem, Store, StoreError, Waiting, outbox_due_at};

/// SQS's limits for one batch: entries, and bytes in all (1 MiB, less room for the envelope).
const BATCH: usize = 10;
const BATCH_BYTES: usize = 1_000_000;

/// How many messages a sweep takes from one partition before it looks at the next.
const SWEEP: u16 = 100;

type Message = (Key, OutboxItem);

/// What this function may touch.
#[derive(Debug)]
pub struct Context {
    store: Store,
    sqs: aws_sdk_sqs::Client,
    queues: QueueUrls,
    cache: discovery::Cache,
    clock: Clock,
}

/// Builds the function from its environment.
pub async fn function(env: Env) -> Result<Function, StartError> {
    let mut reader = env.reader();
    let aws = reader.aws();
    let context = Arc::new(Context {
        store: Store::new(&aws.service("DYNAMODB"), reader.text("TABLE_NAME")),
        sqs: aws_sdk_sqs::Client::new(&aws.service("SQS")),
        queues: reader.queue_urls(&Queue::ALL),
        cache: discovery::Cache {
            config: aws_sdk_elasticache::Config::new(&aws.service("ELASTICACHE")),
            replication_group: reader.text("REPLICATION_GROUP_ID"),
        },
        clock: reader.clock(),
    });
    reader.finish()?;
    let connections = async { tokio::join!(aws.open("DYNAMODB"), aws.open("SQS")) };
    env.connect(connections).await;
    Ok(Function::new(move |invocation| {
        let context = context.clone();
        async move {
            let event = serde_json::from_str(&invocation.payload)?;
            Ok(serde_json::to_string(&handle(&context, event).await?)?)
        }
    }))
}

/// What wakes the relay.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Event {
    /// Records of the table's stream.
    Stream {
        /// In the order of the shard.
        #[serde(rename = "Records")]
        records: Vec<Record>,
    },
    /// The schedule.
    Sweep {
        /// EventBridge's name of the event.
        #[serde(rename = "detail-type")]
        detail_type: String,
    },
}

/// A record of the table's stream, keys only.
#[derive(Debug, Deserialize)]
pub struct Record {
    dynamodb: Change,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Change {
    keys: BTreeMap<String, KeyPart>,
    sequence_number: String,
}

#[derive(Debug, Deserialize)]
struct KeyPart {
    #[serde(rename = "S")]
    text: String,
}

/// The records that are to come again. A stream comes again from the first of them on.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unfinished {
    batch_item_failures: Vec<ItemFailure>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemFailure {
    item_identifier: String,
}

/// Sends what the event is about.
pub async fn handle(context: &Context, event: Event) -> Result<Unfinished, Fault> {
    match event {
        Event::Stream { records } => relay(context, &records).await,
        Event::Sweep { .. } => {
            // Without an answer nothing is worse than before, so messages do not wait for one.
            let (swept, discovered) = tokio::join!(sweep(context), discovery::discover(context));
            if let Err(error) = discovered {
                let reason = error.to_string();
                tracing::warn!(reason, "the cache's endpoint could not be looked up");
            }
            swept.map(|()| Unfinished::default())
        }
    }
}

async fn relay(context: &Context, records: &[Record]) -> Result<Unfinished, Fault> {
    let now = context.clock.now();
    let keys: Vec<_> = records.iter().filter_map(Record::key).collect();
    // What is meant for later is the sweep's.
    let due = |key: &&Key| outbox_due_at(key).is_some_and(|due| due <= now);
    let items = context
        .store
        .outbox_items(keys.iter().filter(due).cloned().collect())
        .await?;
    let left = send(context, items, now).await?;
    let first = records
        .iter()
        .find(|record| record.key().is_some_and(|key| left.contains(&key)));
    let failure = |record: &Record| ItemFailure {
        item_identifier: record.dynamodb.sequence_number.clone(),
    };
    Ok(Unfinished {
        batch_item_failures: first.map(failure).into_iter().collect(),
    })
}

/// One partition's trouble does not keep the others waiting.
async fn sweep(context: &Context) -> Result<(), Fault> {
    let (mut left, mut failed) = (0, None);
    let now = context.clock.now();
    let mut oldest = now;
    for shard in 0..OUTBOX_SHARDS {
        match sweep_shard(context, shard, &mut oldest).await {
            Ok(stuck) => left += stuck,
            Err(error) => failed = Some(error),
        }
    }
    if failed.is_none() {
        let milliseconds = u64::try_from(now.millis() - oldest.millis()).unwrap_or(0);
        Metric::OutboxAge { milliseconds }.emit();
    }
    match (failed, left) {
        (Some(error), _) => Err(error.into()),
        (None, 0) => Ok(()),
        (None, left) => Err(Fault::Retry(format!(
            "{left} overdue messages were not sent"
        ))),
    }
}

/// Gives the number of messages that stay, and makes `oldest` as old as the oldest that it found.
async fn sweep_shard(
    context: &Context,
    shard: u8,
    oldest: &mut Timestamp,
) -> Result<usize, StoreError> {
    loop {
        let now = context.clock.now();
        let page = context.store.outbox_due(shard, now, SWEEP).await?;
        let due = page.rows.iter().filter_map(|row| outbox_due_at(&row.key));
        *oldest = due.fold(*oldest, Timestamp::min);
        let stuck = send(context, page.rows, now).await?.len();
        // What cannot go now would be found again at once; the next sweep tries it.
        if !page.more || stuck > 0 {
            return Ok(stuck);
        }
    }
}

/// Sends and deletes; gives back the keys of what SQS did not accept, or what cannot be read.
async fn send(
    context: &Context,
    items: Vec<Waiting>,
    now: Timestamp,
) -> Result<Vec<Key>, StoreError> {
    let mut by_queue: BTreeMap<Queue, Vec<Message>> = BTreeMap::new();
    let mut left = Vec::new();
    for Waiting { key, item } in items {
        match item {
            Ok(item) => by_queue.entry(item.queue).or_default().push((key, item)),
            Err(error) => {
                let reason = error.to_string();
                tracing::error!(fault = "poison", reason, "a message stays in the outbox");
                left.push(key);
            }
        }
    }
    for (queue, items) in by_queue {
        for batch in batches(items) {
            left.extend(send_batch(context, queue, batch, now).await?);
        }
    }
    Ok(left)
}

fn batches(items: Vec<Message>) -> Vec<Vec<Message>> {
    let mut batches: Vec<Vec<Message>> = Vec::new();
    let mut bytes = 0;
    for item in items {
        let size = item.1.body.len();
        let full = |batch: &Vec<Message>| batch.len() == BATCH || bytes + size > BATCH_BYTES;
        if batches.last().is_none_or(full) {
            batches.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        batches
            .last_mut()
            .expect("one was just made sure of")
            .push(item);
    }
    batches
}

async fn send_batch(
    context: &Context,
    queue: Queue,
    batch: Vec<Message>,
    now: Timestamp,
) -> Result<Vec<Key>, StoreError> {
    let entries = batch.iter().enumerate().map(|(index, (_, item))| {
        SendMessageBatchRequestEntry::builder()
            .id(index.to_string())
            .message_body(&item.body)
            .build()
    });
    let entries: Vec<_> = entries
        .collect::<Result<_, _>>()
        .expect("an id and a body are set");
    let url = context.queues.get(&queue).cloned().unwrap_or_default();
    let request = context
        .sqs
        .send_message_batch()
        .queue_url(url)
        .set_entries(Some(entries));
    let accepted: Vec<usize> = match request.send().await {
        Ok(answer) => answer
            .successful
            .iter()
            .filter_map(|entry| entry.id.parse().ok())
            .collect(),
        Err(error) => {
            let error = aws_sdk_sqs::error::DisplayErrorContext(error).to_string();
            tracing::warn!(
                queue = queue.as_str(),
                error,
                "SQS did not take the messages"
            );
            Vec::new()
        }
    };
    let (mut left, mut sent, mut oldest) = (Vec::new(), 0, now);
    for (index, (key, _)) in batch.into_iter().enumerate() {
        if accepted.contains(&index) {
            oldest = outbox_due_at(&key).map_or(oldest, |due| due.min(oldest));
            context.store.outbox_delete(&key).await?;
            sent += 1;
        } else {
            left.push(key);
        }
    }
    if sent > 0 {
        Metric::OutboxSent { count: sent }.emit();
        let milliseconds = u64::try_from(now.millis() - oldest.millis()).unwrap_or(0);
        Metric::OutboxDelay { milliseconds }.emit();
    }
    Ok(left)
}

impl Record {
    /// The key of the message; `None` for a record of anything else.
    fn key(&self) -> Option<Key> {
        let part = |name| self.dynamodb.keys.get(name).map(|part| part.text.clone());
        let key = Key {
            pk: part(store::PARTITION_KEY)?,
            sk: part(store::SORT_KEY)?,
        };
        outbox_due_at(&key).is_some().then_some(key)
    }
}
