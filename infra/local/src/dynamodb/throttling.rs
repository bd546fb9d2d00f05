//! A table that is asked more than it can do: what it refuses, and what of a batch it leaves out.
//!
//! It exists because dynoxide does whatever it is asked. It must not know how a request is drawn, nor how
//! it is carried out.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Response;
use hyper::header::CONTENT_LENGTH;
use serde_json::{Value, json};

use super::call::{Operation, batch};
use super::conflicts::{ERROR_PREFIX, cancelled};

const THROTTLED: &str = "The level of configured provisioned throughput for the table was exceeded. \
     Consider increasing your provisioning level with the UpdateTable API.";

/// The refusal of a whole request; of a transaction of `count` writes because of the one at `index`.
pub(super) fn refused(operation: Operation, count: usize, index: usize) -> Value {
    if operation == Operation::TransactWriteItems {
        let reason = ("ProvisionedThroughputExceeded", THROTTLED);
        return cancelled(count, |i| i == index, reason);
    }
    json!({
        "__type": format!("{ERROR_PREFIX}ProvisionedThroughputExceededException"),
        "message": THROTTLED,
    })
}

/// The answer to a batch, which also says what was left out of it.
pub(super) async fn left_out(
    answer: Response<Full<Bytes>>,
    name: &str,
    mut out: Value,
    table: &str,
) -> anyhow::Result<Response<Full<Bytes>>> {
    let (mut head, body) = answer.into_parts();
    let body = body.collect().await?.to_bytes();
    if !head.status.is_success() {
        return Ok(Response::from_parts(head, Full::new(body)));
    }
    let mut answer: Value = serde_json::from_slice(&body)?;
    match (batch(&mut answer[name], table), batch(&mut out, table)) {
        // A batch of reads may have been too large, too.
        (Some(already), Some(more)) => already.append(more),
        (None, _) | (_, None) => answer[name] = out,
    }
    // Of another body.
    head.headers.remove(CONTENT_LENGTH);
    head.headers.remove("x-amz-crc32");
    Ok(Response::from_parts(
        head,
        Full::new(answer.to_string().into()),
    ))
}
