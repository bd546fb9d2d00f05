//! What a request to the table is: its operation, its keys, and what makes it the same request again.
//!
//! It exists because stale reads and conflicts depend on all of that. It must not know what is done
//! with a request.

use bytes::Bytes;
use hyper::header::HeaderMap;
use serde_json::Value;

use super::node::Table;

const TARGET_PREFIX: &str = "DynamoDB_20120810.";

/// What the bundle is allowed to call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    GetItem,
    BatchGetItem,
    Query,
    PutItem,
    UpdateItem,
    DeleteItem,
    BatchWriteItem,
    TransactWriteItems,
}

impl Operation {
    pub(super) fn parse(name: &str) -> Option<Operation> {
        Some(match name {
            "GetItem" => Operation::GetItem,
            "BatchGetItem" => Operation::BatchGetItem,
            "Query" => Operation::Query,
            "PutItem" => Operation::PutItem,
            "UpdateItem" => Operation::UpdateItem,
            "DeleteItem" => Operation::DeleteItem,
            "BatchWriteItem" => Operation::BatchWriteItem,
            "TransactWriteItems" => Operation::TransactWriteItems,
            _ => return None,
        })
    }

    /// What IAM asks about it: for a transaction, about each kind of write in it.
    pub(super) fn actions(self, body: &[u8]) -> Vec<&'static str> {
        match self {
            Operation::GetItem => vec!["dynamodb:GetItem"],
            Operation::BatchGetItem => vec!["dynamodb:BatchGetItem"],
            Operation::Query => vec!["dynamodb:Query"],
            Operation::PutItem => vec!["dynamodb:PutItem"],
            Operation::UpdateItem => vec!["dynamodb:UpdateItem"],
            Operation::DeleteItem => vec!["dynamodb:DeleteItem"],
            Operation::BatchWriteItem => vec!["dynamodb:BatchWriteItem"],
            Operation::TransactWriteItems => {
                let json: Value = serde_json::from_slice(body).unwrap_or_default();
                let actions = elements(&json["TransactItems"]).flat_map(Value::as_object);
                actions
                    .flat_map(|action| action.keys())
                    .map(|kind| match kind.as_str() {
                        "Put" => "dynamodb:PutItem",
                        "Update" => "dynamodb:UpdateItem",
                        "Delete" => "dynamodb:DeleteItem",
                        _ => "dynamodb:ConditionCheckItem",
                    })
                    .collect()
            }
        }
    }

    /// The index that it reads; IAM takes it for a resource besides the table.
    pub(super) fn index(self, body: &[u8]) -> Option<String> {
        if self != Operation::Query {
            return None;
        }
        let json: Value = serde_json::from_slice(body).ok()?;
        json["IndexName"].as_str().map(str::to_owned)
    }

    pub(super) fn is_read(self) -> bool {
        match self {
            Operation::GetItem | Operation::BatchGetItem | Operation::Query => true,
            Operation::PutItem
            | Operation::UpdateItem
            | Operation::DeleteItem
            | Operation::BatchWriteItem
            | Operation::TransactWriteItems => false,
        }
    }

    /// Where its answer says what of it was not done, if it can be done in part.
    pub(super) fn left_out(self) -> Option<&'static str> {
        match self {
            Operation::BatchGetItem => Some("UnprocessedKeys"),
            Operation::BatchWriteItem => Some("UnprocessedItems"),
            Operation::GetItem
            | Operation::Query
            | Operation::PutItem
            | Operation::UpdateItem
            | Operation::DeleteItem
            | Operation::TransactWriteItems => None,
        }
    }

    /// What a conflict does to it: nothing to a batch, which AWS would answer in part.
    pub(super) fn can_conflict(self) -> bool {
        !self.is_read() && self != Operation::BatchWriteItem
    }
}

/// A request with its JSON, which stays `Null` where nobody has to look into it.
pub(super) struct Call {
    pub(super) operation: Operation,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) json: Value,
}

