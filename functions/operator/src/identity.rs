//! What organizations write to trackers with.

use domain::{
    Email, Fault, GithubIdentity, Identity, IntegrationId, JiraServerIdentity, Secret, Timestamp,
    VstsIdentity,
};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::{
    Context,
    fields::{bounded, integration, organization},
};

/// No token and no key is longer.
const MOST: usize = 16 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetIdentity {
    organization: String,
    integration: IntegrationId,
    identity: Identity,
    /// `None`: nobody says. `Some(None)`: nobody any more.
    #[serde(default, deserialize_with = "said")]
    acts_as: Option<Option<Email>>,
}

/// Tells null from what is left out.
fn said<'de, D, T>(given: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(given).map(Some)
}

pub(crate) async fn set_identity(context: &Context, set: SetIdentity) -> Result<Value, Fault> {
    let organization = organization(context, &set.organization).await?;
    let integration = integration(context, organization.id, set.integration).await?;
    check(&set.identity, context.clock.now())?;
    if set.identity.provider() != integration.provider {
        let text = format!("The integration is one of {}.", integration.provider);
        return Err(Fault::field("identity", text));
    }
    let (store, ring) = (&context.store, &context.ring);
    let before = store
        .identity(ring, integration.id, organization.id)
        .await?;
    store
        .replace_identity(ring, integration.id, organization.id, &set.identity)
        .await?;
    let acts_as = match set.acts_as {
        Some(author) => {
            store
                .set_author(integration.id, organization.id, author.as_ref())
                .await?;
            author
        }
        // Whose the writes are does not change with the token that they are made with.
        None => {
            let attached = store.attached_organization(integration.id, organization.id);
            attached.await?.and_then(|attached| attached.acts_as)
        }
    };
    // Never what it holds: an identity goes in and does not come out.
    Ok(json!({
        "created": before.is_none(),
        "integration": integration.id,
        "organization": organization.slug,
        "acts_as": acts_as,
    }))
}

fn check(identity: &Identity, now: Timestamp) -> Result<(), Fault> {
    let secret = |field: &str, secret: &Secret| bounded(field, secret.reveal(), MOST).map(|_| ());
    match identity {
        Identity::Vsts(VstsIdentity {
            access_token,
            refresh_token,
            expires,
        }) => {
            secret("access_token", access_token)?;
            let refresh = |token| secret("refresh_token", token);
            refresh_token.iter().try_for_each(refresh)?;
            if refresh_token.is_none() && *expires <= now.seconds() {
                let text = "The access token has ended, and there is no refresh token. Enter seconds since 1970.";
                return Err(Fault::field("expires", text));
            }
            Ok(())
        }
        Identity::Github(GithubIdentity { access_token }) => secret("access_token", access_token),
        Identity::JiraServer(JiraServerIdentity {
            consumer_key,
            private_key,
            access_token,
        }) => {
            bounded("consumer_key", consumer_key, 200)?;
            secret("access_token", access_token)?;
            let pem = private_key.reveal();
            let key = pem.contains("-----BEGIN PRIVATE KEY-----")
                || pem.contains("-----BEGIN RSA PRIVATE KEY-----");
            match key && !pem.contains("ENCRYPTED") && pem.len() <= MOST {
                true => Ok(()),
                false => Err(Fault::field(
                    "private_key",
                    "Enter an RSA private key in PEM, without a passphrase.",
                )),
            }
        }
    }
}
