//! Where the cache is: asked of ElastiCache, which functions in the VPC cannot reach, and written down
//! for them when it has changed.

use aws_sdk_elasticache::{Client, Config, error::DisplayErrorContext, types::ReplicationGroup};
use domain::Fault;
use store::{CacheEndpoint, KnownCacheEndpoint};

use crate::Context;

/// The replication group of this installation, and what the client to ask about it is made of: once a
/// minute, and not at every cold start.
#[derive(Debug)]
pub(crate) struct Cache {
    pub(crate) config: Config,
    pub(crate) replication_group: String,
}

/// Asks once, and writes only what is new.
pub(crate) async fn discover(context: &Context) -> Result<(), Fault> {
    let endpoint = ask(&context.cache).await?;
    let known = context.store.cache_endpoint().await?;
    if known
        .as_ref()
        .is_some_and(|known| known.endpoint == endpoint)
    {
        return Ok(());
    }
    // The first time it is only written down.
    if let Some(KnownCacheEndpoint { endpoint: was, .. }) = known {
        let CacheEndpoint { host, port, status } = &endpoint;
        tracing::info!(
            host,
            port,
            status,
            was = format!("{}:{} {}", was.host, was.port, was.status),
            "the cache has another endpoint or status"
        );
    }
    let since = context.clock.now();
    let known = KnownCacheEndpoint { endpoint, since };
    Ok(context.store.put_cache_endpoint(&known).await?)
}

async fn ask(cache: &Cache) -> Result<CacheEndpoint, Fault> {
    let client = Client::from_conf(cache.config.clone());
    let request = client.describe_replication_groups();
    let answer = request
        .replication_group_id(&cache.replication_group)
        .send()
        .await
        .map_err(|error| Fault::Retry(DisplayErrorContext(error).to_string()))?;
    let group = answer.replication_groups().first();
    group.and_then(endpoint).ok_or_else(|| {
        // While it is made or unmade it has none.
        Fault::Retry(format!(
            "{} has no primary endpoint",
            cache.replication_group
        ))
    })
}

fn endpoint(group: &ReplicationGroup) -> Option<CacheEndpoint> {
    let primary = group.node_groups().first()?.primary_endpoint()?;
    Some(CacheEndpoint {
        host: primary.address()?.to_owned(),
        port: u16::try_from(primary.port()?).ok()?,
        status: group.status()?.to_owned(),
    })
}
