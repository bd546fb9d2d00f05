//! Integrations, the organizations they serve, and their shared secrets.

use domain::{
    AttachedOrganization, Fault, Integration, IntegrationId, IntegrationStatus, OrganizationId,
    Provider, Secret, SyncSwitches, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{
    KeyRing,
    error::StoreError,
    keys,
    secrets::Sealed,
    table::{Created, Query, Store, value},
    transaction::{Change, Commit},
    users::ATTEMPTS,
};

/// An integration as an operator describes it.
#[derive(Debug, Clone)]
pub struct NewIntegration {
    /// Which product.
    pub provider: Provider,
    /// What the tracker calls itself.
    pub external_id: String,
    /// Shown to people.
    pub name: String,
    /// The tracker's base URL.
    pub domain_name: String,
    /// The tracker's id of the webhook subscription.
    pub subscription_id: Option<String>,
    /// Whether it takes part.
    pub status: IntegrationStatus,
}

/// An integration, and what its webhooks must show.
#[derive(Debug, Clone)]
pub struct IntegrationWithSecret {
    /// The integration.
    pub integration: Integration,
    /// Its shared secret; `None` where there is none, and then every webhook is refused.
    pub secret: Option<Secret>,
}

#[derive(Serialize, Deserialize)]
struct Row {
    #[serde(flatten)]
    integration: Integration,
    secret: Option<Sealed>,
}

#[derive(Serialize, Deserialize)]
struct IntegrationRef {
    integration: IntegrationId,
}

impl Store {
    /// The integration that a tracker's webhooks belong to, with its secret opened.
    pub async fn integration_by_external_id(
        &self,
        ring: &KeyRing,
        provider: Provider,
        external_id: &str,
    ) -> Result<Option<IntegrationWithSecret>, Fault> {
        let key = keys::integration_key(provider, external_id);
        let Some(found) = self.get::<IntegrationRef>(&key).await? else {
            return Ok(None);
        };
        let key = keys::integration(found.integration);
        let Some(row) = self.get::<Row>(&key).await? else {
            return Ok(None);
        };
        let secret = row
            .secret
            .map(|sealed| ring.open(&key, &sealed))
            .transpose();
        // Heals when the ring has the key again; until then the sender is to come back.
        let secret = secret.map_err(|e| Fault::Retry(e.to_string()))?;
        Ok(Some(IntegrationWithSecret {
            integration: row.integration,
            secret,
        }))
    }

    /// The integration with this id, without its secret.
    pub async fn integration(&self, id: IntegrationId) -> Result<Option<Integration>, StoreError> {
        let row: Option<Row> = self.get(&keys::integration(id)).await?;
        Ok(row.map(|row| row.integration))
    }

    /// Adds the integration, or sets the fields of the one with its external id. Without a secret the
    /// one it has stays; `fresh` is used where it has none.
    pub async fn put_integration(
        &self,
        ring: &KeyRing,
        new: &NewIntegration,
        secret: Option<&Secret>,
        fresh: &Secret,
        now: Timestamp,
    ) -> Result<Created<IntegrationWithSecret>, Fault> {
        for _ in 0..ATTEMPTS {
            let found = self
                .integration_by_external_id(ring, new.provider, &new.external_id)
                .await?;
            let created = found.is_none();
            let known = found.as_ref().and_then(|found| found.secret.as_ref());
            let secret = secret.or(known).unwrap_or(fresh).clone();
            let id = found.map(|found| found.integration.id);
            let id = id.unwrap_or_else(|| IntegrationId::timed(now, rand::random()));
            let integration = Integration {
                id,
                provider: new.provider,
                external_id: new.external_id.clone(),
                name: new.name.clone(),
                domain_name: new.domain_name.clone(),
                subscription_id: new.subscription_id.clone(),
                status: new.status,
            };
            if self
                .write_integration(ring, &integration, &secret, created)
                .await?
                == Commit::Done
            {
                let entity = IntegrationWithSecret {
                    integration,
                    secret: Some(secret),
                };
                return Ok(Created { entity, created });
            }
        }
        Err(StoreError::Contended(format!("integration {}", new.external_id)).into())
    }

    async fn write_integration(
        &self,
        ring: &KeyRing,
        integration: &Integration,
        secret: &Secret,
        new: bool,
    ) -> Result<Commit, StoreError> {
        let key = keys::integration(integration.id);
        let sealed = ring.seal(&key, secret);
        let row = Row {
            integration: integration.clone(),
            secret: Some(sealed),
        };
        if !new {
            return self.transaction().put(&key, &row)?.commit().await;
        }
        let guard = keys::integration_key(integration.provider, &integration.external_id);
        self.transaction()
            .put_new(&key, &row)?
            .put_new(
                &guard,
                &IntegrationRef {
                    integration: integration.id,
                },
            )?
            .commit()
            .await
    }

    /// Lets an integration serve an organization, with every switch off. `false`: it does already.
    pub async fn attach_organization(
        &self,
        integration: IntegrationId,
        organization: OrganizationId,
    ) -> Result<bool, StoreError> {
        let key = keys::attached_organization(integration, organization);
        let row = AttachedOrganization {
            organization,
            switches: SyncSwitches::default(),
        };
        Ok(self.transaction().put_new(&key, &row)?.commit().await? == Commit::Done)
    }

    /// The organizations that an integration serves, with their switches.
    pub async fn attached_organizations(
        &self,
        integration: IntegrationId,
    ) -> Result<Vec<AttachedOrganization>, StoreError> {
        let pk = keys::integration(integration).pk;
        self.query_all(Query::prefix(&pk, keys::ATTACHED_ORGANIZATIONS))
            .await
    }

    /// How an integration serves one organization; `None` if it does not.
    pub async fn attached_organization(
        &self,
        integration: IntegrationId,
        organization: OrganizationId,
    ) -> Result<Option<AttachedOrganization>, StoreError> {
        self.get(&keys::attached_organization(integration, organization))
            .await
    }

    /// Sets an organization's switches, where they are still as `seen`. `false`: they are not.
    pub async fn set_switches(
        &self,
        integration: IntegrationId,
        seen: &AttachedOrganization,
        switches: SyncSwitches,
    ) -> Result<bool, StoreError> {
        let change = Change {
            expression: "SET switches = :new".into(),
            condition: "switches = :seen".into(),
            names: Vec::new(),
            values: [
                (":new".into(), value(&switches)?),
                (":seen".into(), value(&seen.switches)?),
            ]
            .into(),
        };
        let key = keys::attached_organization(integration, seen.organization);
        Ok(self.transaction().update(&key, change)?.commit().await? == Commit::Done)
    }
}
