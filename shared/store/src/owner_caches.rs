//! What is remembered of who owns a group, so that an event need not look it up. Only a hint: nobody waits
//! for it, and whoever decides something by it reads again.

use domain::{Fault, GroupId, ProjectId, Timestamp};
use redis::RedisError;

use crate::{cache::Redis, table::Store};

/// How long an entry lives, in seconds.
const DAY: u64 = 24 * 60 * 60;
const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;
/// Somebody may be assigned at any moment, and an assignment clears nothing.
const MINUTE: u64 = 60;

/// Of how many groups one command deletes the keys.
const GROUPS: u16 = 1000;

/// What can be remembered of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerCache {
    /// Whether somebody is assigned.
    AssigneeExists,
    /// Whether somebody owns it by the project's rules, which need not be evaluated again then.
    OwnerExists,
}

impl OwnerCache {
    /// Both.
    pub const ALL: [Self; 2] = [Self::AssigneeExists, Self::OwnerExists];

    fn key(self, group: GroupId) -> String {
        let family = match self {
            Self::AssigneeExists => "assignee_exists",
            Self::OwnerExists => "owner_exists",
        };
        format!("{family}:1:{group}")
    }

    fn life(self, exists: bool) -> u64 {
        match (self, exists) {
            (Self::AssigneeExists, false) => MINUTE,
            (Self::AssigneeExists, true) | (Self::OwnerExists, _) => DAY,
        }
    }
}

/// The caches, in Redis.
#[derive(Debug, Clone)]
pub struct OwnerCaches {
    redis: Redis,
}

/// The caches hold what they held; later they can be cleared.
#[derive(Debug, thiserror::Error)]
#[error("the caches of owners cannot be cleared: {0}")]
pub struct NotCleared(#[from] RedisError);

impl From<NotCleared> for Fault {
    fn from(error: NotCleared) -> Self {
        Self::Retry(error.to_string())
    }
}

impl OwnerCaches {
    /// The caches in this Redis.
    pub fn new(redis: Redis) -> Self {
        Self { redis }
    }

    /// Opens the connection, so that the first request does not wait for it. Failure does not matter.
    pub async fn warm(&self) {
        self.redis.warm().await;
    }

    /// What is remembered; `None` where nothing is, or Redis is away.
    pub async fn recall(&self, cache: OwnerCache, group: GroupId) -> Option<bool> {
        let mut get = redis::cmd("GET");
        get.arg(cache.key(group));
        let get = &get;
        let call = |mut connection| async move { get.query_async(&mut connection).await };
        let found: Option<u8> = self.redis.run(call).await.ok()?;
        found.map(|exists| exists != 0)
    }

    /// Remembers it for as long as it may be so. Without Redis it is looked up again next time.
    pub async fn remember(&self, cache: OwnerCache, group: GroupId, exists: bool) {
        let mut set = redis::cmd("SET");
        set.arg(cache.key(group))
            .arg(u8::from(exists))
            .arg("EX")
            .arg(cache.life(exists));
        let set = &set;
        let call = |mut connection| async move { set.query_async(&mut connection).await };
        let _: Result<(), _> = self.redis.run(call).await;
    }

    /// Forgets everything about these groups: 1000 keys with each command.
    pub async fn clear(&self, groups: &[GroupId]) -> Result<(), NotCleared> {
        // A command without keys is none.
        if groups.is_empty() {
            return Ok(());
        }
        let mut clear = redis::pipe();
        for chunk in groups.chunks(usize::from(GROUPS)) {
            for cache in OwnerCache::ALL {
                let keys: Vec<_> = chunk.iter().map(|group| cache.key(*group)).collect();
                clear.cmd("UNLINK").arg(keys).ignore();
            }
        }
        let clear = &clear;
        let call = |mut connection| async move { clear.query_async(&mut connection).await };
        Ok(self.redis.run(call).await?)
    }

    /// Forgets everything about the groups of a project that were seen in the last day, and says how many
    /// they are. What is remembered of the others has ended by itself. A group that was made a moment ago
    /// may be missed.
    pub async fn clear_project(
        &self,
        store: &Store,
        project: ProjectId,
        now: Timestamp,
    ) -> Result<u64, Fault> {
        let (since, mut after, mut cleared) = (now.plus(-DAY_MILLIS), None, 0);
        loop {
            let page = store
                .groups_seen_since(project, since, after, GROUPS)
                .await?;
            self.clear(&page.groups).await?;
            cleared += page.groups.len() as u64;
            if page.next.is_none() {
                return Ok(cleared);
            }
            after = page.next;
        }
    }
}
