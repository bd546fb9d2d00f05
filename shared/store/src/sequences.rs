//! Snowflake sequences in Redis: which ids of which second are taken. One atomic call per id.
//!
//! Losing Redis, or its contents, must not make a duplicate row: whoever creates an entity puts it
//! only if its id is free, and comes back for another id.

use std::future::Future;

use domain::{ClientFault, Fault, Region, Slug, Snowflake, SnowflakeId, SnowflakeModel, Timestamp};
use redis::{RedisError, Script};

use crate::{
    cache::Redis,
    error::StoreError,
    table::{ATTEMPTS, Created, Insert},
};

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

/// The allocator.
pub struct Sequences {
    redis: Redis,
    region: Region,
    script: Script,
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
    /// An allocator for ids of `region`.
    pub fn new(redis: Redis, region: Region) -> Self {
        Self {
            redis,
            region,
            script: Script::new(ALLOCATE),
        }
    }

    /// Opens the connection, so that the first id does not wait for it. Failure does not matter.
    pub async fn warm(&self) {
        self.redis.warm().await;
    }

    /// The next free id of `model`.
    pub async fn next(&self, model: SnowflakeModel, now: Timestamp) -> Result<u64, SequenceError> {
        let newest = Snowflake::seconds_at(now);
        let place = self.allocate(model, newest).await;
        let (seconds, sequence) = place
            .map_err(|e| unavailable(&e))?
            .ok_or(SequenceError::Exhausted)?;
        let parts = Snowflake {
            seconds,
            region: self.region.number(),
            sequence,
        };
        parts
            .encode()
            .map_err(|e| SequenceError::Unavailable(e.to_string()))
    }

    /// Saves a new entity under a fresh id. After a lost Redis ids come back and rows must not, so an id
    /// that `insert` finds taken is given up for another one, up to five times.
    ///
    /// A name that is taken is no reason for another id: `Ok(None)`, at once. `insert` may try several
    /// names with the id that it is given.
    pub async fn save_with_snowflake_id<I, T, F>(
        &self,
        now: Timestamp,
        insert: impl Fn(I) -> F,
    ) -> Result<Option<T>, Fault>
    where
        I: SnowflakeId,
        F: Future<Output = Result<Insert<T>, Fault>>,
    {
        for _ in 0..SAVE_ATTEMPTS {
            let id = self.next(I::MODEL, now).await?;
            let id = I::of(id).map_err(|e| Fault::Poison(e.to_string()))?;
            match insert(id).await? {
                Insert::Made(made) => return Ok(Some(made)),
                Insert::NameTaken => return Ok(None),
                Insert::IdTaken => {}
            }
        }
        let text = "Max allowed ID retry reached. Please try again in a second";
        Err(Fault::Client(ClientFault::Conflict(text.into())))
    }

    /// The same under the first of these slugs that is free. A slug that is taken is no reason for another id,
    /// and a taken id none for another slug. `Ok(None)`: none is free.
    pub async fn save_under_free_slug<I, T, F>(
        &self,
        now: Timestamp,
        slugs: &[Slug],
        insert: impl Fn(I, Slug) -> F,
    ) -> Result<Option<T>, Fault>
    where
        I: SnowflakeId + Copy,
        F: Future<Output = Result<Insert<T>, Fault>>,
    {
        let insert = &insert;
        let under_any = |id: I| async move {
            for slug in slugs {
                match insert(id, slug.clone()).await? {
                    Insert::NameTaken => {}
                    done @ (Insert::Made(_) | Insert::IdTaken) => return Ok(done),
                }
            }
            Ok(Insert::NameTaken)
        };
        self.save_with_snowflake_id(now, under_any).await
    }

    /// Finds an entity, or saves it under a fresh id. Somebody else may make it meanwhile: then its name
    /// is taken, and it is found.
    pub async fn find_or_save<I, T, F, S>(
        &self,
        now: Timestamp,
        find: impl Fn() -> F,
        insert: impl Fn(I) -> S,
    ) -> Result<Created<T>, Fault>
    where
        I: SnowflakeId,
        F: Future<Output = Result<Option<T>, StoreError>>,
        S: Future<Output = Result<Insert<T>, Fault>>,
    {
        for _ in 0..ATTEMPTS {
            if let Some(found) = find().await? {
                return Ok(Created::found(found));
            }
            if let Some(made) = self.save_with_snowflake_id(now, &insert).await? {
                return Ok(Created::new(made));
            }
        }
        let model = I::MODEL.as_str();
        Err(StoreError::Contended(format!("the {model}")).into())
    }

    async fn allocate(
        &self,
        model: SnowflakeModel,
        newest: u64,
    ) -> Result<Option<(u64, u64)>, RedisError> {
        let mut script = self.script.prepare_invoke();
        script
            .key(format!("snowflake:{{{}}}:", model.as_str()))
            .arg(newest)
            .arg(newest.min(Snowflake::LOOK_BACK))
            .arg(Snowflake::PER_SECOND)
            .arg(Snowflake::LOOK_BACK);
        let script = &script;
        let call = |mut connection| async move { script.invoke_async(&mut connection).await };
        self.redis.run(call).await
    }
}

fn unavailable(error: &RedisError) -> SequenceError {
    SequenceError::Unavailable(error.to_string())
}
