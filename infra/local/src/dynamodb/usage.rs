//! What requests cost: the capacity that DynamoDB charges for them, and which of them waited for others.
//!
//! It exists so that a test can hold a flow to its costs. It must not know what a request is for.

use std::time::Instant;

use bytes::Bytes;
use serde_json::Value;

/// A request to the table while somebody measured.
#[derive(Debug, Clone)]
pub struct Used {
    /// Whose it was: the function, or whatever signed it.
    pub caller: String,
    /// Which call.
    pub operation: String,
    /// Whether it writes.
    pub writes: bool,
    /// What it is charged with, in capacity units; twice as much inside a transaction, and again for an
    /// index.
    pub units: f64,
    /// How many items a batch deletes.
    pub deletes: usize,
    started: Instant,
    ended: Instant,
}

/// Asks for what a request is charged with. `None`: it is no JSON object with something in it.
pub(super) fn ask(body: &Bytes) -> Option<Bytes> {
    let text = str::from_utf8(body).ok()?;
    let open = text.trim_end().strip_suffix('}')?;
    Some(format!(r#"{open},"ReturnConsumedCapacity":"TOTAL"}}"#).into())
}

/// How many items a request deletes in a batch.
pub(super) fn deletes(body: &Bytes) -> usize {
    let text = str::from_utf8(body).unwrap_or_default();
    text.matches("\"DeleteRequest\"").count()
}

impl Used {
    /// What an answer says of its request.
    pub(super) fn new(
        caller: String,
        operation: String,
        writes: bool,
        deletes: usize,
        started: Instant,
        answer: &[u8],
    ) -> Self {
        let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
        let units = |capacity: &Value| capacity["CapacityUnits"].as_f64().unwrap_or_default();
        let capacity = &answer["ConsumedCapacity"];
        let units = match capacity.as_array() {
            Some(tables) => tables.iter().map(units).sum(),
            None => units(capacity),
        };
        Self {
            caller,
            operation,
            writes,
            deletes,
            units,
            started,
            ended: Instant::now(),
        }
    }
}

/// How many write units the requests are charged with.
pub fn write_units(used: &[Used]) -> f64 {
    let writes = used.iter().filter(|used| used.writes);
    writes.map(|used| used.units).sum()
}

/// How many of the requests waited for the one before: those that were sent at the same time count once.
pub fn round_trips(used: &[Used]) -> usize {
    let mut used: Vec<_> = used.iter().collect();
    used.sort_by_key(|used| used.started);
    let (mut trips, mut until) = (0, None);
    for used in used {
        if until.is_none_or(|until| used.started >= until) {
            trips += 1;
            until = Some(used.ended);
        } else {
            until = until.max(Some(used.ended));
        }
    }
    trips
}
