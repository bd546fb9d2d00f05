//! Ids as types. A bare number never names an entity, so a user's id cannot be passed for a team's.
//!
//! Every id fits 53 bits, because clients read them as JavaScript numbers, and travels in JSON and in
//! the table as a string of decimal digits.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use ulid::Ulid;

use crate::Timestamp;

const MAX: u64 = (1 << 53) - 1;

/// A text that is not an id: empty, not all digits, zero, or above 53 bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidId;

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id is a positive decimal number of at most 53 bits")
    }
}

impl std::error::Error for InvalidId {}

macro_rules! number_ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// Checks the range: 1 to 2^53 - 1.
            pub fn new(number: u64) -> Result<Self, InvalidId> {
                (1..=MAX).contains(&number).then_some(Self(number)).ok_or(InvalidId)
            }

            /// The id as a number, for places whose format asks for one.
            pub fn number(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
                if !digits {
                    return Err(InvalidId);
                }
                text.parse().map_err(|_| InvalidId).and_then(Self::new)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            /// Takes a string of digits or a number: clients send both.
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[derive(Deserialize)]
                #[serde(untagged)]
                enum Raw {
                    Number(u64),
                    Text(String),
                }
                match Raw::deserialize(deserializer)? {
                    Raw::Number(number) => Self::new(number),
                    Raw::Text(text) => text.parse(),
                }
                .map_err(de::Error::custom)
            }
        }
    )*};
}

number_ids! {
    /// An organization, a snowflake.
    OrganizationId;
    /// A team, a snowflake.
    TeamId;
    /// A project, a snowflake.
    ProjectId;
    /// A person, across organizations.
    UserId;
    /// The membership of a user in an organization.
    MemberId;
    /// A group, which clients call an issue.
    GroupId;
    /// One line of a group's activity.
    ActivityId;
    /// One line of an organization's audit log.
    AuditEntryId;
    /// An installation of a tracker; one may serve several organizations.
    IntegrationId;
    /// A release of an organization.
    ReleaseId;
    /// A deploy of a release.
    DeployId;
    /// A repository of an organization.
    RepositoryId;
    /// A rule of whom to tell of which issues.
    AlertRuleId;
}

macro_rules! timed_ids {
    ($($name:ident)*) => {$(
        impl $name {
            /// An id that is no snowflake: 32 bits of seconds since 1970 above 21 random bits. It is put
            /// if absent in the transaction that creates its entity, and drawn again on a collision.
            pub fn timed(now: Timestamp, random: u32) -> Self {
                let seconds = u64::try_from(now.seconds()).unwrap_or(1).max(1) & 0xFFFF_FFFF;
                Self(seconds << 21 | u64::from(random) & 0x1F_FFFF)
            }
        }
    )*};
}

timed_ids! {
    UserId MemberId GroupId ActivityId AuditEntryId IntegrationId ReleaseId DeployId RepositoryId AlertRuleId
}

/// Names a message or a webhook delivery for good, whatever SQS calls it: a ULID, so it sorts by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(Ulid);

impl MessageId {
    /// Built from the time of minting and 80 random bits (the rest of `random` is ignored).
    pub fn new(now: Timestamp, random: u128) -> Self {
        Self(Ulid::from_parts(
            u64::try_from(now.millis()).unwrap_or(0),
            random,
        ))
    }

    /// When it was minted.
    pub fn minted(self) -> Timestamp {
        Timestamp::from_millis(i64::try_from(self.0.timestamp_ms()).unwrap_or(i64::MAX))
    }

    /// Which of `n` outbox partitions holds this message.
    pub fn shard(self, n: u8) -> u8 {
        u8::try_from(self.0.random() % u128::from(n)).expect("a remainder below a u8")
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_string())
    }
}

impl Serialize for MessageId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MessageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| de::Error::custom("not a ULID"))
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({self})")
    }
}

impl FromStr for MessageId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Ulid::from_string(text).map(Self).map_err(|_| InvalidId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_digits_and_numbers_and_nothing_else() {
        let parse = |text: &str| {
            serde_json::from_str::<UserId>(text)
                .map(UserId::number)
                .ok()
        };
        assert_eq!(parse("\"71\""), Some(71));
        assert_eq!(parse("71"), Some(71));
        for bad in [
            "\"\"",
            "\"+71\"",
            "\" 71\"",
            "\"7a\"",
            "0",
            "-1",
            "9007199254740992",
            "null",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_id_is_written_as_a_string() {
        let id = OrganizationId::new(MAX).unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"9007199254740991\"");
    }

    #[test]
    fn a_timed_id_fits_53_bits_until_the_seconds_run_out() {
        let last = Timestamp::from_millis(0xFFFF_FFFF * 1000);
        assert_eq!(GroupId::timed(last, u32::MAX).number(), MAX);
    }
}
