//! Repositories that clients may name commits of.

use domain::{Fault, Repository, RepositoryId, RepositoryName, RepositoryProvider};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Context,
    fields::{bounded, organization},
};

/// Longest URL, in characters.
const MAX_URL: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateRepository {
    organization: String,
    name: String,
    provider: RepositoryProvider,
    url: String,
}

pub(crate) async fn create(context: &Context, new: CreateRepository) -> Result<Value, Fault> {
    let organization = organization(context, &new.organization).await?;
    let name = bounded("name", &new.name, RepositoryName::MAX)?;
    let url = bounded("url", &new.url, MAX_URL)?;
    if !url.contains("://") {
        return Err(Fault::field("url", "Enter a valid URL."));
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
    };
    let saved = context.store.put_repository(&repository).await?;
    let repository = &saved.entity;
    Ok(json!({
        "created": saved.created,
        "repository": {
            "id": repository.id, "name": repository.name.as_str(),
            "provider": repository.provider.map(RepositoryProvider::as_str),
            "url": repository.url,
        },
    }))
}
