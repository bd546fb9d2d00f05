//! The queues of one local world: SQS as the producers of the bundle see it on the wire, and the
//! receiving half in process, because on AWS Lambda's event source mapping does the receiving.
//!
//! It exists so that the unmodified SDK client can send, and so that a test can move the queues'
//! clock instead of waiting. It must not know what a message means, who consumes a queue, or that
//! Lambda exists; and it refuses whatever the bundle does not call, so that a new call is noticed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

const REGION: &str = "us-east-1";
const ACCOUNT: &str = "000000000000";
const TARGET_PREFIX: &str = "AmazonSQS.";
const MAX_ENTRIES: usize = 10;
const MAX_BYTES: usize = 1024 * 1024;
const MAX_ATTRIBUTES: usize = 10;
const MAX_DELAY_SECONDS: i64 = 900;

/// What the template says about one queue.
#[derive(Clone, Debug)]
pub struct QueueSpec {
    /// The name, as in the last part of its URL.
    pub name: String,
    /// How long a received message stays invisible.
    pub visibility_timeout: Duration,
    /// After how many receives a message goes to the dead-letter queue.
    pub max_receive_count: Option<u32>,
    /// The name of the dead-letter queue; it has to be among the queues started.
    pub dead_letter_queue: Option<String>,
}

/// One message as a consumer gets it.
#[derive(Clone, Debug)]
pub struct Received {
    /// Stays the same over all receives and in the dead-letter queue.
    pub message_id: String,
    /// New with every receive; only the newest deletes.
    pub receipt_handle: String,
    /// What the producer sent.
    pub body: String,
    /// This receive included.
    pub receive_count: u32,
    /// Milliseconds since the epoch, by the queues' clock.
    pub sent_timestamp_ms: u64,
    /// Milliseconds since the epoch, by the queues' clock.
    pub first_received_ms: u64,
    /// The string attributes the producer set.
    pub attributes: BTreeMap<String, String>,
}

/// What `queues_url` shows of one queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueueStats {
    /// Could be received now.
    pub visible: u64,
    /// Received, and neither deleted nor visible again.
    pub in_flight: u64,
    /// Sent with a delay that is not over.
    pub delayed: u64,
    /// In the dead-letter queue of this queue.
    pub dead: u64,
    /// Receives in all, the repeated ones included.
    pub received: u64,
    /// What the consumer reported with [`Sqs::record_failed`].
    pub failed: u64,
}

/// The queues and their server, which ends when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Sqs(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    endpoint: String,
    world: Arc<World>,
    /// Dropped with the handle, which ends the server.
    _stop: oneshot::Sender<()>,
}

/// What the handle and the server share; kept apart from the handle so that a connection which is
/// still open does not keep the server alive.
type World = Mutex<Queues>;

#[derive(Debug)]
struct Queues {
    by_name: BTreeMap<String, Queue>,
    clock: Clock,
    /// Counts messages and receives, so that every sequence number and receipt is new.
    drawn: u64,
    failures: Option<Failures>,
}

/// The time of day at the start, and from there on tokio's monotonic time (the timers that wait for
/// it are tokio's) and what [`Sqs::advance`] added.
#[derive(Debug)]
struct Clock {
    started: Instant,
    started_unix: Duration,
    ahead: Duration,
}

#[derive(Debug)]
struct Failures {
    rate: f64,
    seed: u64,
    tried: HashMap<u64, u64>,
}

#[derive(Debug)]
struct Queue {
    spec: QueueSpec,
    /// By sequence number: the oldest first.
    messages: BTreeMap<u64, Message>,
    /// Counters, of which none ever falls.
    sent: u64,
    received: u64,
    failed: u64,
    /// Rings whenever a message may have become visible, or the clock has moved.
    bell: Arc<Notify>,
}

#[derive(Clone, Debug)]
struct Message {
    id: String,
    body: String,
    attributes: BTreeMap<String, String>,
    sent_at: Duration,
    first_received_at: Option<Duration>,
    receives: u32,
    visible_at: Duration,
    /// The newest one; none while it was never received here.
    receipt: Option<String>,
}

