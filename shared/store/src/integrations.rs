//! Integrations, the organizations they serve, and their shared secrets.

use std::collections::BTreeMap;

use domain::{
    AttachedOrganization, Email, Fault, Integration, IntegrationId, IntegrationStatus,
    OrganizationId, Provider, Secret, SyncSwitches, Timestamp, TrackerStates,
};
use serde::{Deserialize, Serialize};

use crate::{
    KeyRing,
    error::StoreError,
    keys,
    secrets::Sealed,
    table::{ATTEMPTS, Created, Query, Store, step_aside, value},
    transaction::{Change, Commit},
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
    /// The tracker's id of the webhook subscription; `None` leaves it as it is.
    pub subscription_id: Option<String>,
    /// Whether it takes part; `None` leaves it as it is, and a new one does.
    pub status: Option<IntegrationStatus>,
}

/// An integration, and what its webhooks must show.
#[derive(Debug, Clone)]
pub struct IntegrationWithSecret {
    /// The integration.
    pub integration: Integration,
    /// Its shared secret; `None` where there is none, and then every webhook is refused.
    pub secret: Option<Secret>,
}

/// What lies at an integration's id and, the very same, at its external id: deliveries come with the
/// latter, and what they are checked against is one read. Both are written in one transaction, whole.
#[derive(Serialize, Deserialize)]
struct Row {
    #[serde(flatten)]
    integration: Integration,
    secret: Option<Sealed>,
}

/// What leads from an organization to an integration that serves it.
#[derive(Serialize, Deserialize)]
pub(crate) struct IntegrationRef {
    pub(crate) organization: OrganizationId,
    pub(crate) integration: IntegrationId,
}

