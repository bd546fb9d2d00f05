//! Snowflake sequences in Redis: which ids of which second are taken. One atomic call per id.
//!
//! Losing Redis, or its contents, must not make a duplicate row: whoever creates an entity puts it
//! only if its id is free, and comes back for another id.

use std::{future::Future, time::Duration};

use domain::{ClientFault, Fault, Secret, Snowflake, SnowflakeModel, Timestamp};
use redis::{AsyncConnectionConfig, Client, RedisError, Script, aio::MultiplexedConnection};
use tokio::sync::Mutex;

use crate::{error::StoreError, table::Created};

const CONNECT: Duration = Duration::from_millis(250);
const ANSWER: Duration = Duration::from_millis(150);

/// Walks back from the present second to the first one with room. A counter that is full is only read,
/// so it does not grow with every look; its life counts from its first use.
const ALLOCATE: &str = r"
local newest, window, room, ttl = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
for back = 0, window - 1 do
  local second = newest - back
  local key = KEYS[1] .. string.format('%d', second)
  if tonumber(redis.call('GET', key) or '0') < room then
    local taken = redis.call('INCR', key)
    if taken == 1 then redis.call('EXPIRE', key, ttl) end
    return {second, taken - 1}
  end
end
return false
";

/// The allocator. Opens its connection when first needed and again after it broke.
pub struct Sequences {
    client: Client,
    region: u16,
    script: Script,
    connection: Mutex<Option<MultiplexedConnection>>,
}

/// How often an entity is saved under a new id before the caller is told to come back.
const SAVE_ATTEMPTS: usize = 5;

/// Why there is no id.
#[derive(Debug, thiserror::Error)]
pub enum SequenceError {
    /// Redis does not answer; later it may.
    #[error("the snowflake sequence cannot be reached: {0}")]
    Unavailable(String),
    /// All ids of the look-back window are taken, or the clock stands before the epoch.
    #[error("No available ID")]
    Exhausted,
}

impl From<SequenceError> for Fault {
    fn from(error: SequenceError) -> Self {
        Self::Retry(error.to_string())
    }
}

impl std::fmt::Debug for Sequences {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sequences")
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

impl Sequences {
    /// An allocator at `url` (`redis://` or `rediss://`) for ids of `region` (0 without regions).
    pub fn new(url: &Secret, region: u16) -> Result<Self, SequenceError> {
        let client = Client::open(url.reveal()).map_err(|e| unavailable(&e))?;
        let script = Script::new(ALLOCATE);
        Ok(Self {
            client,
            region,
            script,
            connection: Mutex::new(None),
        })
    }

    /// Opens the connection, so that the first id does not wait for it. Failure does not matter.
    pub async fn warm(&self) {
        let _ = self.connection().await;
    }

    /// The next free id of `model`. A dead connection costs one reconnect.
    pub async fn next(&self, model: SnowflakeModel, now: Timestamp) -> Result<u64, SequenceError> {
        let newest = Snowflake::seconds_at(now);
        let place = match self.allocate(model, newest).await {
            Err(error) if broken(&error) => {
                *self.connection.lock().await = None;
                self.allocate(model, newest).await
            }
            place => place,
        };
        let (seconds, sequence) = place
            .map_err(|e| unavailable(&e))?
            .ok_or(SequenceError::Exhausted)?;
        let parts = Snowflake {
            seconds,
            region: self.region,
            sequence,
        };
        parts
            .encode()
            .map_err(|e| SequenceError::Unavailable(e.to_string()))
    }

    /// Finds an entity, or makes it under a fresh id. `make` answers `None` where the id or a name of
    /// the entity was taken, and everything starts over: after a lost Redis ids come back, rows must
    /// not, and somebody else may have made the entity meanwhile.
    pub async fn find_or_make<T, F, M>(
        &self,
        model: SnowflakeModel,
        now: Timestamp,
        find: impl Fn() -> F,
        make: impl Fn(u64) -> M,
    ) -> Result<Created<T>, Fault>
    where
        F: Future<Output = Result<Option<T>, StoreError>>,
        M: Future<Output = Result<Option<T>, Fault>>,
    {
        for _ in 0..SAVE_ATTEMPTS {
            if let Some(found) = find().await? {
                return Ok(Created::found(found));
            }
            if let Some(made) = make(self.next(model, now).await?).await? {
                return Ok(Created::new(made));
            }
        }
        let text = "Max allowed ID retry reached. Please try again in a second";
        Err(Fault::Client(ClientFault::Conflict(text.into())))
    }

    async fn allocate(
        &self,
        model: SnowflakeModel,
        newest: u64,
    ) -> Result<Option<(u64, u64)>, RedisError> {
        let mut connection = self.connection().await?;
        self.script
            .key(format!("snowflake:{{{}}}:", model.as_str()))
            .arg(newest)
            .arg(newest.min(Snowflake::LOOK_BACK))
            .arg(Snowflake::PER_SECOND)
            .arg(Snowflake::LOOK_BACK)
            .invoke_async(&mut connection)
            .await
    }

    async fn connection(&self) -> Result<MultiplexedConnection, RedisError> {
        let mut slot = self.connection.lock().await;
        if let Some(connection) = slot.as_ref() {
            return Ok(connection.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER));
        let connection = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        Ok(slot.insert(connection).clone())
    }
}

fn broken(error: &RedisError) -> bool {
    error.is_io_error() || error.is_connection_dropped() || error.is_timeout()
}

fn unavailable(error: &RedisError) -> SequenceError {
    SequenceError::Unavailable(error.to_string())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_cache_with_tls_is_spoken_to_with_tls() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("rediss://{}", listener.local_addr().unwrap());
        let sequences = Sequences::new(&Secret::new(url), 0).unwrap();
        let first_byte = async {
            let (connection, _) = listener.accept().await.unwrap();
            let mut byte = [0];
            while connection.try_read(&mut byte).is_err() {
                connection.readable().await.unwrap();
            }
            byte[0]
        };
        let (byte, ()) = tokio::join!(first_byte, sequences.warm());
        assert_eq!(byte, 0x16, "the first byte of a TLS handshake");
    }
}