impl Sqs {
    /// Starts the server on a free loopback port.
    ///
    /// # Errors
    /// When a dead-letter queue is named that is not among `queues`, or no port can be opened.
    pub async fn start(queues: Vec<QueueSpec>) -> anyhow::Result<Sqs> {
        let by_name = build_queues(queues)?;
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("no port for SQS")?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let queues = Queues {
            by_name,
            clock: Clock::start(),
            drawn: 0,
            failures: None,
        };
        let world = Arc::new(Mutex::new(queues));
        let router = Router::new()
            .fallback(answer)
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&world));
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = axum::serve(listener, router).with_graceful_shutdown(async {
            // An error is the drop of the sender, which is the signal.
            let _ = stopped.await;
        });
        tokio::spawn(serving.into_future());
        Ok(Sqs(Arc::new(Handle {
            endpoint,
            world,
            _stop: stop,
        })))
    }

    /// What a client takes as `endpoint_url`.
    pub fn endpoint(&self) -> String {
        self.0.endpoint.clone()
    }

    /// The URL that a producer is configured with.
    pub fn queue_url(&self, name: &str) -> String {
        format!("{}/{ACCOUNT}/{name}", self.0.endpoint)
    }

    /// The ARN that an event names as its source.
    pub fn queue_arn(name: &str) -> String {
        format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}")
    }

    /// Answers a share of the requests with 503 from now on. Which ones is a pure function of the
    /// seed, the operation, the request and how often the same request was tried since.
    pub fn set_failure_rate(&self, rate: f64, seed: u64) {
        let failures = Failures {
            rate,
            seed,
            tried: HashMap::new(),
        };
        self.lock().failures = Some(failures).filter(|_| rate > 0.0);
    }

    /// Takes up to `max` visible messages, the oldest first. A message that was received as often
    /// as its queue allows goes to the dead-letter queue instead: as on AWS, nothing moves there
    /// while nobody receives.
    ///
    /// # Panics
    /// When there is no such queue, as all in-process methods do: it is a mistake of the caller.
    pub fn receive(&self, queue: &str, max: usize) -> Vec<Received> {
        self.lock().receive(queue, max)
    }

    /// Like [`Sqs::receive`], and waits until there is at least one message.
    pub async fn receive_wait(&self, queue: &str, max: usize) -> Vec<Received> {
        loop {
            let (bell, timer) = {
                let mut state = self.lock();
                let received = state.receive(queue, max);
                if !received.is_empty() {
                    return received;
                }
                // Taken while the lock is held: what is sent after it rings this very bell.
                let bell = Arc::clone(&state.queue(queue).bell).notified_owned();
                (bell, state.next_visible_in(queue))
            };
            tokio::select! {
                () = bell => {}
                () = sleep_or_wait(timer) => {}
            }
        }
    }

    /// Deletes a message; a receipt from before the latest receive deletes nothing.
    pub fn delete(&self, queue: &str, receipt: &str) -> bool {
        let mut state = self.lock();
        let queue = state.queue_mut(queue);
        match queue.sequence_of(receipt) {
            Some(sequence) => queue.messages.remove(&sequence).is_some(),
            None => false,
        }
    }

    /// Counts a message's invisibility anew from now; zero returns it at once. A stale receipt
    /// changes nothing.
    pub fn change_visibility(&self, queue: &str, receipt: &str, timeout: Duration) {
        let mut state = self.lock();
        let visible_at = state.clock.now() + timeout;
        let queue = state.queue_mut(queue);
        if let Some(sequence) = queue.sequence_of(receipt)
            && let Some(message) = queue.messages.get_mut(&sequence)
        {
            message.visible_at = visible_at;
            queue.bell.notify_waiters();
        }
    }

    /// Adds `n` to the failed messages that [`Sqs::stats`] shows.
    pub fn record_failed(&self, queue: &str, n: u64) {
        self.lock().queue_mut(queue).failed += n;
    }

    /// Moves the queues' clock, and nobody else's.
    pub fn advance(&self, by: Duration) {
        let mut state = self.lock();
        state.clock.ahead += by;
        for queue in state.by_name.values() {
            queue.bell.notify_waiters();
        }
    }

    /// How long until the earliest delayed or in-flight message is visible; `None` without one.
    pub fn next_visible_in(&self, queue: &str) -> Option<Duration> {
        self.lock().next_visible_in(queue)
    }

    /// The counts of every queue that has a dead-letter queue.
    pub fn stats(&self) -> BTreeMap<String, QueueStats> {
        let state = self.lock();
        let now = state.clock.now();
        let counted = state.by_name.values().filter_map(|queue| {
            let dead = state
                .queue(queue.spec.dead_letter_queue.as_ref()?)
                .messages
                .len() as u64;
            let stats = QueueStats {
                dead,
                ..queue.stats(now)
            };
            Some((queue.spec.name.clone(), stats))
        });
        counted.collect()
    }

    /// The bodies of all messages there are, visible or not, the oldest first. Receives nothing.
    pub fn messages(&self, queue: &str) -> Vec<String> {
        let state = self.lock();
        state
            .queue(queue)
            .messages
            .values()
            .map(|message| message.body.clone())
            .collect()
    }

    /// How many messages producers ever sent to this queue.
    pub fn sent_count(&self, queue: &str) -> u64 {
        self.lock().queue(queue).sent
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        lock(&self.0.world)
    }
}

