//! Transactions that meet: the keys that are being written, and the refusals of AWS.
//!
//! It exists because dynoxide does one request after the other, so that nothing ever meets there. It
//! must not know which conflicts are drawn, nor how a write is carried out.

use std::collections::HashSet;
use std::sync::Mutex;

use serde_json::{Value, json};

use super::call::{Operation, texts};
use super::lock;

pub(super) const ERROR_PREFIX: &str = "com.amazonaws.dynamodb.v20120810#";
const CONFLICT: &str = "Transaction is ongoing for the item";

/// Claims the keys of a write while it is on its way, or says which conflict it meets.
pub(super) fn claim<'a>(
    in_flight: &'a Mutex<HashSet<String>>,
    operation: Operation,
    keys: &[Option<Value>],
) -> Result<Claim<'a>, Value> {
    let mut claimed = lock(in_flight);
    let keys: Vec<Option<String>> = texts(keys).collect();
    let met = |i: usize| keys[i].as_ref().is_some_and(|key| claimed.contains(key));
    if operation.can_conflict() && (0..keys.len()).any(met) {
        return Err(conflict(operation, keys.len(), met));
    }
    // A key that is claimed already stays with its first owner.
    let new = keys
        .into_iter()
        .flatten()
        .filter(|key| claimed.insert(key.clone()));
    Ok(Claim {
        keys: new.collect(),
        in_flight,
    })
}

/// The keys of one write on its way; freed however it ends.
pub(super) struct Claim<'a> {
    keys: Vec<String>,
    in_flight: &'a Mutex<HashSet<String>>,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut in_flight = lock(self.in_flight);
        for key in &self.keys {
            in_flight.remove(key);
        }
    }
}

/// The refusal that AWS gives for a conflict at those of the `count` keys that `met` picks.
pub(super) fn conflict(operation: Operation, count: usize, met: impl Fn(usize) -> bool) -> Value {
    if operation != Operation::TransactWriteItems {
        return json!({
            "__type": format!("{ERROR_PREFIX}TransactionConflictException"),
            "message": CONFLICT,
        });
    }
    cancelled(count, met, ("TransactionConflict", CONFLICT))
}

/// A transaction of `count` writes that came to nothing because of those that `met` picks.
pub(super) fn cancelled(
    count: usize,
    met: impl Fn(usize) -> bool,
    (code, message): (&str, &str),
) -> Value {
    let codes: Vec<&str> = (0..count)
        .map(|i| if met(i) { code } else { "None" })
        .collect();
    let reasons = codes.iter().map(|code| match *code {
        "None" => json!({ "Code": code }),
        _ => json!({ "Code": code, "Message": message }),
    });
    json!({
        "__type": format!("{ERROR_PREFIX}TransactionCanceledException"),
        "Message": format!(
            "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
            codes.join(", ")
        ),
        "CancellationReasons": reasons.collect::<Vec<_>>(),
    })
}
