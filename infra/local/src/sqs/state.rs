//! What the queues hold, and when: visibility, receipts, redrive, and the clock that all of it goes by.
//!
//! It exists apart so that the handle and the server see one state and keep none. It must not know
//! that there is a network, nor what SQS refuses: the wire lets in only what may be stored.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::{QueueSpec, QueueStats, Received};
use crate::faults::Draws;

#[derive(Debug)]
pub(super) struct Queues {
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
    draws: Draws,
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

#[derive(Debug)]
struct Message {
    id: String,
    body: String,
    sent_at: Duration,
    first_received_at: Option<Duration>,
    receives: u32,
    visible_at: Duration,
    /// The newest one; none while it was never received here.
    receipt: Option<String>,
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
    pub(super) fn new(specs: Vec<QueueSpec>) -> anyhow::Result<Queues> {
        Ok(Queues {
            by_name: build_queues(specs)?,
            clock: Clock::start(),
            drawn: 0,
            failures: None,
        })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

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

    pub(super) fn send(&mut self, name: &str, body: String, delay: Duration) -> String {
        let sequence = self.draw();
        let now = self.clock.now();
        let id = new_message_id();
        let message = Message {
            id: id.clone(),
            body,
            sent_at: now,
            first_received_at: None,
            receives: 0,
            visible_at: now + delay,
            receipt: None,
        };
        let queue = self.queue_mut(name);
        queue.messages.insert(sequence, message);
        queue.sent += 1;
        queue.bell.notify_waiters();
        id
    }

    pub(super) fn next_visible_in(&self, queue: &str) -> Option<Duration> {
        let now = self.clock.now();
        let messages = self.queue(queue).messages.values();
        let visible_at = messages.map(|message| message.visible_at);
        visible_at.filter(|at| *at > now).min().map(|at| at - now)
    }

    pub(super) fn receive(&mut self, name: &str, max: usize) -> Vec<Received> {
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

    pub(super) fn delete(&mut self, name: &str, receipt: &str) -> bool {
        let queue = self.queue_mut(name);
        let sequence = queue.sequence_of(receipt);
        sequence.is_some_and(|sequence| queue.messages.remove(&sequence).is_some())
    }

    pub(super) fn change_visibility(&mut self, name: &str, receipt: &str, timeout: Duration) {
        let visible_at = self.clock.now() + timeout;
        let queue = self.queue_mut(name);
        if let Some(sequence) = queue.sequence_of(receipt)
            && let Some(message) = queue.messages.get_mut(&sequence)
        {
            message.visible_at = visible_at;
            queue.bell.notify_waiters();
        }
    }

    pub(super) fn advance(&mut self, by: Duration) {
        self.clock.ahead += by;
        for queue in self.by_name.values() {
            queue.bell.notify_waiters();
        }
    }

    /// Ends with the next ring after this call, however late it is awaited.
    pub(super) fn bell(&self, name: &str) -> impl Future<Output = ()> + use<> {
        Arc::clone(&self.queue(name).bell).notified_owned()
    }

    pub(super) fn record_failed(&mut self, name: &str, n: u64) {
        self.queue_mut(name).failed += n;
    }

    pub(super) fn stats(&self) -> BTreeMap<String, QueueStats> {
        let now = self.clock.now();
        let counted = self.by_name.values().filter_map(|queue| {
            let dead = self.queue(queue.spec.dead_letter_queue.as_ref()?);
            let stats = QueueStats {
                dead: dead.messages.len() as u64,
                ..queue.stats(now)
            };
            Some((queue.spec.name.clone(), stats))
        });
        counted.collect()
    }

    pub(super) fn messages(&self, name: &str) -> Vec<String> {
        let messages = self.queue(name).messages.values();
        messages.map(|message| message.body.clone()).collect()
    }

    pub(super) fn sent_count(&self, name: &str) -> u64 {
        self.queue(name).sent
    }

    pub(super) fn set_failure_rate(&mut self, rate: f64, seed: u64) {
        let draws = Draws::new(seed);
        self.failures = (rate > 0.0).then_some(Failures { rate, draws });
    }

    /// Whether this try of this request is one of those that fail.
    pub(super) fn fails(&mut self, operation: &str, request: &str) -> bool {
        self.failures.as_mut().is_some_and(|failures| {
            let draw = failures.draws.draw(failures.rate, operation, request);
            draw.is_some()
        })
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

impl Queue {
    fn new(spec: QueueSpec) -> Queue {
        Queue {
            spec,
            messages: BTreeMap::new(),
            sent: 0,
            received: 0,
            failed: 0,
            bell: Arc::default(),
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