async fn sleep_or_wait(timer: Option<Duration>) {
    match timer {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

fn build_queues(specs: Vec<QueueSpec>) -> anyhow::Result<BTreeMap<String, Queue>> {
    let names: BTreeSet<String> = specs.iter().map(|spec| spec.name.clone()).collect();
    anyhow::ensure!(names.len() == specs.len(), "two queues have the same name");
    for spec in &specs {
        let known = spec
            .dead_letter_queue
            .as_ref()
            .is_none_or(|name| names.contains(name));
        anyhow::ensure!(
            known,
            "the dead-letter queue of {} does not exist",
            spec.name
        );
    }
    Ok(specs
        .into_iter()
        .map(|spec| (spec.name.clone(), Queue::new(spec)))
        .collect())
}

fn lock(world: &World) -> MutexGuard<'_, Queues> {
    // No invariant spans a panic here, and the counts of a failed test are still worth reading.
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the queues have a clock of their own; this is where it starts"
    )]
    fn start() -> Clock {
        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Clock {
            started: Instant::now(),
            started_unix: unix.unwrap_or_default(),
            ahead: Duration::ZERO,
        }
    }

    /// Since the epoch.
    fn now(&self) -> Duration {
        self.started_unix + self.started.elapsed() + self.ahead
    }
}

impl Queues {
    fn queue(&self, name: &str) -> &Queue {
        self.by_name
            .get(name)
            .unwrap_or_else(|| panic!("there is no queue {name}"))
    }