impl Store {
    /// The integration that a tracker's webhooks belong to, with its secret opened.
    pub async fn integration_by_external_id(
        &self,
        ring: &KeyRing,
        provider: Provider,
        external_id: &str,
    ) -> Result<Option<IntegrationWithSecret>, Fault> {
        let Some(row) = self.integration_row(provider, external_id).await? else {
            return Ok(None);
        };
        let key = keys::integration(row.integration.id);
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

    async fn integration_row(
        &self,
        provider: Provider,
        external_id: &str,
    ) -> Result<Option<Row>, StoreError> {
        self.get(&keys::integration_key(provider, external_id))
            .await
    }

    /// The integration with this id, without its secret.
    pub async fn integration(&self, id: IntegrationId) -> Result<Option<Integration>, StoreError> {
        let row: Option<Row> = self.get(&keys::integration(id)).await?;
        Ok(row.map(|row| row.integration))
    }

    /// The integrations that serve an organization, in the order of their ids, without their secrets.
    pub async fn integrations_of(
        &self,
        organization: OrganizationId,
    ) -> Result<Vec<Integration>, StoreError> {
        let pk = keys::organization(organization).pk;
        let query = Query::prefix(&pk, keys::ORGANIZATION_INTEGRATIONS);
        let found: Vec<IntegrationRef> = self.query_all(query).await?;
        let keys = found.iter().map(|it| keys::integration(it.integration));
        let rows: Vec<Row> = self.get_list(keys.collect()).await?;
        Ok(rows.into_iter().map(|row| row.integration).collect())
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
        for attempt in 0..ATTEMPTS {
            step_aside(attempt).await;
            let found = self.integration_row(new.provider, &new.external_id).await?;
            let known = found.as_ref().map(|row| &row.integration);
            let integration = Integration {
                id: known.map_or_else(|| IntegrationId::timed(now, rand::random()), |i| i.id),
                provider: new.provider,
                external_id: new.external_id.clone(),
                name: new.name.clone(),
                domain_name: new.domain_name.clone(),
                subscription_id: new
                    .subscription_id
                    .clone()
                    .or_else(|| known?.subscription_id.clone()),
                status: new
                    .status
                    .or(known.map(|i| i.status))
                    .unwrap_or(IntegrationStatus::Active),
            };
            let key = keys::integration(integration.id);
            let sealed = found.as_ref().and_then(|row| row.secret.as_ref());
            let known = sealed.map(|sealed| ring.open(&key, sealed)).transpose();
            let secret = match (secret, known) {
                (Some(given), _) => given.clone(),
                (None, Ok(known)) => known.unwrap_or_else(|| fresh.clone()),
                (None, Err(error)) => return Err(Fault::Retry(error.to_string())),
            };
            let created = found.is_none();
            let sealed = Some(ring.seal(&key, &secret));
            let row = Row {
                integration,
                secret: sealed,
            };
            if self.write_integration(&row, found.as_ref()).await? == Commit::Done {
                let integration = row.integration;
                let entity = IntegrationWithSecret {
                    integration,
                    secret: Some(secret),
                };
                return Ok(Created { entity, created });
            }
        }
        Err(StoreError::Contended(format!("integration {}", new.external_id)).into())
    }

    /// Over the row that was seen, or none: a secret that somebody sets at the same time is not lost.
    async fn write_integration(&self, row: &Row, seen: Option<&Row>) -> Result<Commit, StoreError> {
        let integration = &row.integration;
        let by_id = keys::integration(integration.id);
        let by_external_id = keys::integration_key(integration.provider, &integration.external_id);
        let transaction = self.transaction();
        let transaction = match seen {
            Some(seen) => transaction
                .put_over(&by_external_id, row, "secret", &seen.secret)?
                .put(&by_id, row)?,
            None => transaction
                .put_new(&by_external_id, row)?
                .put_new(&by_id, row)?,
        };
        transaction.commit().await
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
            acts_as: None,
            states: BTreeMap::new(),
        };
        let transaction = self.transaction().put_new(&key, &row)?.put(
            &keys::organization_integration(organization, integration),
            &IntegrationRef {
                organization,
                integration,
            },
        )?;
        Ok(transaction.commit().await? == Commit::Done)
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

    /// Sets whom the tracker shows as the author of an organization's writes. `false`: the integration does
    /// not serve the organization.
    pub async fn set_author(
        &self,
        integration: IntegrationId,
        organization: OrganizationId,
        author: Option<&Email>,
    ) -> Result<bool, StoreError> {
        let key = keys::attached_organization(integration, organization);
        let change = Change {
            expression: "SET acts_as = :author".into(),
            condition: "attribute_exists(switches)".into(),
            names: Vec::new(),
            values: [(":author".into(), value(&author)?)].into(),
        };
        Ok(self.transaction().update(&key, change)?.commit().await? == Commit::Done)
    }

    /// Sets which states of a tracker's projects stand for what. `false`: the integration does not serve the
    /// organization.
    pub async fn set_tracker_states(
        &self,
        integration: IntegrationId,
        organization: OrganizationId,
        states: &BTreeMap<String, TrackerStates>,
    ) -> Result<bool, StoreError> {
        let key = keys::attached_organization(integration, organization);
        let change = Change {
            expression: "SET #states = :states".into(),
            condition: "attribute_exists(switches)".into(),
            names: vec![("#states".into(), "states".into())],
            values: [(":states".into(), value(states)?)].into(),
        };
        Ok(self.transaction().update(&key, change)?.commit().await? == Commit::Done)
    }

    /// Sets an organization's switches to what `set` makes of the ones there are. `Ok(None)`: the
    /// integration does not serve the organization.
    pub async fn set_switches(
        &self,
        integration: IntegrationId,
        organization: OrganizationId,
        set: impl Fn(SyncSwitches) -> SyncSwitches,
    ) -> Result<Option<SyncSwitches>, StoreError> {
        let key = keys::attached_organization(integration, organization);
        for attempt in 0..ATTEMPTS {
            step_aside(attempt).await;
            let Some(seen) = self
                .attached_organization(integration, organization)
                .await?
            else {
                return Ok(None);
            };
            let switches = set(seen.switches);
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
            if self.transaction().update(&key, change)?.commit().await? == Commit::Done {
                return Ok(Some(switches));
            }
        }
        Err(StoreError::Contended(format!(
            "the switches of integration {integration}"
        )))
    }
}