impl Call {
    pub(super) fn is_consistent(&self) -> bool {
        let asks = |request: &Value| request["ConsistentRead"].as_bool().unwrap_or(false);
        match self.json["RequestItems"].as_object() {
            Some(tables) => tables.values().any(asks),
            None => asks(&self.json),
        }
    }

    /// The keys of this request, in its order; the drawn conflict names one by its index.
    pub(super) fn keys(&self, table: &Table) -> Vec<Option<Value>> {
        match self.operation {
            Operation::GetItem | Operation::UpdateItem | Operation::DeleteItem => {
                vec![table.key_of(&self.json["Key"])]
            }
            Operation::PutItem => vec![table.key_of(&self.json["Item"])],
            Operation::BatchGetItem => {
                let keys = elements(&self.json["RequestItems"][&table.name]["Keys"]);
                keys.map(|key| table.key_of(key)).collect()
            }
            Operation::BatchWriteItem => {
                let writes = elements(&self.json["RequestItems"][&table.name]);
                writes.map(|write| key_of_action(table, write)).collect()
            }
            Operation::TransactWriteItems => {
                let actions = elements(&self.json["TransactItems"]);
                actions.map(|action| key_of_action(table, action)).collect()
            }
            Operation::Query => Vec::new(),
        }
    }

    /// Takes out of a batch what is picked by its key, and gives that in the shape of a batch: all of it, a
    /// part, or nothing.
    pub(super) fn take_out(
        &mut self,
        table: &Table,
        mut picks: impl FnMut(&str) -> bool,
    ) -> TakenOut {
        let keys = self.keys(table);
        let picked: Vec<bool> = texts(&keys)
            .map(|key| key.is_some_and(|key| picks(&key)))
            .collect();
        if !picked.contains(&true) {
            return TakenOut::Nothing;
        }
        if !picked.contains(&false) {
            return TakenOut::All;
        }
        let mut out = self.json["RequestItems"].clone();
        for (requests, stay) in [(&mut self.json["RequestItems"], false), (&mut out, true)] {
            let mut picked = picked.iter();
            if let Some(elements) = batch(requests, &table.name) {
                elements.retain(|_| picked.next() == Some(&stay));
            }
        }
        self.body = self.json.to_string().into();
        TakenOut::Part(out)
    }

    /// What makes it the same request: its keys in any order, and of a query all of it.
    pub(super) fn identity(&self, table: &Table) -> String {
        if self.operation == Operation::Query {
            let mut query = self.json.clone();
            // Clients write maps in any order.
            query.sort_all_objects();
            return query.to_string();
        }
        let mut keys: Vec<String> = texts(&self.keys(table)).flatten().collect();
        keys.sort_unstable();
        keys.concat()
    }
}

/// What of a batch there was to take out.
pub(super) enum TakenOut {
    Nothing,
    Part(Value),
    All,
}

/// The elements of a batch, or of what was left out of one.
pub(super) fn batch<'a>(requests: &'a mut Value, table: &str) -> Option<&'a mut Vec<Value>> {
    let of_table = requests.get_mut(table)?;
    match of_table.is_array() {
        true => of_table.as_array_mut(),
        false => of_table.get_mut("Keys")?.as_array_mut(),
    }
}

fn elements(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// One action of a transaction or a batch: an object whose only member says what to do with which.
fn key_of_action(table: &Table, action: &Value) -> Option<Value> {
    let action = action.as_object()?.values().next()?;
    table.key_of(action.get("Item").or_else(|| action.get("Key"))?)
}

pub(super) fn texts(keys: &[Option<Value>]) -> impl Iterator<Item = Option<String>> {
    keys.iter().map(|key| key.as_ref().map(Value::to_string))
}

pub(super) fn operation_name(headers: &HeaderMap) -> &str {
    let target = headers
        .get("x-amz-target")
        .and_then(|value| value.to_str().ok());
    target
        .and_then(|target| target.strip_prefix(TARGET_PREFIX))
        .unwrap_or("an unknown operation")
}