    fn queue_mut(&mut self, name: &str) -> &mut Queue {
        self.by_name
            .get_mut(name)
            .unwrap_or_else(|| panic!("there is no queue {name}"))
    }

    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        self.drawn
    }

    fn next_visible_in(&self, queue: &str) -> Option<Duration> {
        let now = self.clock.now();
        let visible_at = self
            .queue(queue)
            .messages
            .values()
            .map(|message| message.visible_at);
        visible_at.filter(|at| *at > now).min().map(|at| at - now)
    }

    fn receive(&mut self, name: &str, max: usize) -> Vec<Received> {
        let now = self.clock.now();
        self.bury(name, now);
        let visible: Vec<u64> = self.queue(name).visible(now).take(max).collect();
        let receives = visible.into_iter().map(|sequence| {
            let receipt = format!("{sequence}.{}", self.draw());
            self.queue_mut(name).hand_out(sequence, receipt, now)
        });
        receives.flatten().collect()
    }

    /// Moves what was received too often to the dead-letter queue.
    fn bury(&mut self, name: &str, now: Duration) {
        let queue = self.queue(name);
        let (Some(limit), Some(cemetery)) = (
            queue.spec.max_receive_count,
            queue.spec.dead_letter_queue.clone(),
        ) else {
            return;
        };
        let dead: Vec<u64> = queue
            .visible(now)
            .filter(|sequence| queue.messages[sequence].receives >= limit)
            .collect();
        for sequence in dead {
            let Some(message) = self.queue_mut(name).messages.remove(&sequence) else {
                continue;
            };
            let sequence = self.draw();
            let cemetery = self.queue_mut(&cemetery);
            cemetery.messages.insert(
                sequence,
                Message {
                    receipt: None,
                    ..message
                },
            );
            cemetery.bell.notify_waiters();
        }
    }

    fn send(&mut self, name: &str, entry: Entry) -> String {
        let sequence = self.draw();
        let now = self.clock.now();
        let delay = Duration::from_secs(entry.delay_seconds.unsigned_abs());
        let message = Message {
            id: new_message_id(),
            body: entry.message_body,
            attributes: string_values(entry.message_attributes),
            sent_at: now,
            first_received_at: None,
            receives: 0,
            visible_at: now + delay,
            receipt: None,
        };
        let id = message.id.clone();
        let queue = self.queue_mut(name);
        queue.messages.insert(sequence, message);
        queue.sent += 1;
        queue.bell.notify_waiters();
        id
    }

    /// Whether this try of this request is one of those that fail.
    fn fails(&mut self, operation: &str, request: &Value) -> bool {
        let Some(failures) = &mut self.failures else {
            return false;
        };
        let mut hasher = DefaultHasher::new();
        (failures.seed, operation, request.to_string()).hash(&mut hasher);
        let request = hasher.finish();
        let tried = failures.tried.entry(request).or_default();
        *tried += 1;
        let mut hasher = DefaultHasher::new();
        (request, *tried).hash(&mut hasher);
        // The upper 53 bits fit a float exactly and make it a number from 0 to 1.
        ((hasher.finish() >> 11) as f64) < failures.rate * (1_u64 << 53) as f64
    }
}

impl Queue {
    fn new(spec: QueueSpec) -> Queue {
        let bell = Arc::new(Notify::new());
        Queue {
            spec,
            messages: BTreeMap::new(),
            sent: 0,
            received: 0,
            failed: 0,
            bell,
        }
    }

    fn visible(&self, now: Duration) -> impl Iterator<Item = u64> {
        let visible = self
            .messages
            .iter()
            .filter(move |(_, message)| message.visible_at <= now);
        visible.map(|(sequence, _)| *sequence)
    }

    /// The message of a receipt, unless it was received again since.
    fn sequence_of(&self, receipt: &str) -> Option<u64> {
        let sequence = receipt.split('.').next()?.parse().ok()?;
        let current = self.messages.get(&sequence)?.receipt.as_deref();
        (current == Some(receipt)).then_some(sequence)
    }

    fn hand_out(&mut self, sequence: u64, receipt: String, now: Duration) -> Option<Received> {
        let message = self.messages.get_mut(&sequence)?;
        let first_received_at = *message.first_received_at.get_or_insert(now);
        message.receives += 1;
        message.visible_at = now + self.spec.visibility_timeout;
        message.receipt = Some(receipt.clone());
        self.received += 1;
        Some(Received {
            message_id: message.id.clone(),
            receipt_handle: receipt,
            body: message.body.clone(),
            receive_count: message.receives,
            sent_timestamp_ms: millis(message.sent_at),
            first_received_ms: millis(first_received_at),
            attributes: message.attributes.clone(),
        })
    }

