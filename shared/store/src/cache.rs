//! The connection to Redis: opened when first needed, again after it broke, and elsewhere if the cache
//! has moved. Redis is never a hard dependency, so everything here ends soon.

use std::{future::Future, sync::Arc, time::Duration};

use domain::{Secret, Timestamp};
use redis::{
    AsyncConnectionConfig, Client, IntoConnectionInfo, RedisError, aio::MultiplexedConnection,
};
use tokio::sync::Mutex;

use crate::{cache_endpoint::CacheEndpoint, table::Store};

const CONNECT: Duration = Duration::from_millis(250);
const ANSWER: Duration = Duration::from_millis(150);

/// Redis, as functions in the VPC reach it. Clones share one connection.
#[derive(Clone)]
pub struct Redis(Arc<Shared>);

struct Shared {
    /// Where it was when the function was deployed.
    deployed: Address,
    /// Knows where it has been heard of since.
    store: Store,
    unreachable: fn(),
    state: Mutex<State>,
}

/// The URL says no more than where Redis is, and whether with TLS.
#[derive(Debug, thiserror::Error)]
#[error("not a redis:// or rediss:// URL with a host and a port")]
pub struct RedisUrlError;

#[derive(Clone, PartialEq, Eq)]
struct Address {
    scheme: &'static str,
    host: String,
    port: u16,
}

struct State {
    address: Address,
    /// How old the newest report of another endpoint is that was followed.
    heard: Option<Timestamp>,
    open: Option<Connection>,
    /// How often a connection was opened.
    opened: u64,
}

/// Numbered, so that of several who find it dead only the first makes a new one.
#[derive(Clone)]
struct Connection {
    number: u64,
    inner: MultiplexedConnection,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redis")
    }
}

impl Redis {
    /// Redis at `url`, or where `store` says that it has moved to. `unreachable` is called each time
    /// that Redis neither answers nor can be reached anew.
    pub fn new(url: &Secret, store: Store, unreachable: fn()) -> Result<Self, RedisUrlError> {
        let deployed = Address::parse(url.reveal()).ok_or(RedisUrlError)?;
        let state = State {
            address: deployed.clone(),
            heard: None,
            open: None,
            opened: 0,
        };
        Ok(Self(Arc::new(Shared {
            deployed,
            store,
            unreachable,
            state: Mutex::new(state),
        })))
    }

    /// Opens the connection, so that the first request does not wait for it. Failure does not matter.
    pub async fn warm(&self) {
        if !matches!(
            // Said before the cold start, which waits for other connections too, gives up.
            tokio::time::timeout(CONNECT, self.0.connection()).await,
            Ok(Ok(_))
        ) {
            (self.0.unreachable)();
        }
    }

    /// Does something with Redis. A connection that turns out to be dead is opened anew, once.
    pub(crate) async fn run<T, F>(
        &self,
        work: impl Fn(MultiplexedConnection) -> F,
    ) -> Result<T, RedisError>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let result = self.0.run_twice(work).await;
        if result.as_ref().is_err_and(is_broken) {
            (self.0.unreachable)();
        }
        result
    }
}

impl Shared {
    async fn run_twice<T, F>(
        &self,
        work: impl Fn(MultiplexedConnection) -> F,
    ) -> Result<T, RedisError>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let connection = self.connection().await?;
        match work(connection.inner).await {
            Err(error) if is_broken(&error) => {
                self.forget(connection.number).await;
                work(self.connection().await?.inner).await
            }
            result => result,
        }
    }

    async fn connection(&self) -> Result<Connection, RedisError> {
        let mut state = self.state.lock().await;
        if let Some(connection) = &state.open {
            return Ok(connection.clone());
        }
        let inner = match state.address.connect().await {
            Err(_) if self.look_elsewhere(&mut state).await => state.address.connect().await,
            connection => connection,
        }?;
        state.opened += 1;
        let number = state.opened;
        Ok(state.open.insert(Connection { number, inner }).clone())
    }

    async fn forget(&self, number: u64) {
        let mut state = self.state.lock().await;
        state.open.take_if(|connection| connection.number == number);
    }

    /// After an address failed: whether there is another one to try. A report that is newer than the
    /// last one followed wins; one that led nowhere is left for the address of the deployment.
    async fn look_elsewhere(&self, state: &mut State) -> bool {
        let report = self.store.cache_endpoint().await.ok().flatten();
        let newer = report.filter(|report| Some(report.since) > state.heard);
        let address = match newer {
            Some(report) => {
                state.heard = Some(report.since);
                self.deployed.moved_to(report.endpoint)
            }
            None => self.deployed.clone(),
        };
        let other = address != state.address;
        state.address = address;
        other
    }
}

impl Address {
    fn parse(url: &str) -> Option<Self> {
        // Redis' own reading of it first: it knows what a URL may be.
        url.into_connection_info().ok()?;
        let (scheme, rest) = url.split_once("://")?;
        let scheme = ["redis", "rediss"]
            .into_iter()
            .find(|known| *known == scheme)?;
        let (host, port) = rest.trim_end_matches('/').rsplit_once(':')?;
        Some(Self {
            scheme,
            host: host.to_owned(),
            port: port.parse().ok()?,
        })
    }

    fn moved_to(&self, endpoint: CacheEndpoint) -> Self {
        Self {
            scheme: self.scheme,
            host: endpoint.host,
            port: endpoint.port,
        }
    }

    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER));
        let url = format!("{}://{}:{}", self.scheme, self.host, self.port);
        Client::open(url)?
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }
}

fn is_broken(error: &RedisError) -> bool {
    error.is_io_error() || error.is_connection_dropped() || error.is_timeout()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_scheme_a_host_and_a_port() {
        let address = Address::parse("rediss://cache.example:6379").unwrap();
        assert_eq!(
            (address.scheme, address.host.as_str(), address.port),
            ("rediss", "cache.example", 6379)
        );
        for wrong in [
            "cache.example:6379",
            "http://cache.example:6379",
            "redis://cache.example",
            "",
        ] {
            assert!(Address::parse(wrong).is_none(), "{wrong}");
        }
    }
}
