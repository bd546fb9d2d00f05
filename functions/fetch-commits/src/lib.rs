//! `fetch-commits`: asks the hosts of repositories for the commits that releases name by their newest one.
//!
//! What is to be fetched lies in the release, and a message is about one step of it. Each repository is a
//! work of its own: what one host refuses holds up no other. What may pass is put off through the outbox;
//! people hear of the rest once for each repository and cause, and once more when it is over.

mod deploys;
mod fetch;
mod host;
mod tell;

use std::{sync::Arc, time::Duration};

use domain::{Fault, Message, OrganizationId, Queue, Release, ReleaseId, Version};
use providers::{Outside, OutsideConfig, vsts::tokens::Application};
use runtime::{Clock, Delivery, Env, Function, StartError};
use store::{KeyRing, Store};

/// What this function may touch.
#[derive(Debug)]
pub struct Context {
    store: Store,
    ring: KeyRing,
    outside: Outside,
    azure: Application,
    clock: Clock,
}

/// Builds the function from its environment.
pub async fn function(env: Env) -> Result<Function, StartError> {
    let mut reader = env.reader();
    let aws = reader.aws();
    let store = Store::new(&aws.service("DYNAMODB"), reader.text("TABLE_NAME"));
    let ring = KeyRing::parse(&reader.secret("KEY_RING"));
    let ring = reader.check("KEY_RING", ring);
    let hosts = env.optional("TRACKER_HOSTS").unwrap_or_default();
    let whole = Duration::from_secs(reader.parsed_or("TRACKER_TIMEOUT_SECONDS", 20));
    let config = OutsideConfig::new(env.optional("OUTSIDE_VIA"), hosts, whole);
    let outside = reader.check("TRACKER_HOSTS", Outside::new(config));
    let azure = Application::new(
        env.optional("VSTS_CLIENT_ID"),
        env.optional("VSTS_CLIENT_SECRET"),
        &reader.text("PUBLIC_URL"),
    );
    let clock = reader.clock();
    reader.finish()?;
    let context = Arc::new(Context {
        store,
        ring: ring.expect("the reader would have said that the ring is not valid"),
        outside: outside.expect("the reader would have said that the hosts are not valid"),
        azure,
        clock,
    });
    env.connect(aws.open("DYNAMODB")).await;
    Ok(Function::queue(Queue::FetchCommits, move |delivery| {
        let context = context.clone();
        async move { handle(&context, delivery).await }
    }))
}

impl Context {
    /// The release that a message is about. `None`: it was deleted, and there is nothing left to do.
    async fn release(
        &self,
        organization: OrganizationId,
        version: &Version,
        id: ReleaseId,
    ) -> Result<Option<Release>, Fault> {
        let found = self.store.release(organization, version).await?;
        let found = found.filter(|found| found.id == id);
        if found.is_none() {
            tracing::error!(release = id.to_string(), "the release is gone");
        }
        Ok(found)
    }
}

/// Handles one message.
pub async fn handle(context: &Context, delivery: Delivery) -> Result<(), Fault> {
    let (message, trace) = (delivery.envelope.message, delivery.envelope.trace);
    match message {
        Message::FetchCommits(message) => fetch::fetch(context, &message, &trace).await,
        Message::RecordDeploys(message) => deploys::record(context, &message, &trace).await,
        other @ (Message::SyncIssue(_)
        | Message::Deassign(_)
        | Message::PushAssignee(_)
        | Message::PushStatus(_)
        | Message::LinkGroups(_)
        | Message::ResolveGroups(_)
        | Message::DeleteRelease(_)
        | Message::ClearExpiredResolutions(_)
        | Message::DrainUpdates(_)
        | Message::DeleteProject(_)
        | Message::DeleteOrganization(_)
        | Message::SweepDeletions(_)
        | Message::SendEmail(_)
        | Message::NotifyDeploy(_)
        | Message::ClearOwnerCaches(_)) => Err(Fault::Poison(format!(
            "{} is not for fetch-commits",
            other.name()
        ))),
    }
}
