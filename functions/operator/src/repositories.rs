//! Repositories that clients may name commits of.

use domain::{
    Fault, IntegrationId, Provider, Repository, RepositoryId, RepositoryName, RepositoryProvider,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Context,
    fields::{bounded, integration, organization},
};

/// Longest URL, in characters.
const MAX_URL: usize = 200;
/// Longest id at a host, in characters.
const MAX_EXTERNAL_ID: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateRepository {
    organization: String,
    name: String,
    provider: RepositoryProvider,
    url: String,
    integration: Option<IntegrationId>,
    external_id: Option<String>,
}

pub(crate) async fn create(context: &Context, new: CreateRepository) -> Result<Value, Fault> {
    let organization = organization(context, &new.organization).await?;
    let name = bounded("name", &new.name, RepositoryName::MAX)?;
    let url = bounded("url", &new.url, MAX_URL)?;
    if !url.contains("://") {
        return Err(Fault::field("url", "Enter a valid URL."));
    }
    let external_id = new.external_id.as_deref();
    let external_id = external_id.map(|id| bounded("external_id", id, MAX_EXTERNAL_ID));
    let external_id = external_id.transpose()?;
    if let Some(id) = new.integration {
        let host = integration(context, organization.id, id).await?.provider;
        check_host(host, new.provider, external_id.as_deref())?;
    }
    let now = context.clock.now();
    let repository = Repository {
        id: RepositoryId::timed(now, rand::random()),
        organization: organization.id,
        name: RepositoryName::new(&name)
            .ok_or_else(|| Fault::field("name", "This field may not be blank."))?,
        provider: Some(new.provider),
        url: Some(url),
        created: now,
        integration: new.integration,
        external_id,
    };
    let saved = context.store.put_repository(&repository).await?;
    let repository = &saved.entity;
    Ok(json!({
        "created": saved.created,
        "repository": {
            "id": repository.id, "name": repository.name.as_str(),
            "provider": repository.provider.map(RepositoryProvider::as_str),
            "url": repository.url, "integration": repository.integration,
            "external_id": repository.external_id,
        },
    }))
}

/// Whether commits of such a repository can be asked for through such an integration.
fn check_host(
    host: Provider,
    provider: RepositoryProvider,
    external_id: Option<&str>,
) -> Result<(), Fault> {
    match (host, provider) {
        (Provider::Vsts, RepositoryProvider::AzureDevOps) => match external_id {
            Some(_) => Ok(()),
            None => Err(Fault::field(
                "external_id",
                "Enter the repository's id at Azure DevOps.",
            )),
        },
        (Provider::Github, RepositoryProvider::GitHub) => Ok(()),
        (
            Provider::Vsts | Provider::Github | Provider::JiraServer,
            RepositoryProvider::Git
            | RepositoryProvider::GitHub
            | RepositoryProvider::GitLab
            | RepositoryProvider::Bitbucket
            | RepositoryProvider::AzureDevOps,
        ) => {
            let text = format!("The integration is one of {host}, the repository's host is not.");
            Err(Fault::field("integration", text))
        }
    }
}
