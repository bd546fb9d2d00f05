//! API tokens. Whoever reads the table learns no token: the key is a SHA-256.

use domain::{Token, TokenOwner};
use serde::{Deserialize, Serialize};

use crate::{
    error::StoreError,
    hash::TokenHash,
    keys,
    table::{ATTEMPTS, Created, Query, Store, step_aside},
    transaction::Commit,
};

#[derive(Serialize, Deserialize)]
pub(crate) struct NamedToken {
    pub(crate) hash: TokenHash,
}

impl Store {
    /// The token with this hash.
    pub async fn token(&self, hash: &TokenHash) -> Result<Option<Token>, StoreError> {
        self.get(&keys::token(hash)).await
    }

    /// The token that its owner has under this name.
    async fn token_named(
        &self,
        owner: TokenOwner,
        name: &str,
    ) -> Result<Option<Token>, StoreError> {
        match self
            .get::<NamedToken>(&keys::token_name(owner, name))
            .await?
        {
            Some(named) => self.token(&named.hash).await,
            None => Ok(None),
        }
    }

    /// The tokens of an owner, in no order.
    pub async fn tokens_of(&self, owner: TokenOwner) -> Result<Vec<Token>, StoreError> {
        let pk = keys::token_name(owner, "").pk;
        let query = Query::prefix(&pk, keys::TOKEN_NAMES);
        let named: Vec<NamedToken> = self.query_all(query).await?;
        let keys = named.iter().map(|named| keys::token(&named.hash));
        self.get_list(keys.collect()).await
    }

    /// Ends the token that an owner has under this name. `false`: there is none.
    pub async fn revoke_token(&self, owner: TokenOwner, name: &str) -> Result<bool, StoreError> {
        let key = keys::token_name(owner, name);
        for attempt in 0..ATTEMPTS {
            step_aside(attempt).await;
            let Some(seen) = self.get::<NamedToken>(&key).await? else {
                return Ok(false);
            };
            let transaction = self
                .transaction()
                .delete_over(&key, "hash", &seen.hash)?
                .delete(&keys::token(&seen.hash))?;
            if transaction.commit().await? == Commit::Done {
                return Ok(true);
            }
        }
        Err(StoreError::Contended("the token".into()))
    }

    /// Stores a token under its hash, unless its owner has one of that name.
    pub async fn create_token(
        &self,
        hash: &TokenHash,
        token: Token,
    ) -> Result<Created<Token>, StoreError> {
        let commit = self
            .transaction()
            .put_new(
                &keys::token_name(token.owner, &token.name),
                &NamedToken { hash: hash.clone() },
            )?
            .put_new(&keys::token(hash), &token)?
            .commit()
            .await?;
        match commit {
            Commit::Done => Ok(Created::new(token)),
            Commit::Refused(_) => {
                let found = self.token_named(token.owner, &token.name).await?;
                found
                    .map(Created::found)
                    .ok_or_else(|| StoreError::Contended("the token".into()))
            }
        }
    }
}
