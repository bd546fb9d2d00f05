//! The integrations that deliveries came from lately, so that a busy tracker costs no reads.
//!
//! An entry is a hint of at most a minute. It may let a delivery in that a minute ago was right; it
//! never refuses one by itself, because a refused delivery is lost.

use std::{collections::HashMap, sync::Mutex};

use domain::{Fault, Provider, Secret, Timestamp};
use ring::digest::{SHA256, digest};
use store::IntegrationWithSecret;
use subtle::ConstantTimeEq;

use crate::Context;

const LIFE_MILLIS: i64 = 60_000;
const MOST: usize = 1000;
/// No integration has a longer one, and the table could not look it up.
const MAX_EXTERNAL_ID: usize = 256;

/// By provider and external id.
#[derive(Debug, Default)]
pub(crate) struct KnownIntegrations(Mutex<HashMap<(Provider, String), Entry>>);

#[derive(Debug, Clone)]
struct Entry {
    found: IntegrationWithSecret,
    since: Timestamp,
}

/// The integration that a delivery proves to come from.
#[derive(Debug)]
pub(crate) enum Sender {
    /// It does.
    Verified(IntegrationWithSecret),
    /// The integration exists and the proof is wrong.
    Impostor,
    /// There is no such integration, or it is disabled.
    Unknown,
}

impl KnownIntegrations {
    /// Finds the integration and checks the proof against it; against a fresh reading before refusing.
    pub(crate) async fn verify(
        context: &Context,
        provider: Provider,
        external_id: &str,
        proof: impl Fn(&IntegrationWithSecret) -> bool,
    ) -> Result<Sender, Fault> {
        if external_id.len() > MAX_EXTERNAL_ID {
            return Ok(Sender::Unknown);
        }
        let now = context.clock.now();
        let key = (provider, external_id.to_owned());
        let cached = context.known.get(&key, now);
        if let Some(found) = cached.filter(|found| active(found) && proof(found)) {
            return Ok(Sender::Verified(found));
        }
        let found = context
            .store
            .integration_by_external_id(&context.ring, provider, external_id)
            .await?;
        let Some(found) = found.filter(active) else {
            return Ok(Sender::Unknown);
        };
        context.known.put(key, &found, now);
        Ok(if proof(&found) {
            Sender::Verified(found)
        } else {
            Sender::Impostor
        })
    }

    fn get(&self, key: &(Provider, String), now: Timestamp) -> Option<IntegrationWithSecret> {
        let entries = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let entry = entries.get(key)?;
        let fresh = now.millis() - entry.since.millis() < LIFE_MILLIS;
        fresh.then(|| entry.found.clone())
    }

    fn put(&self, key: (Provider, String), found: &IntegrationWithSecret, since: Timestamp) {
        let mut entries = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if entries.len() >= MOST {
            entries.clear();
        }
        entries.insert(
            key,
            Entry {
                found: found.clone(),
                since,
            },
        );
    }
}

fn active(found: &IntegrationWithSecret) -> bool {
    match found.integration.status {
        domain::IntegrationStatus::Active => true,
        domain::IntegrationStatus::Disabled => false,
    }
}

/// Compares in constant time, over digests of equal length. An empty secret equals nothing.
pub(crate) fn same_secret(given: &[u8], expected: Option<&Secret>) -> bool {
    let expected = expected.map(Secret::reveal).unwrap_or_default().as_bytes();
    let equal = digest(&SHA256, given)
        .as_ref()
        .ct_eq(digest(&SHA256, expected).as_ref());
    !expected.is_empty() && bool::from(equal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_same_secret_is_the_same_and_an_absent_one_never_is() {
        let stored = Secret::new("s3cr3t");
        assert!(same_secret(b"s3cr3t", Some(&stored)));
        for wrong in ["", "S3cr3t", "s3cr3", "s3cr3t ", "x"] {
            assert!(!same_secret(wrong.as_bytes(), Some(&stored)), "{wrong}");
        }
        assert!(!same_secret(b"", None));
        assert!(!same_secret(b"", Some(&Secret::new(""))));
    }
}
