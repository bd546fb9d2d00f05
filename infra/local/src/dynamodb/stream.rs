//! The table's stream, as Lambda's event source mapping reads it.
//!
//! It exists in process because no function reads the stream itself: the bundle has no right to. It
//! must not know who is woken by a record, nor which records are filtered out.

use anyhow::Context;
use serde_json::{Value, json};

use super::node::{Node, member, typed};

const REGION: &str = "us-east-1";

/// Where a reader of the stream is; the default is the oldest record there is. A clone that is kept
/// reads the same records again.
#[derive(Clone, Debug, Default)]
pub struct StreamPosition {
    iterator: Option<String>,
}

impl StreamPosition {
    /// Up to `limit` records after this position, which moves behind them.
    pub(super) fn read_on(&mut self, node: &Node, limit: usize) -> anyhow::Result<Vec<Value>> {
        let arn = stream_arn(node)?;
        let iterator = match &self.iterator {
            Some(iterator) => iterator.clone(),
            None => oldest(node, &arn)?,
        };
        let request = json!({ "ShardIterator": iterator, "Limit": limit });
        let mut response = serde_json::to_value(node.database.get_records(typed(request)?)?)?;
        self.iterator = response["NextShardIterator"].as_str().map(str::to_owned);
        let Value::Array(mut records) = response["Records"].take() else {
            return Ok(Vec::new());
        };
        // As AWS tells it, and not dynoxide.
        let arn = arn.replacen(dynoxide::streams::LOCAL_REGION, REGION, 1);
        for record in &mut records {
            record["awsRegion"] = REGION.into();
            record["eventSourceARN"] = arn.as_str().into();
        }
        Ok(records)
    }
}

fn stream_arn(node: &Node) -> anyhow::Result<String> {
    let request = typed(json!({ "TableName": node.table.name }))?;
    let described = member(&node.database.describe_table(request)?, "Table")?;
    let arn = described["LatestStreamArn"].as_str();
    Ok(arn.context("the table has no stream")?.to_owned())
}

fn oldest(node: &Node, arn: &str) -> anyhow::Result<String> {
    let request = json!({
        "StreamArn": arn,
        "ShardId": dynoxide::streams::shard_id(&node.table.name),
        "ShardIteratorType": "TRIM_HORIZON",
    });
    let response = node.database.get_shard_iterator(typed(request)?)?;
    response.shard_iterator.context("no iterator")
}
