//! What organizations write to trackers with. All of it is sealed.

use domain::{Identity, IntegrationId, OrganizationId, Secret};
use serde::{Deserialize, Serialize};

use crate::{
    KeyRing, KeyRingError,
    error::StoreError,
    keys,
    secrets::Sealed,
    table::{ATTEMPTS, Store, step_aside},
    transaction::{Commit, Transaction},
};

/// An identity, and which writing of it this is.
#[derive(Debug, Clone)]
pub struct KnownIdentity {
    /// The identity.
    pub identity: Identity,
    /// Rises with every writing.
    pub version: u64,
}

/// An identity at its place.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    integration: IntegrationId,
    organization: OrganizationId,
    version: u64,
    identity: Sealed,
}

impl Row {
    pub(crate) fn open(&self, ring: &KeyRing) -> Result<KnownIdentity, KeyRingError> {
        let key = keys::identity(self.integration, self.organization);
        let text = ring.open(&key, &self.identity)?;
        let broken = |_| KeyRingError::Broken(format!("{} {}", key.pk, key.sk));
        Ok(KnownIdentity {
            identity: serde_json::from_str(text.reveal()).map_err(broken)?,
            version: self.version,
        })
    }
}

impl Transaction<'_> {
    /// Deletes the identity, if it still is the one that was read.
    pub(crate) fn delete_identity(self, seen: &Row) -> Result<Self, StoreError> {
        let key = keys::identity(seen.integration, seen.organization);
        self.delete_over(&key, "version", &seen.version)
    }
}

impl Store {
    /// The identity that an organization has at an integration.
    pub async fn identity(
        &self,
        ring: &KeyRing,
        integration: IntegrationId,
        organization: OrganizationId,
    ) -> Result<Option<Result<KnownIdentity, KeyRingError>>, StoreError> {
        let row: Option<Row> = self.get(&keys::identity(integration, organization)).await?;
        Ok(row.map(|row| row.open(ring)))
    }

    /// Sets the identity, whatever is there.
    pub async fn replace_identity(
        &self,
        ring: &KeyRing,
        integration: IntegrationId,
        organization: OrganizationId,
        identity: &Identity,
    ) -> Result<(), StoreError> {
        for attempt in 0..ATTEMPTS {
            step_aside(attempt).await;
            let key = keys::identity(integration, organization);
            let seen: Option<Row> = self.get(&key).await?;
            let seen = seen.map_or(0, |row| row.version);
            let put = self.put_identity(ring, integration, organization, identity, seen);
            if put.await? {
                return Ok(());
            }
        }
        Err(StoreError::Contended("the identity".into()))
    }

    /// Sets the identity where it still is the `seen` version, 0 for none. `false`: somebody else has set it
    /// since.
    pub async fn put_identity(
        &self,
        ring: &KeyRing,
        integration: IntegrationId,
        organization: OrganizationId,
        identity: &Identity,
        seen: u64,
    ) -> Result<bool, StoreError> {
        let key = keys::identity(integration, organization);
        let text =
            serde_json::to_string(identity).expect("an identity is made of texts and numbers");
        let row = Row {
            integration,
            organization,
            version: seen + 1,
            identity: ring.seal(&key, &Secret::new(text)),
        };
        let transaction = match seen {
            0 => self.transaction().put_new(&key, &row)?,
            seen => self.transaction().put_over(&key, &row, "version", &seen)?,
        };
        Ok(transaction.commit().await? == Commit::Done)
    }
    /// What calls are to be made with, after `seen` was renewed: what came of that, unless somebody else has
    /// renewed or set it since, or `seen` itself where it need not be renewed. It is kept before it is used: a
    /// token that is exchanged is spent.
    pub async fn keep_renewed<E>(
        &self,
        ring: &KeyRing,
        integration: IntegrationId,
        organization: OrganizationId,
        seen: KnownIdentity,
        renewed: Result<Option<Identity>, E>,
    ) -> Result<Result<Identity, RenewalError<E>>, StoreError> {
        let failed = match renewed {
            Ok(None) => return Ok(Ok(seen.identity)),
            Ok(Some(new)) => {
                let kept = self.put_identity(ring, integration, organization, &new, seen.version);
                if kept.await? {
                    return Ok(Ok(new));
                }
                RenewalError::Contended
            }
            Err(error) => RenewalError::Refused(error),
        };
        let now = self.identity(ring, integration, organization).await?;
        Ok(match now {
            Some(Ok(now)) if now.version != seen.version => Ok(now.identity),
            Some(_) | None => Err(failed),
        })
    }
}

/// Why there is no renewed identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RenewalError<E> {
    /// It was not renewed.
    Refused(E),
    /// It was, while somebody took it away.
    Contended,
}
