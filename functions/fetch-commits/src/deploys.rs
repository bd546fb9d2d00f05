//! What follows for deploys once the commits of a release are known: what of each repository is deployed
//! where, and that people can be told.

use std::collections::BTreeMap;

use domain::{
    Deploy, EnvironmentName, Fault, Fetch, Message, NotifyDeploy, RecordDeploys, TraceId,
};
use store::DeployedCommit;
use tracing::Span;

use crate::Context;

pub(crate) async fn record(
    context: &Context,
    message: &RecordDeploys,
    trace: &TraceId,
) -> Result<(), Fault> {
    Span::current().record("org.id", message.organization.number());
    let store = &context.store;
    let (organization, version) = (message.organization, &message.version);
    let Some(release) = context
        .release(organization, version, message.release)
        .await?
    else {
        return Ok(());
    };
    // Whoever ends the last of them sends for this again.
    let under_way = |fetch: &Fetch| !fetch.is_put_off();
    if release.awaits_commits() || release.fetches.values().any(under_way) {
        return Ok(());
    }
    let deploys = store.deploys(release.id).await?;
    // Of which no commits are known nobody can say what of it is deployed.
    let known = newest(&deploys).into_values();
    for deploy in known.filter(|_| !release.lists.is_empty()) {
        for (repository, commit) in &release.heads {
            let deployed = DeployedCommit {
                repository: *repository,
                environment: deploy.environment.clone(),
                release: release.id,
                deploy: deploy.id,
                commit: commit.clone(),
                finished: deploy.finished,
            };
            store.put_deployed_commit(&deployed).await?;
        }
    }
    for deploy in deploys.iter().filter(|deploy| !deploy.notified) {
        let now = context.clock.now();
        let notify = Message::NotifyDeploy(NotifyDeploy {
            organization: release.organization,
            release: release.id,
            version: release.version.clone(),
            deploy: deploy.id,
            fetch_complete: true,
        });
        store.outbox_send(notify, trace, now, now).await?;
    }
    Ok(())
}

/// The deploy to each environment that was done last.
fn newest(deploys: &[Deploy]) -> BTreeMap<&EnvironmentName, &Deploy> {
    let mut newest: BTreeMap<_, &Deploy> = BTreeMap::new();
    for deploy in deploys {
        let known = newest.entry(&deploy.environment).or_insert(deploy);
        if (known.finished, known.id) < (deploy.finished, deploy.id) {
            *known = deploy;
        }
    }
    newest
}
