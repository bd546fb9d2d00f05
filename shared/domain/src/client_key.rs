//! Client keys: what a client must know to send events to a project.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{AuditEvent, KeyFacts, OrganizationId, ProjectId, Secret, Timestamp};

/// The part of a client key that clients send: 32 lowercase hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct PublicKey(String);

impl PublicKey {
    /// The key of these random bits.
    pub fn of(random: u128) -> Self {
        Self(format!("{random:032x}"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PublicKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let valid = text.len() == 32 && text.bytes().all(hex);
        let error = "a client key is 32 lowercase hexadecimal digits";
        valid.then(|| Self(text.to_owned())).ok_or(error)
    }
}

impl TryFrom<String> for PublicKey {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How many events a key may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// So many events.
    pub count: u32,
    /// In so many seconds.
    pub window: u32,
}

/// A key of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientKey {
    /// What clients send.
    pub public_key: PublicKey,
    /// What old clients send beside it. It proves nothing that the public key does not: every client
    /// knows both, so it is shown to whoever may see the project and stored as it is.
    pub secret_key: Secret,
    /// The project's organization.
    pub organization: OrganizationId,
    /// Whose events it lets in.
    pub project: ProjectId,
    /// Shown to people.
    pub label: String,
    /// Whether it lets any in.
    pub active: bool,
    /// How many; `None` for as many as come.
    pub rate_limit: Option<RateLimit>,
    /// When it was made.
    pub created: Timestamp,
}

impl ClientKey {
    /// The label of the key that a project is made with.
    pub const DEFAULT_LABEL: &'static str = "Default";

    /// A key that lets in everything, made of random bits.
    pub fn new(
        (organization, project): (OrganizationId, ProjectId),
        label: impl Into<String>,
        random: [u128; 2],
        now: Timestamp,
    ) -> Self {
        let [public, secret] = random;
        Self {
            public_key: PublicKey::of(public),
            secret_key: Secret::new(format!("{secret:032x}")),
            organization,
            project,
            label: label.into(),
            active: true,
            rate_limit: None,
            created: now,
        }
    }

    /// What a client is configured with. `ingest` is the base URL that takes events, without a slash at
    /// the end.
    pub fn dsn(&self, ingest: &str) -> String {
        self.dsn_of(ingest, self.public_key.as_str())
    }

    /// The same for clients that still ask for the secret key.
    pub fn secret_dsn(&self, ingest: &str) -> Secret {
        let credentials = format!("{}:{}", self.public_key, self.secret_key.reveal());
        Secret::new(self.dsn_of(ingest, &credentials))
    }

    fn dsn_of(&self, ingest: &str, credentials: &str) -> String {
        let (scheme, rest) = ingest.split_once("://").unwrap_or(("https", ingest));
        format!("{scheme}://{credentials}@{rest}/{}", self.project)
    }
}

/// What somebody wants changed of a client key; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct ClientKeyUpdate {
    /// Another label.
    pub label: Option<String>,
    /// Whether it is to let events in.
    pub active: Option<bool>,
    /// Another limit; `Some(None)` for none.
    pub rate_limit: Option<Option<RateLimit>>,
}

impl ClientKeyUpdate {
    /// The key as it is to be and what is told of it, if that changes anything.
    pub fn apply(&self, seen: &ClientKey) -> Option<(ClientKey, AuditEvent)> {
        let mut key = seen.clone();
        if let Some(label) = &self.label {
            key.label.clone_from(label);
        }
        key.active = self.active.unwrap_or(seen.active);
        key.rate_limit = self.rate_limit.unwrap_or(seen.rate_limit);
        if key == *seen {
            return None;
        }
        let facts = KeyFacts::of(&key);
        let event = match (seen.active, key.active) {
            (false, true) => AuditEvent::ProjectKeyEnable(facts),
            (true, false) => AuditEvent::ProjectKeyDisable(facts),
            (true, true) | (false, false) => AuditEvent::ProjectKeyEdit(facts),
        };
        Some((key, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dsn_names_key_server_and_project() {
        let owner = (OrganizationId::new(1).unwrap(), ProjectId::new(42).unwrap());
        let key = ClientKey::new(owner, "Default", [0xab, 1], Timestamp::from_millis(0));
        let public = "000000000000000000000000000000ab";
        assert_eq!(
            key.dsn("http://127.0.0.1:9000"),
            format!("http://{public}@127.0.0.1:9000/42")
        );
        assert_eq!(
            key.secret_dsn("https://x.example").reveal(),
            format!("https://{public}:00000000000000000000000000000001@x.example/42")
        );
    }

    #[test]
    fn a_public_key_is_32_lowercase_hexadecimal_digits() {
        assert!(
            "0123456789abcdef0123456789abcdef"
                .parse::<PublicKey>()
                .is_ok()
        );
        for bad in [
            "",
            "0123",
            "0123456789ABCDEF0123456789abcdef",
            &"g".repeat(32),
        ] {
            assert!(bad.parse::<PublicKey>().is_err(), "{bad}");
        }
    }
}
