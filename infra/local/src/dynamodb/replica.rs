//! The copy of the table that stale reads are answered from.
//!
//! It exists because eventual consistency is a table that has not seen the latest writes, with all
//! its indexes, and not an answer that was edited. It must not know which reads come here.

use std::collections::VecDeque;
use std::sync::Mutex;

use serde_json::Value;

use super::lock;
use super::node::Node;

/// How many writes the replica is behind at most.
pub(super) const MAX_LAG: u64 = 8;

/// It is given states and not requests: whatever order concurrent writes took, the last state
/// recorded of a key is the primary's.
pub(super) struct Replica {
    pub(super) node: Node,
    pending: Mutex<VecDeque<Vec<Change>>>,
}

struct Change {
    key: Value,
    /// `None` when the item is gone.
    item: Option<Value>,
}

impl Replica {
    pub(super) fn new(node: Node) -> Replica {
        Replica {
            node,
            pending: Mutex::default(),
        }
    }

    /// Remembers what these keys hold now, for the replica to learn later.
    pub(super) fn record(&self, primary: &Node, keys: &[Value]) -> anyhow::Result<()> {
        // Held while the states are read: otherwise an older state could be recorded last.
        let mut pending = lock(&self.pending);
        let change = |key: &Value| {
            let item = primary.get(key)?;
            anyhow::Ok(Change {
                key: key.clone(),
                item,
            })
        };
        pending.push_back(keys.iter().map(change).collect::<anyhow::Result<_>>()?);
        self.apply(&mut pending, MAX_LAG)
    }

    /// Never moves backwards: what it has learned it does not forget.
    pub(super) fn apply_until(&self, lag: u64) -> anyhow::Result<()> {
        self.apply(&mut lock(&self.pending), lag)
    }

    fn apply(&self, pending: &mut VecDeque<Vec<Change>>, lag: u64) -> anyhow::Result<()> {
        while pending.len() as u64 > lag {
            for Change { key, item } in pending.pop_front().unwrap_or_default() {
                self.node.set(key, item)?;
            }
        }
        Ok(())
    }
}
