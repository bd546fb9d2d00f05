//! The queues of one local world: SQS as the producers of the bundle see it on the wire, and the
//! receiving half in process, because on AWS Lambda's event source mapping does the receiving.
//!
//! It exists so that the unmodified SDK client can send, and so that a test can move the queues'
//! clock instead of waiting. It must not know what a message means, who consumes a queue, or that
//! Lambda exists; and it refuses whatever the bundle does not call, so that a new call is noticed.

mod state;
mod wire;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::access::Access;
use state::Queues;

const REGION: &str = "us-east-1";
const ACCOUNT: &str = "000000000000";

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

impl Sqs {
    /// Starts the server on a free loopback port.
    ///
    /// # Errors
    /// When a dead-letter queue is named that is not among `queues`, or no port can be opened.
    pub(crate) async fn start(queues: Vec<QueueSpec>, access: Arc<Access>) -> anyhow::Result<Sqs> {
        let world = Arc::new(Mutex::new(Queues::new(queues)?));
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("no port for SQS")?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let (stop, stopped) = oneshot::channel::<()>();
        let router = wire::router(Arc::clone(&world), access);
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
        self.lock().set_failure_rate(rate, seed);
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
                (state.bell(queue), state.next_visible_in(queue))
            };
            tokio::select! {
                () = bell => {}
                () = sleep_or_wait(timer) => {}
            }
        }
    }

    /// Deletes a message; a receipt from before the latest receive deletes nothing.
    pub fn delete(&self, queue: &str, receipt: &str) -> bool {
        self.lock().delete(queue, receipt)
    }

    /// Counts a message's invisibility anew from now; zero returns it at once. A stale receipt
    /// changes nothing.
    pub fn change_visibility(&self, queue: &str, receipt: &str, timeout: Duration) {
        self.lock().change_visibility(queue, receipt, timeout);
    }

    /// Adds `n` to the failed messages that [`Sqs::stats`] shows.
    pub fn record_failed(&self, queue: &str, n: u64) {
        self.lock().record_failed(queue, n);
    }

    /// Moves the queues' clock, and nobody else's.
    pub fn advance(&self, by: Duration) {
        self.lock().advance(by);
    }

    /// How long until the earliest delayed or in-flight message is visible; `None` without one.
    pub fn next_visible_in(&self, queue: &str) -> Option<Duration> {
        self.lock().next_visible_in(queue)
    }

    /// The counts of every queue that has a dead-letter queue.
    pub fn stats(&self) -> BTreeMap<String, QueueStats> {
        self.lock().stats()
    }

    /// The bodies of all messages there are, visible or not, the oldest first. Receives nothing.
    pub fn messages(&self, queue: &str) -> Vec<String> {
        self.lock().messages(queue)
    }

    /// How many messages producers ever sent to this queue.
    pub fn sent_count(&self, queue: &str) -> u64 {
        self.lock().sent_count(queue)
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

fn lock(world: &World) -> MutexGuard<'_, Queues> {
    // No invariant spans a panic here, and the counts of a failed test are still worth reading.
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
