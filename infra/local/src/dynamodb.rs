//! The table of one local world: dynoxide in this process, behind a proxy of ours.
//!
//! The proxy exists for what no emulator has and every deployed table does: reads that lag behind,
//! transactions that meet, and requests that are too many. It also refuses the operations that the bundle has no right to. It
//! must not know what is stored: keys are what the table's own schema says they are.

mod call;
mod conflicts;
mod node;
mod proxy;
mod replica;
mod stream;
mod throttling;
mod usage;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::access::Access;
use node::{Node, Table};
use proxy::Proxy;
use replica::Replica;
pub use stream::StreamPosition;
pub use usage::{Used, round_trips, write_units};

/// What the table does wrong on purpose, as shares from 0 to 1. Whether it hits is a pure function
/// of the seed, the operation, its keys and how often the same was asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Of the reads that did not ask for consistency: answered from a replica that lags behind.
    pub stale_reads: f64,
    /// Of the transactions and single writes: refused because of a conflict. When it is not zero,
    /// requests that really overlap are refused as well.
    pub conflicts: f64,
    /// Of the requests: refused because they are too many. Of a batch: the keys that it is not done for.
    pub throttled: f64,
    /// Another seed, other requests.
    pub seed: u64,
}

/// The table and its servers, which end when the last clone is dropped.
#[derive(Clone)]
pub struct DynamoDb(Arc<Handle>);

impl std::fmt::Debug for DynamoDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DynamoDb({})", self.0.endpoint)
    }
}

struct Handle {
    endpoint: String,
    proxy: Arc<Proxy>,
    accepting: JoinHandle<()>,
    /// Dropped with the handle, which ends dynoxide's own servers.
    _stops: Vec<oneshot::Sender<()>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl DynamoDb {
    /// Starts the table and its proxy on free loopback ports. `create_table` is the JSON of a
    /// CreateTable request; a `file` may hold the table already.
    ///
    /// # Errors
    /// When the request is not one, the file is not a table, or no port can be opened.
    pub(crate) async fn start(
        create_table: Value,
        ttl_attribute: Option<&str>,
        file: Option<&Path>,
        faults: Faults,
        access: Arc<Access>,
    ) -> anyhow::Result<DynamoDb> {
        let table = Table::parse(create_table)?;
        let primary = table.open(file, ttl_attribute)?;
        let (primary, stop) = Node::serve(primary, table.clone()).await?;
        let mut stops = vec![stop];
        let replica = if faults.stale_reads > 0.0 {
            let (copy, stop) = Node::serve(primary.copy()?, table).await?;
            stops.push(stop);
            Some(Replica::new(copy))
        } else {
            None
        };
        let proxy = Arc::new(Proxy::new(primary, replica, faults, access));
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("no port for DynamoDB")?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let accepting = tokio::spawn(proxy::accept(listener, Arc::clone(&proxy)));
        Ok(DynamoDb(Arc::new(Handle {
            endpoint,
            proxy,
            accepting,
            _stops: stops,
        })))
    }

    /// What a client takes as `endpoint_url`.
    pub fn endpoint(&self) -> String {
        self.0.endpoint.clone()
    }

    /// Lets every read see all that was written so far.
    ///
    /// # Panics
    /// When the replica refuses a state of the primary, which would be a mistake in this module.
    pub fn catch_up(&self) {
        if let Some(replica) = &self.0.proxy.replica {
            replica.apply_until(0).expect("the replica takes any state");
        }
    }

    /// Up to `limit` records after the position, in the shape in which Lambda delivers them.
    ///
    /// # Errors
    /// When the table has no stream.
    pub fn stream_records(
        &self,
        from: &mut StreamPosition,
        limit: usize,
    ) -> anyhow::Result<Vec<Value>> {
        from.read_on(&self.0.proxy.primary, limit)
    }

    /// Like [`DynamoDb::stream_records`], and waits until there is at least one record.
    ///
    /// # Errors
    /// When the table has no stream.
    pub async fn stream_wait(
        &self,
        from: &mut StreamPosition,
        limit: usize,
    ) -> anyhow::Result<Vec<Value>> {
        // Listened to before the first look: a write after the look rings, one before it is seen.
        let mut bell = self.0.proxy.bell.subscribe();
        loop {
            let records = self.stream_records(from, limit)?;
            if !records.is_empty() {
                return Ok(records);
            }
            bell.changed().await?;
        }
    }

    /// Stops or resumes the faults, so that a world can be set up in peace.
    pub fn set_quiet(&self, quiet: bool) {
        self.0.proxy.quiet.store(quiet, Ordering::Relaxed);
    }

    /// Ends a function after its `nth` call from now on: the call is carried out, and its answer one that
    /// no client tries again.
    pub fn end_after(&self, caller: &str, nth: u64) {
        let before = nth.saturating_sub(1);
        *lock(&self.0.proxy.lost) = Some((caller.to_owned(), before));
    }

    /// Whether there is still somebody to be ended, see [`DynamoDb::end_after`].
    pub fn will_end(&self) -> bool {
        lock(&self.0.proxy.lost).is_some()
    }

    /// Every item of the table, for tests.
    ///
    /// # Errors
    /// When the database fails.
    pub fn items(&self) -> anyhow::Result<Vec<Value>> {
        self.0.proxy.primary.items()
    }

    /// Begins to measure what requests are charged with; what was measured before is given back.
    pub fn measure(&self) -> Vec<Used> {
        let before = lock(&self.0.proxy.usage).replace(Vec::new());
        before.unwrap_or_default()
    }

    /// Deletes what has expired, and tells how much that was. AWS does it within days.
    ///
    /// # Errors
    /// When the database fails.
    pub fn sweep_ttl(&self) -> anyhow::Result<usize> {
        self.0.proxy.sweep_ttl()
    }

    /// How many requests of each operation reached the proxy, the refused ones included.
    pub fn operations(&self) -> BTreeMap<String, u64> {
        lock(&self.0.proxy.operations).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No invariant spans a panic here, and the counts of a failed test are still worth reading.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
