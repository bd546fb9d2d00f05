//! What the store can fail with, and what it means to a handler.

use std::error::Error;

use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata};
use aws_smithy_runtime_api::client::result::SdkError;
use domain::Fault;

/// A failed access to the table.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The table did not answer, or is too busy; later may succeed.
    #[error("{operation} did not succeed: {cause}")]
    Unavailable {
        /// The call.
        operation: &'static str,
        /// The whole chain, as text.
        cause: String,
    },
    /// The table refused the call for good: a malformed request, a missing permission or table.
    #[error("{operation} was refused: {cause}")]
    Refused {
        /// The call.
        operation: &'static str,
        /// The whole chain, as text.
        cause: String,
    },
    /// An item does not read as what its key says it is.
    #[error("the item at {key} is not readable: {cause}")]
    Unreadable {
        /// Where it is.
        key: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A transaction above the limits that leave room to the table's own.
    #[error("a transaction of {items} items and {bytes} bytes is too large")]
    TooLarge {
        /// How many items.
        items: usize,
        /// How many bytes.
        bytes: usize,
    },
    /// Others kept changing what this was decided on.
    #[error("{0} kept changing")]
    Contended(String),
}

impl StoreError {
    pub(crate) fn sdk<E, R>(operation: &'static str, error: SdkError<E, R>) -> Self
    where
        E: Error + ProvideErrorMetadata + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        let service = error.as_service_error();
        let code = service.and_then(|e| e.code().map(str::to_owned));
        // What the table says names what is wrong; the chain around it only says it once more.
        let cause = match service.and_then(ProvideErrorMetadata::message) {
            Some(message) => format!("{}: {message}", code.as_deref().unwrap_or("no code")),
            None => DisplayErrorContext(error).to_string(),
        };
        match code.as_deref() {
            Some("ValidationException" | "AccessDeniedException" | "SerializationException") => {
                Self::Refused { operation, cause }
            }
            Some(_) | None => Self::Unavailable { operation, cause },
        }
    }
}

impl From<StoreError> for Fault {
    /// A missing permission or table heals with a deployment, so only what the message itself breaks
    /// is poison.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { .. }
            | StoreError::Refused { .. }
            | StoreError::Contended(_) => Self::Retry(error.to_string()),
            StoreError::Unreadable { .. } | StoreError::TooLarge { .. } => {
                Self::Poison(error.to_string())
            }
        }
    }
}
