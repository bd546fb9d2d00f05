//! Lambda's event source mappings: what AWS does between a queue or a stream and a function.
//!
//! One step of each is a function here, so that a test can take it by hand; `Running` takes them
//! all the time.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    lambdas::Lambdas,
    sqs::{Received, Sqs},
    template::{QueueMapping, StreamFilter, StreamMapping},
};

/// A message that its function did not handle.
#[derive(Debug, Clone)]
pub struct Failed {
    /// As it was received.
    pub message: Received,
}

/// A partial batch response.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(default)]
    batch_item_failures: Vec<ItemFailure>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ItemFailure {
    item_identifier: String,
}

/// Hands a batch to its function `times` times over, deletes what was handled every time and gives
/// back the rest. Without partial responses, and for an answer that makes no sense, all of it failed.
pub(crate) async fn deliver(
    mapping: &QueueMapping,
    sqs: &Sqs,
    lambdas: &Lambdas,
    batch: Vec<Received>,
    times: u32,
) -> Vec<Failed> {
    let event = queue_event(&mapping.queue, &batch).to_string();
    let mut failed = BTreeSet::new();
    for _ in 0..times {
        let answer = lambdas.invoke(&mapping.function, event.clone()).await;
        failed.extend(failures(mapping, &batch, answer));
    }
    let mut left = Vec::new();
    for message in batch {
        if failed.contains(&message.message_id) {
            left.push(Failed { message });
        } else {
            sqs.delete(&mapping.queue, &message.receipt_handle);
        }
    }
    sqs.record_failed(&mapping.queue, left.len() as u64);
    left
}

fn failures(
    mapping: &QueueMapping,
    batch: &[Received],
    answer: Result<String, String>,
) -> Vec<String> {
    let all = || {
        batch
            .iter()
            .map(|message| message.message_id.clone())
            .collect()
    };
    let answer = match answer {
        Ok(text) if mapping.report_batch_item_failures => serde_json::from_str(&text).ok(),
        Ok(_) => Some(Answer::default()),
        Err(error) => {
            tracing::error!(function = mapping.function, error, "the batch failed");
            None
        }
    };
    let Some(Answer {
        batch_item_failures,
    }) = answer
    else {
        return all();
    };
    let ids: Vec<_> = batch_item_failures
        .into_iter()
        .map(|f| f.item_identifier)
        .collect();
    let known = |id: &String| batch.iter().any(|message| message.message_id == *id);
    match ids.iter().all(known) {
        true => ids,
        false => all(),
    }
}

fn queue_event(queue: &str, batch: &[Received]) -> Value {
    let record = |message: &Received| {
        json!({
            "messageId": message.message_id,
            "receiptHandle": message.receipt_handle,
            "body": message.body,
            "attributes": {
                "ApproximateReceiveCount": message.receive_count.to_string(),
                "SentTimestamp": message.sent_timestamp_ms.to_string(),
                "SenderId": "LOCAL",
                "ApproximateFirstReceiveTimestamp": message.first_received_ms.to_string(),
            },
            "messageAttributes": {},
            "md5OfBody": format!("{:x}", md5::compute(&message.body)),
            "eventSource": "aws:sqs",
            "eventSourceARN": Sqs::queue_arn(queue),
            "awsRegion": "us-east-1",
        })
    };
    json!({ "Records": batch.iter().map(record).collect::<Vec<_>>() })
}

/// Hands the records of a stream that pass the mapping's filters to its function. A failed record and
/// those after it are tried again, as often as the mapping says; then they are given up.
pub(crate) async fn deliver_stream(
    mapping: &StreamMapping,
    lambdas: &Lambdas,
    records: Vec<Value>,
    times: u32,
) {
    let passes = |record: &Value| mapping.filters.iter().any(|filter| filter.passes(record));
    let mut left: Vec<Value> = records
        .into_iter()
        .filter(|r| mapping.filters.is_empty() || passes(r))
        .collect();
    for _ in 0..mapping.maximum_attempts {
        if left.is_empty() {
            return;
        }
        let event = json!({ "Records": left }).to_string();
        let mut answer = lambdas.invoke(&mapping.function, event.clone()).await;
        for _ in 1..times {
            answer = lambdas.invoke(&mapping.function, event.clone()).await;
        }
        let answer = answer.map(|text| serde_json::from_str::<Answer>(&text).unwrap_or_default());
        left = match answer {
            Ok(answer) => from_first_failure(left, &answer),
            Err(error) => {
                tracing::error!(function = mapping.function, error, "the records failed");
                left
            }
        };
    }
    if !left.is_empty() {
        tracing::error!(
            records = left.len(),
            "the stream gave up; the sweep takes them"
        );
    }
}

fn from_first_failure(records: Vec<Value>, answer: &Answer) -> Vec<Value> {
    let failed = |record: &Value| {
        let number = record["dynamodb"]["SequenceNumber"].as_str();
        answer
            .batch_item_failures
            .iter()
            .any(|f| Some(f.item_identifier.as_str()) == number)
    };
    match records.iter().position(failed) {
        Some(first) => records.into_iter().skip(first).collect(),
        None => Vec::new(),
    }
}

impl StreamFilter {
    fn passes(&self, record: &Value) -> bool {
        let name = record["eventName"].as_str().unwrap_or_default();
        let event = self.event_names.is_empty() || self.event_names.iter().any(|n| n == name);
        let key = self.key_prefix.as_ref().is_none_or(|(attribute, prefix)| {
            let value = record["dynamodb"]["Keys"][attribute]["S"].as_str();
            value.is_some_and(|value| value.starts_with(prefix))
        });
        event && key
    }
}

/// What EventBridge sends when a schedule is due.
pub(crate) fn scheduled_event() -> String {
    json!({
        "version": "0",
        "id": "00000000-0000-4000-8000-000000000000",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "000000000000",
        "region": "us-east-1",
        "resources": [],
        "detail": {},
    })
    .to_string()
}
