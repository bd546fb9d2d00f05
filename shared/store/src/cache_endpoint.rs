//! Where Redis is, as ElastiCache last said it. The relay asks and writes it down, because functions in
//! the VPC cannot ask; they look here when the address they were deployed with does not answer.

use domain::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{error::StoreError, keys, table::Store, transaction::Commit};

/// The primary endpoint of the cache, and how it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheEndpoint {
    /// Its name in DNS.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// ElastiCache's word for its state: `available`, `modifying` ...
    pub status: String,
}

/// An endpoint, and since when it has been this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownCacheEndpoint {
    /// What ElastiCache said.
    #[serde(flatten)]
    pub endpoint: CacheEndpoint,
    /// When it said so for the first time.
    pub since: Timestamp,
}

impl Store {
    /// What is known of the cache's endpoint.
    pub async fn cache_endpoint(&self) -> Result<Option<KnownCacheEndpoint>, StoreError> {
        self.get(&keys::cache_endpoint()).await
    }

    /// Writes down another endpoint, over whatever is there: whoever asked last knows best.
    pub async fn put_cache_endpoint(&self, known: &KnownCacheEndpoint) -> Result<(), StoreError> {
        let transaction = self.transaction().put(&keys::cache_endpoint(), known)?;
        match transaction.commit().await? {
            Commit::Done => Ok(()),
            Commit::Refused(_) => Err(StoreError::Contended("the cache's endpoint".into())),
        }
    }
}
