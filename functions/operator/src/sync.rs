//! Integrations and what organizations let them do.

use std::collections::BTreeMap;

use domain::{
    Fault, Feature, Integration, IntegrationId, IntegrationStatus, OrganizationUpdate, Provider,
    Secret, SyncSwitches, TrackerStates,
};
use serde::Deserialize;
use serde_json::{Value, json};
use store::NewIntegration;

use crate::{
    Context,
    fields::{bounded, integration, name, organization, unknown},
    organizations::change,
    random_hex,
};

/// A shorter secret can be guessed.
const MIN_SECRET: usize = 16;
/// A longer one does not fit a header.
const MAX_SECRET: usize = 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateIntegration {
    organization: String,
    provider: Provider,
    external_id: String,
    name: String,
    domain_name: String,
    shared_secret: Option<Secret>,
    subscription_id: Option<String>,
    status: Option<IntegrationStatus>,
}

pub(crate) async fn create_integration(
    context: &Context,
    new: CreateIntegration,
) -> Result<Value, Fault> {
    let fields = NewIntegration {
        provider: new.provider,
        external_id: bounded("external_id", &new.external_id, 256)?,
        name: name("name", &new.name)?,
        domain_name: domain_name(&new.domain_name)?,
        subscription_id: new
            .subscription_id
            .map(|id| bounded("subscription_id", &id, 256))
            .transpose()?,
        status: new.status,
    };
    if let Some(secret) = &new.shared_secret {
        check_secret(secret)?;
    }
    let organization = organization(context, &new.organization).await?;
    let fresh: [u8; 32] = rand::random();
    let saved = context
        .store
        .put_integration(
            &context.ring,
            &fields,
            new.shared_secret.as_ref(),
            &random_hex(&fresh),
            context.clock.now(),
        )
        .await?;
    let integration = &saved.entity.integration;
    let attached = context
        .store
        .attach_organization(integration.id, organization.id)
        .await?;
    Ok(json!({
        "created": saved.created,
        "attached": attached,
        "integration": {
            "id": integration.id, "provider": integration.provider.as_str(),
            "external_id": integration.external_id, "name": integration.name,
            "domain_name": integration.domain_name, "status": integration.status,
            "subscription_id": integration.subscription_id,
            // The tracker has to be told, and only the operator can tell it.
            "shared_secret": saved.entity.secret,
        },
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListIntegrations {
    organization: String,
}

pub(crate) async fn list_integrations(
    context: &Context,
    of: ListIntegrations,
) -> Result<Value, Fault> {
    let organization = organization(context, &of.organization).await?;
    let all = context.store.integrations_of(organization.id).await?;
    let shown = |it: &Integration| {
        json!({
            "id": it.id, "provider": it.provider.as_str(), "name": it.name,
            "status": it.status, "external_id": it.external_id, "domain_name": it.domain_name,
        })
    };
    let all: Vec<_> = all.iter().map(shown).collect();
    Ok(json!({ "integrations": all }))
}

fn domain_name(text: &str) -> Result<String, Fault> {
    let text = bounded("domain_name", text, 256)?;
    let host = text
        .strip_prefix("https://")
        .unwrap_or_default()
        .trim_end_matches('/');
    if host.is_empty() {
        let message = "Enter the tracker's base URL, like https://dev.azure.com/acme/.";
        return Err(Fault::field("domain_name", message));
    }
    Ok(format!("https://{host}/"))
}

fn check_secret(secret: &Secret) -> Result<(), Fault> {
    let text = secret.reveal();
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if !(MIN_SECRET..=MAX_SECRET).contains(&text.len()) || !visible {
        let message =
            format!("A shared secret has {MIN_SECRET} to {MAX_SECRET} visible ASCII characters.");
        return Err(Fault::field("shared_secret", message));
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetFeature {
    organization: String,
    feature: Feature,
    enabled: bool,
}

pub(crate) async fn set_feature(context: &Context, set: SetFeature) -> Result<Value, Fault> {
    let found = organization(context, &set.organization).await?;
    let update = OrganizationUpdate {
        features: vec![(set.feature, set.enabled)],
        ..OrganizationUpdate::default()
    };
    let organization = change(context, &found, &update).await?;
    Ok(json!({
        "organization": { "slug": organization.slug, "features": organization.features },
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetSync {
    organization: String,
    integration: IntegrationId,
    #[serde(default)]
    switches: Switches,
    /// Replaces all that there are.
    states: Option<BTreeMap<String, TrackerStates>>,
}

/// The switches to set, by what they do; the names in the table are Sentry's.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Switches {
    inbound_assignee: Option<bool>,
    outbound_assignee: Option<bool>,
    inbound_status: Option<bool>,
    outbound_status: Option<bool>,
    comments: Option<bool>,
}

impl Switches {
    fn applied_to(&self, old: SyncSwitches) -> SyncSwitches {
        SyncSwitches {
            inbound_assignee: self.inbound_assignee.unwrap_or(old.inbound_assignee),
            outbound_assignee: self.outbound_assignee.unwrap_or(old.outbound_assignee),
            inbound_status: self.inbound_status.unwrap_or(old.inbound_status),
            outbound_status: self.outbound_status.unwrap_or(old.outbound_status),
            comments: self.comments.unwrap_or(old.comments),
        }
    }
}

pub(crate) async fn set_sync(context: &Context, set: SetSync) -> Result<Value, Fault> {
    let organization = organization(context, &set.organization).await?;
    let integration = integration(context, organization.id, set.integration).await?;
    if let Some(states) = &set.states {
        check_states(states)?;
        let store = &context.store;
        let set = store.set_tracker_states(integration.id, organization.id, states);
        if !set.await? {
            return Err(unknown("integration", &integration.id.to_string()));
        }
    }
    let changed = context
        .store
        .set_switches(integration.id, organization.id, |old| {
            set.switches.applied_to(old)
        })
        .await?;
    let switches = changed.ok_or_else(|| unknown("integration", &integration.id.to_string()))?;
    Ok(json!({
        "integration": integration.id,
        "organization": organization.slug,
        "switches": {
            "inbound_assignee": switches.inbound_assignee,
            "outbound_assignee": switches.outbound_assignee,
            "inbound_status": switches.inbound_status,
            "outbound_status": switches.outbound_status,
            "comments": switches.comments,
        },
        "states": set.states,
    }))
}

/// How many projects of a tracker may have states of their own.
const MOST_PROJECTS: usize = 200;

fn check_states(states: &BTreeMap<String, TrackerStates>) -> Result<(), Fault> {
    let blank = |text: &String| text.trim().is_empty() || text.len() > 256;
    let wrong = |(project, of): (&String, &TrackerStates)| {
        [project, &of.on_resolve, &of.on_unresolve]
            .into_iter()
            .any(blank)
    };
    if states.iter().any(wrong) {
        let text = "Each project needs both on_resolve and on_unresolve.";
        return Err(Fault::field("states", text));
    }
    if states.len() > MOST_PROJECTS {
        let text = format!("At most {MOST_PROJECTS} projects can have states.");
        return Err(Fault::field("states", text));
    }
    Ok(())
}
