//! SQS on the wire: the two sends of the JSON protocol, with AWS's limits and its typed errors.
//!
//! It exists because the bundle's own error handling is only tested by the errors that AWS really
//! gives. Members that it does not read are refused: what we do not read, we do not emulate. It must
//! not know when a message becomes visible, nor who receives it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::state::Queues;
use super::{World, lock};
use crate::access::Access;

const TARGET_PREFIX: &str = "AmazonSQS.";
const MAX_ENTRIES: usize = 10;
pub(super) const MAX_BYTES: usize = 1024 * 1024;
const MAX_DELAY_SECONDS: i64 = 900;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct SendMessage {
    /// Only its name is left, as in the batch.
    queue_url: String,
    #[serde(default)]
    message_body: String,
    #[serde(default)]
    delay_seconds: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct SendMessageBatch {
    queue_url: String,
    #[serde(default)]
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Entry {
    id: String,
    #[serde(default)]
    message_body: String,
    #[serde(default)]
    delay_seconds: i64,
}

/// An error as the JSON protocol tells it, and the older code that the clients map to a type.
struct Refusal {
    status: StatusCode,
    shape: &'static str,
    code: String,
    message: String,
}

impl Refusal {
    /// With the code that most errors have: their own name.
    fn new(shape: &'static str, message: impl Into<String>) -> Refusal {
        Refusal {
            status: StatusCode::BAD_REQUEST,
            shape,
            code: shape.to_owned(),
            message: message.into(),
        }
    }

    fn invalid(message: impl Into<String>) -> Refusal {
        Refusal::new("InvalidParameterValue", message)
    }

    fn of_batch(shape: &'static str, message: impl Into<String>) -> Refusal {
        Refusal {
            code: format!("AWS.SimpleQueueService.{shape}"),
            ..Refusal::new(shape, message)
        }
    }

    fn denied(message: String) -> Refusal {
        Refusal {
            status: StatusCode::FORBIDDEN,
            code: "AccessDenied".to_owned(),
            ..Refusal::new("AccessDeniedException", message)
        }
    }

    fn fault() -> Refusal {
        Refusal {
            status: StatusCode::SERVICE_UNAVAILABLE,
            ..Refusal::new("ServiceUnavailable", "a fault that was asked for")
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let sender = if self.status.is_server_error() {
            "Receiver"
        } else {
            "Sender"
        };
        let body = json!({
            "__type": format!("com.amazonaws.sqs#{}", self.shape),
            "message": self.message,
        });
        let error = [("x-amzn-query-error", format!("{};{sender}", self.code))];
        (self.status, error, amz_json(&body)).into_response()
    }
}

fn amz_json(body: &Value) -> impl IntoResponse {
    (
        [("content-type", "application/x-amz-json-1.0")],
        body.to_string(),
    )
}

pub(super) fn router(world: Arc<World>, access: Arc<Access>) -> Router {
    Router::new()
        .route("/ping", get("healthy"))
        .fallback(answer)
        .layer(DefaultBodyLimit::disable())
        .with_state((world, access))
}

type Shared = (Arc<World>, Arc<Access>);

async fn answer(
    State((world, access)): State<Shared>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match carry_out(&world, &access, &headers, &body) {
        Ok(answer) => amz_json(&answer).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

fn operation(headers: &HeaderMap) -> &str {
    let target = headers
        .get("x-amz-target")
        .and_then(|value| value.to_str().ok());
    target
        .and_then(|target| target.strip_prefix(TARGET_PREFIX))
        .unwrap_or_default()
}

fn carry_out(
    world: &World,
    access: &Access,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Value, Refusal> {
    let operation = operation(headers);
    let request = parse_request(body)?;
    let action = match operation {
        // There is no action of its own for a batch.
        "SendMessageBatch" => "sqs:SendMessage".to_owned(),
        other => format!("sqs:{other}"),
    };
    let queue = request["QueueUrl"].as_str().unwrap_or_default();
    access
        .check(headers, &action, queue)
        .map_err(Refusal::denied)?;
    let mut queues = lock(world);
    if queues.fails(operation, &request.to_string()) {
        return Err(Refusal::fault());
    }
    match operation {
        "SendMessage" => send_message(&mut queues, from_value(request)?),
        "SendMessageBatch" => send_message_batch(&mut queues, from_value(request)?),
        other => Err(Refusal::new(
            "InvalidAction",
            format!(
                "the bundle does not call {other:?} on SQS, so cargo local does not emulate it"
            ),
        )),
    }
}

fn parse_request(body: &[u8]) -> Result<Value, Refusal> {
    let mut request: Value =
        serde_json::from_slice(body).map_err(|error| Refusal::invalid(error.to_string()))?;
    // For the faults the same request has to be the same text, and clients write maps in any order
    // and this world's port into the URL.
    request.sort_all_objects();
    if let Some(url) = request.get_mut("QueueUrl") {
        *url = url
            .as_str()
            .and_then(|url| url.rsplit('/').next())
            .unwrap_or_default()
            .into();
    }
    Ok(request)
}

fn from_value<T: DeserializeOwned>(request: Value) -> Result<T, Refusal> {
    serde_json::from_value(request).map_err(|error| Refusal::invalid(error.to_string()))
}

fn send_message(queues: &mut Queues, request: SendMessage) -> Result<Value, Refusal> {
    check_queue(queues, &request.queue_url)?;
    let entry = Entry {
        id: String::new(),
        message_body: request.message_body,
        delay_seconds: request.delay_seconds,
    };
    send(queues, &request.queue_url, entry)
}

fn send_message_batch(queues: &mut Queues, request: SendMessageBatch) -> Result<Value, Refusal> {
    check_queue(queues, &request.queue_url)?;
    check_batch(&request.entries)?;
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for entry in request.entries {
        let id = entry.id.clone();
        match send(queues, &request.queue_url, entry) {
            Ok(mut sent) => {
                sent["Id"] = id.into();
                successful.push(sent);
            }
            Err(Refusal { code, message, .. }) => failed
                .push(json!({ "Id": id, "SenderFault": true, "Code": code, "Message": message })),
        }
    }
    Ok(json!({ "Successful": successful, "Failed": failed }))
}

fn send(queues: &mut Queues, queue: &str, entry: Entry) -> Result<Value, Refusal> {
    check_entry(&entry)?;
    let md5 = md5_hex(&entry.message_body);
    let delay = Duration::from_secs(entry.delay_seconds.unsigned_abs());
    let id = queues.send(queue, entry.message_body, delay);
    Ok(json!({ "MessageId": id, "MD5OfMessageBody": md5 }))
}

fn check_queue(queues: &Queues, name: &str) -> Result<(), Refusal> {
    if queues.has(name) {
        return Ok(());
    }
    Err(Refusal {
        code: "AWS.SimpleQueueService.NonExistentQueue".to_owned(),
        ..Refusal::new(
            "QueueDoesNotExist",
            format!("The specified queue does not exist: {name}"),
        )
    })
}

/// What makes SQS refuse a batch as a whole.
fn check_batch(entries: &[Entry]) -> Result<(), Refusal> {
    if entries.is_empty() {
        let message = "There should be at least one SendMessageBatchRequestEntry in the request.";
        return Err(Refusal::of_batch("EmptyBatchRequest", message));
    }
    if entries.len() > MAX_ENTRIES {
        let message = format!("Maximum number of entries per request are {MAX_ENTRIES}.");
        return Err(Refusal::of_batch("TooManyEntriesInBatchRequest", message));
    }
    if let Some(entry) = entries.iter().find(|entry| !is_batch_id(&entry.id)) {
        let message = format!("{:?} can only hold 1 to 80 of [A-Za-z0-9_-].", entry.id);
        return Err(Refusal::of_batch("InvalidBatchEntryId", message));
    }
    let ids: BTreeSet<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
    if ids.len() < entries.len() {
        return Err(Refusal::of_batch(
            "BatchEntryIdsNotDistinct",
            "Two entries have the same Id.",
        ));
    }
    if entries
        .iter()
        .map(|entry| entry.message_body.len())
        .sum::<usize>()
        > MAX_BYTES
    {
        let message = format!("Batch requests cannot be longer than {MAX_BYTES} bytes.");
        return Err(Refusal::of_batch("BatchRequestTooLong", message));
    }
    Ok(())
}

fn is_batch_id(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=80).contains(&id.len()) && id.bytes().all(allowed)
}

/// What makes SQS refuse one message.
fn check_entry(entry: &Entry) -> Result<(), Refusal> {
    if entry.message_body.is_empty() {
        let message = "The request must contain the parameter MessageBody.";
        return Err(Refusal::new("MissingParameter", message));
    }
    if entry.message_body.len() > MAX_BYTES {
        return Err(Refusal::invalid(format!(
            "Message must be shorter than {MAX_BYTES} bytes."
        )));
    }
    if !(0..=MAX_DELAY_SECONDS).contains(&entry.delay_seconds) {
        let message = format!("DelaySeconds must be >= 0 and <= {MAX_DELAY_SECONDS}.");
        return Err(Refusal::invalid(message));
    }
    if let Some(bad) = entry.message_body.chars().find(|c| !is_allowed_in_body(*c)) {
        let message = format!("The message contains {bad:?}, which is outside the allowed set.");
        return Err(Refusal::new("InvalidMessageContents", message));
    }
    Ok(())
}

/// The characters of XML 1.0; SQS refuses the others, whatever the protocol.
fn is_allowed_in_body(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

pub(super) fn md5_hex(text: &str) -> String {
    format!("{:x}", md5::compute(text))
}
