//! A moment, to the millisecond. The domain never asks for the time, it is told.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Milliseconds since 1970 UTC. In JSON for clients it is RFC 3339; in the table it is the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since 1970 UTC.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970 UTC.
    pub fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970 UTC, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// So many milliseconds later.
    #[must_use]
    pub fn plus(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, with three digits of milliseconds where there are some.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let second = OffsetDateTime::from_unix_timestamp(self.seconds()).map_err(|_| fmt::Error)?;
        let text = second.format(&Rfc3339).map_err(|_| fmt::Error)?;
        match self.0.rem_euclid(1000) {
            0 => f.write_str(&text),
            millis => write!(f, "{}.{millis:03}Z", text.trim_end_matches('Z')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_shown_as_clients_read_it() {
        assert_eq!(
            Timestamp::from_millis(1_795_247_323_120).to_string(),
            "2026-11-21T07:48:43.120Z"
        );
        assert_eq!(
            Timestamp::from_millis(1_795_247_323_000).to_string(),
            "2026-11-21T07:48:43Z"
        );
    }
}
