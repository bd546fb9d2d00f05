//! Client keys. A key lies with its project, and an item of its own leads from what clients send to
//! the project.

use domain::{AuditEntry, ClientKey, ProjectId, PublicKey};
use serde::{Deserialize, Serialize};

use crate::{
    change::{Changed, Swap},
    error::StoreError,
    keys,
    table::{Insert, Page, Query, Store},
    transaction::{Commit, Transaction},
};

#[derive(Serialize, Deserialize)]
struct ProjectRef {
    project: ProjectId,
}

impl Transaction<'_> {
    /// Puts a new key, and what leads to it: two writes.
    pub(crate) fn put_client_key(self, key: &ClientKey) -> Result<Self, StoreError> {
        let owner = ProjectRef {
            project: key.project,
        };
        self.put_new(&keys::client_key(key.project, &key.public_key), key)?
            .put_new(&keys::client_key_project(&key.public_key), &owner)
    }
}

impl Store {
    /// The project that a client key belongs to.
    pub async fn project_of_key(&self, key: &PublicKey) -> Result<Option<ProjectId>, StoreError> {
        let found: Option<ProjectRef> = self.get(&keys::client_key_project(key)).await?;
        Ok(found.map(|found| found.project))
    }

    /// A key of a project.
    pub async fn client_key(
        &self,
        project: ProjectId,
        key: &PublicKey,
    ) -> Result<Option<ClientKey>, StoreError> {
        self.get(&keys::client_key(project, key)).await
    }

    /// The keys of a project, in the order of the keys.
    pub async fn client_keys(
        &self,
        project: ProjectId,
        skip: usize,
        limit: usize,
    ) -> Result<Page<ClientKey>, StoreError> {
        let pk = keys::project(project).pk;
        let query = Query::prefix(&pk, keys::CLIENT_KEYS);
        self.list(query, skip, limit).await
    }

    /// All keys of a project, in the order of the keys.
    pub async fn all_client_keys(&self, project: ProjectId) -> Result<Vec<ClientKey>, StoreError> {
        let pk = keys::project(project).pk;
        self.query_all(Query::prefix(&pk, keys::CLIENT_KEYS)).await
    }

    /// Stores a new key.
    pub async fn create_client_key(
        &self,
        key: ClientKey,
        audit: &AuditEntry,
    ) -> Result<Insert<ClientKey>, StoreError> {
        let commit = self
            .transaction()
            .put_client_key(&key)?
            .audit(audit)?
            .commit()
            .await?;
        Ok(match commit {
            Commit::Done => Insert::Made(key),
            Commit::Refused(_) => Insert::IdTaken,
        })
    }

    /// Commits what `decide` makes of a key: another label, limit or state. Decided again when the key
    /// was changed meanwhile; `None` leaves it as it is.
    pub async fn change_client_key(
        &self,
        project: ProjectId,
        key: &PublicKey,
        decide: impl Fn(&ClientKey) -> Option<(ClientKey, AuditEntry)>,
    ) -> Result<Changed<ClientKey>, StoreError> {
        let item = keys::client_key(project, key);
        self.change(&item, decide, |transaction, seen: &ClientKey, new| {
            let swaps = [
                Swap::of("label", &seen.label, &new.label)?,
                Swap::of("active", &seen.active, &new.active)?,
                Swap::of("rate_limit", &seen.rate_limit, &new.rate_limit)?,
            ];
            transaction.swap(&item, swaps.into())
        })
        .await
    }

    /// Deletes a key. `false`: it is not there, or not any more.
    pub async fn delete_client_key(
        &self,
        key: &ClientKey,
        audit: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let commit = self
            .transaction()
            .delete_there(&keys::client_key(key.project, &key.public_key))?
            .delete(&keys::client_key_project(&key.public_key))?
            .audit(audit)?
            .commit()
            .await?;
        Ok(commit == Commit::Done)
    }
}
