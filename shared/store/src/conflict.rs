//! Retries for transactions that met another one. The SDK does not retry a TransactionConflict by
//! itself, and it is never a reason to fail a message.

use aws_smithy_runtime_api::client::{
    interceptors::context::InterceptorContext,
    retries::classifiers::{ClassifyRetry, RetryAction},
};
use aws_smithy_types::retry::ErrorKind;
use serde::Deserialize;

/// Retries a request that was cancelled by nothing but conflicts, with the SDK's own back-off, budget
/// and request token.
#[derive(Debug)]
pub(crate) struct TransactionConflict;

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(rename = "__type", default)]
    kind: String,
    #[serde(rename = "CancellationReasons", default)]
    reasons: Vec<CancellationReason>,
}

#[derive(Deserialize)]
struct CancellationReason {
    #[serde(rename = "Code", default)]
    code: String,
}

impl ErrorBody {
    fn only_conflicts(&self) -> bool {
        let passing = |reason: &CancellationReason| {
            matches!(
                reason.code.as_str(),
                "None"
                    | "TransactionConflict"
                    | "ThrottlingError"
                    | "ProvisionedThroughputExceeded"
            )
        };
        self.kind.ends_with("TransactionConflictException")
            || self.kind.ends_with("TransactionCanceledException")
                && !self.reasons.is_empty()
                && self.reasons.iter().all(passing)
    }
}

impl ClassifyRetry for TransactionConflict {
    fn name(&self) -> &'static str {
        "transaction conflict"
    }

    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let body = context
            .response()
            .filter(|response| response.status().as_u16() == 400)
            .and_then(|response| response.body().bytes())
            .and_then(|bytes| serde_json::from_slice::<ErrorBody>(bytes).ok());
        match body {
            Some(body) if body.only_conflicts() => {
                RetryAction::retryable_error(ErrorKind::ServerError)
            }
            Some(_) | None => RetryAction::NoActionIndicated,
        }
    }
}
