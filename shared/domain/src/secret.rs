//! A text that must never be seen: not in a log, not in an error, not in a panic.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Shows itself as `[redacted]`; [`Secret::reveal`] marks the places that may look.
///
/// It serializes to its content, because sealing a secret and reading a command need that: put it only
/// into types that go to a person who asked for it, or into an AEAD.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