    fn stats(&self, now: Duration) -> QueueStats {
        let mut stats = QueueStats {
            received: self.received,
            failed: self.failed,
            ..QueueStats::default()
        };
        for message in self.messages.values() {
            if message.visible_at <= now {
                stats.visible += 1;
            } else if message.receipt.is_some() {
                stats.in_flight += 1;
            } else {
                stats.delayed += 1;
            }
        }
        stats
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A message id has the form of a UUID.
fn new_message_id() -> String {
    let bits: u128 = rand::random();
    let hex = format!("{bits:032x}");
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

// From here on the wire. Unknown members are refused: what we do not read, we do not emulate.

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct SendMessage {
    /// Only its name is left, as in the batch.
    queue_url: String,
    #[serde(default)]
    message_body: String,
    #[serde(default)]
    delay_seconds: i64,
    #[serde(default)]
    message_attributes: BTreeMap<String, Attribute>,
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
    #[serde(default)]
    message_attributes: BTreeMap<String, Attribute>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Attribute {
    data_type: String,
    string_value: String,
}

/// An error as the JSON protocol tells it, and the older code that the clients map to a type.
struct Refusal {
    status: StatusCode,
    shape: &'static str,
    code: String,
    message: String,
}

impl Refusal {
    fn new(shape: &'static str, code: impl Into<String>, message: impl Into<String>) -> Refusal {
        let status = StatusCode::BAD_REQUEST;
        Refusal {
            status,
            shape,
            code: code.into(),
            message: message.into(),
        }
    }

    fn invalid(message: impl Into<String>) -> Refusal {
        Refusal::new("InvalidParameterValue", "InvalidParameterValue", message)
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

async fn answer(State(world): State<Arc<World>>, headers: HeaderMap, body: Bytes) -> Response {
    match carry_out(&world, operation(&headers), &body) {
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

fn carry_out(world: &World, operation: &str, body: &[u8]) -> Result<Value, Refusal> {
    let request = parse_request(body)?;
    let mut queues = lock(world);
    if queues.fails(operation, &request) {
        return Err(Refusal {
            status: StatusCode::SERVICE_UNAVAILABLE,
            ..Refusal::new(
                "ServiceUnavailable",
                "ServiceUnavailable",
                "a fault that was asked for",
            )
        });
    }
    match operation {
        "SendMessage" => send_message(&mut queues, from_value(request)?),
        "SendMessageBatch" => send_message_batch(&mut queues, from_value(request)?),
        other => Err(Refusal::new(
            "InvalidAction",
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

fn from_value<T: serde::de::DeserializeOwned>(request: Value) -> Result<T, Refusal> {
    serde_json::from_value(request).map_err(|error| Refusal::invalid(error.to_string()))
}

fn send_message(queues: &mut Queues, request: SendMessage) -> Result<Value, Refusal> {
    let queue = request.queue_url;
    check_queue(queues, &queue)?;
    let entry = Entry {
        id: String::new(),
        message_body: request.message_body,
        delay_seconds: request.delay_seconds,
        message_attributes: request.message_attributes,
    };
    check_entry(&entry)?;
    let md5 = md5_hex(&entry.message_body);
    let id = queues.send(&queue, entry);
    Ok(json!({ "MessageId": id, "MD5OfMessageBody": md5 }))
}

fn send_message_batch(queues: &mut Queues, request: SendMessageBatch) -> Result<Value, Refusal> {
    let queue = request.queue_url;
    check_queue(queues, &queue)?;
    check_batch(&request.entries)?;
    let mut sent = Vec::new();
    let mut failed = Vec::new();
    for entry in request.entries {
        let id = entry.id.clone();
        if let Err(Refusal { code, message, .. }) = check_entry(&entry) {
            let error = json!({ "Id": id, "SenderFault": true, "Code": code, "Message": message });
            failed.push(error);
            continue;
        }
        let md5 = md5_hex(&entry.message_body);
        let message_id = queues.send(&queue, entry);
        sent.push(json!({ "Id": id, "MessageId": message_id, "MD5OfMessageBody": md5 }));
    }
    Ok(json!({ "Successful": sent, "Failed": failed }))
}

fn check_queue(queues: &Queues, name: &str) -> Result<(), Refusal> {
    if queues.by_name.contains_key(name) {
        return Ok(());
    }
    Err(Refusal::new(
        "QueueDoesNotExist",
        "AWS.SimpleQueueService.NonExistentQueue",
        format!("The specified queue does not exist: {name}"),
    ))
}

/// What makes SQS refuse a batch as a whole.
fn check_batch(entries: &[Entry]) -> Result<(), Refusal> {
    if entries.is_empty() {
        let message = "There should be at least one SendMessageBatchRequestEntry in the request.";
        return Err(batch_refusal("EmptyBatchRequest", message));
    }
    if entries.len() > MAX_ENTRIES {
        let message = format!("Maximum number of entries per request are {MAX_ENTRIES}.");
        return Err(batch_refusal("TooManyEntriesInBatchRequest", message));
    }
    if let Some(entry) = entries.iter().find(|entry| !is_batch_id(&entry.id)) {
        let message = format!("{:?} can only hold 1 to 80 of [A-Za-z0-9_-].", entry.id);
        return Err(batch_refusal("InvalidBatchEntryId", message));
    }
    let ids: BTreeSet<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
    if ids.len() < entries.len() {
        return Err(batch_refusal(
            "BatchEntryIdsNotDistinct",
            "Two entries have the same Id.",
        ));
    }
    if entries.iter().map(Entry::bytes).sum::<usize>() > MAX_BYTES {
        let message = format!("Batch requests cannot be longer than {MAX_BYTES} bytes.");
        return Err(batch_refusal("BatchRequestTooLong", message));
    }
    Ok(())
}

fn batch_refusal(shape: &'static str, message: impl Into<String>) -> Refusal {
    Refusal::new(shape, format!("AWS.SimpleQueueService.{shape}"), message)
}

fn is_batch_id(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=80).contains(&id.len()) && id.bytes().all(allowed)
}

/// What makes SQS refuse one message.
fn check_entry(entry: &Entry) -> Result<(), Refusal> {
    if entry.message_body.is_empty() {
        let message = "The request must contain the parameter MessageBody.";
        return Err(Refusal::new(
            "MissingParameter",
            "MissingParameter",
            message,
        ));
    }
    if entry.bytes() > MAX_BYTES {
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
        return Err(Refusal::new(
            "InvalidMessageContents",
            "InvalidMessageContents",
            message,
        ));
    }
    check_attributes(&entry.message_attributes)
}

fn check_attributes(attributes: &BTreeMap<String, Attribute>) -> Result<(), Refusal> {
    if attributes.len() > MAX_ATTRIBUTES {
        let message = format!("A message can have at most {MAX_ATTRIBUTES} attributes.");
        return Err(Refusal::invalid(message));
    }
    let not_a_string = attributes
        .iter()
        .find(|(_, attribute)| attribute.data_type != "String");
    match not_a_string {
        Some((name, _)) => Err(Refusal::invalid(format!(
            "attribute {name} is not a String: cargo local does not emulate other types"
        ))),
        None => Ok(()),
    }
}

/// The characters of XML 1.0; SQS refuses the others, whatever the protocol.
fn is_allowed_in_body(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

impl Entry {
    /// What counts against the limit: the body and the attributes with their names and types.
    fn bytes(&self) -> usize {
        let attributes = self.message_attributes.iter().map(|(name, attribute)| {
            name.len() + attribute.data_type.len() + attribute.string_value.len()
        });
        self.message_body.len() + attributes.sum::<usize>()
    }
}

fn string_values(attributes: BTreeMap<String, Attribute>) -> BTreeMap<String, String> {
    let values = attributes
        .into_iter()
        .map(|(name, attribute)| (name, attribute.string_value));
    values.collect()
}

fn md5_hex(text: &str) -> String {
    format!("{:x}", md5::compute(text))
}

#[cfg(test)]
mod tests;
