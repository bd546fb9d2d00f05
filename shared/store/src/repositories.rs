//! Repositories, each under its id, and found by its name.

use std::collections::HashMap;

use domain::{OrganizationId, Repository, RepositoryId, RepositoryName, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    error::StoreError,
    keys::{self, Key},
    table::{ATTEMPTS, Created, Filter, Item, Page, Query, Store, read, step_aside, value},
    transaction::{Commit, Transaction},
};

/// How many repositories are made in one transaction, of two writes each.
const AT_ONCE: usize = 40;

/// What a name leads to.
#[derive(Serialize, Deserialize)]
pub(crate) struct RepositoryRef {
    pub(crate) repository: RepositoryId,
    /// Whether clients can do something with it: they give up where one of many has no URL.
    listed: bool,
}

impl RepositoryRef {
    fn of(repository: &Repository) -> Self {
        Self {
            repository: repository.id,
            listed: repository.provider.is_some() && repository.url.is_some(),
        }
    }
}

/// Those of the repositories that are among the items, by folded name.
pub(crate) fn repositories_among(
    found: &HashMap<Key, Item>,
    organization: OrganizationId,
    names: &[RepositoryName],
) -> Result<HashMap<String, RepositoryId>, StoreError> {
    let mut ids = HashMap::new();
    for name in names {
        let key = keys::repository_name(organization, name);
        if let Some(item) = found.get(&key) {
            let found: RepositoryRef = read(&key, item.clone())?;
            ids.insert(name.folded(), found.repository);
        }
    }
    Ok(ids)
}

impl Transaction<'_> {
    /// Puts a new repository, and what leads to it: two writes.
    fn put_repository(self, new: &Repository) -> Result<Self, StoreError> {
        let name = keys::repository_name(new.organization, &new.name);
        self.put_new(&name, &RepositoryRef::of(new))?
            .put_new(&keys::repository(new.id), new)
    }
}

impl Store {
    /// The repository with this id.
    pub async fn repository(&self, id: RepositoryId) -> Result<Option<Repository>, StoreError> {
        self.get(&keys::repository(id)).await
    }

    /// The repositories with these names, by folded name, without those that do not exist.
    pub async fn repositories_named(
        &self,
        organization: OrganizationId,
        names: &[RepositoryName],
    ) -> Result<HashMap<String, RepositoryId>, StoreError> {
        let key = |name: &RepositoryName| keys::repository_name(organization, name);
        let found = self.get_all(names.iter().map(key).collect()).await?;
        repositories_among(&found, organization, names)
    }

    /// The repositories of an organization that have a provider and a URL, by name.
    pub async fn repositories(
        &self,
        organization: OrganizationId,
        skip: usize,
        limit: usize,
    ) -> Result<Page<Repository>, StoreError> {
        let pk = keys::organization(organization).pk;
        let query = Query {
            filters: vec![Filter::is("listed", value(&true)?)],
            ..Query::prefix(&pk, keys::REPOSITORY_NAMES)
        };
        let page: Page<RepositoryRef> = self.list(query, skip, limit).await?;
        let ids = page.rows.iter().map(|row| keys::repository(row.repository));
        let rows = self.get_list(ids.collect()).await?;
        Ok(Page {
            rows,
            more: page.more,
        })
    }

    /// Stores a repository, or gives the one with its name its provider and URL.
    pub async fn put_repository(
        &self,
        new: &Repository,
    ) -> Result<Created<Repository>, StoreError> {
        let name = keys::repository_name(new.organization, &new.name);
        for attempt in 0..ATTEMPTS {
            step_aside(attempt).await;
            let found: Option<RepositoryRef> = self.get(&name).await?;
            let Some(found) = found else {
                let commit = self.transaction().put_repository(new)?.commit().await?;
                if commit == Commit::Done {
                    return Ok(Created::new(new.clone()));
                }
                continue;
            };
            let mut repository = self
                .repository(found.repository)
                .await?
                .ok_or_else(|| StoreError::Contended("the repository".into()))?;
            repository.provider = new.provider;
            repository.url = new.url.clone();
            let reference = RepositoryRef::of(&repository);
            let commit = self
                .transaction()
                .put_over(&name, &reference, "repository", &repository.id)?
                .put(&keys::repository(repository.id), &repository)?
                .commit()
                .await?;
            if commit == Commit::Done {
                return Ok(Created::found(repository));
            }
        }
        Err(StoreError::Contended("the repository".into()))
    }

    /// Makes those of the repositories that are not `known`. They have no provider: nobody knows of them but
    /// commits.
    pub(crate) async fn make_repositories(
        &self,
        organization: OrganizationId,
        names: &[RepositoryName],
        mut known: HashMap<String, RepositoryId>,
        now: Timestamp,
    ) -> Result<HashMap<String, RepositoryId>, StoreError> {
        for attempt in 0..ATTEMPTS {
            step_aside(attempt).await;
            let missing = names
                .iter()
                .filter(|name| !known.contains_key(&name.folded()));
            let missing: Vec<_> = missing.cloned().collect();
            if missing.is_empty() {
                return Ok(known);
            }
            for names in missing.chunks(AT_ONCE) {
                let new = names.iter().map(|name| Repository {
                    id: RepositoryId::timed(now, rand::random()),
                    organization,
                    name: name.clone(),
                    provider: None,
                    url: None,
                    created: now,
                });
                let new: Vec<_> = new.collect();
                let transaction = new.iter().try_fold(self.transaction(), |all, repository| {
                    all.put_repository(repository)
                })?;
                if transaction.commit().await? == Commit::Done {
                    known.extend(new.iter().map(|made| (made.name.folded(), made.id)));
                }
            }
            if names.iter().any(|name| !known.contains_key(&name.folded())) {
                known.extend(self.repositories_named(organization, &missing).await?);
            }
        }
        Err(StoreError::Contended("the repositories".into()))
    }
}
