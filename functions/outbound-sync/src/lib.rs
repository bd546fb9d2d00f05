//! `outbound-sync`: tells a tracker who works on a linked issue, and whether it is done.
//!
//! A message is only a reason to look: what is sent is the assignee or the status that the group has when the
//! link's lease is taken. What fails for a reason that may pass is put off through the outbox, so that neither
//! a slow tracker nor a long Retry-After brings good messages to the dead-letter queue.

mod push;
mod tracker;

use std::{sync::Arc, time::Duration};

use domain::{Facet, Fault, Message, Outcome, Queue, Reason, SyncRecord};
use providers::{Outside, OutsideConfig, vsts::tokens::Application};
use runtime::{Clock, Delivery, Env, Function, StartError};
use store::{KeyRing, Store};
use tracing::Span;

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
    Ok(Function::queue(Queue::OutboundSync, move |delivery| {
        let context = context.clone();
        async move { handle(&context, delivery).await }
    }))
}

/// Handles one message.
pub async fn handle(context: &Context, delivery: Delivery) -> Result<(), Fault> {
    let envelope = &delivery.envelope;
    let (facet, push) = match &envelope.message {
        Message::PushAssignee(push) => (Facet::Assignee, push),
        Message::PushStatus(push) => (Facet::Status, push),
        other @ (Message::SyncIssue(_)
        | Message::Deassign(_)
        | Message::DrainUpdates(_)
        | Message::FetchCommits(_)
        | Message::RecordDeploys(_)
        | Message::SendEmail(_)
        | Message::NotifyDeploy(_)
        | Message::DeleteProject(_)
        | Message::DeleteOrganization(_)
        | Message::SweepDeletions(_)
        | Message::ClearOwnerCaches(_)
        | Message::LinkGroups(_)
        | Message::ResolveGroups(_)
        | Message::DeleteRelease(_)
        | Message::ClearExpiredResolutions(_)) => {
            let name = other.name();
            return Err(Fault::Poison(format!("{name} is not for outbound-sync")));
        }
    };
    Span::current()
        .record("org.id", push.organization.number())
        .record("group.id", push.group.number());
    if delivery.is_last() {
        // Whatever ends this try, those who ask find out that the message was given up.
        let (failed, now) = (Outcome::Dead(Reason::HandlingFailed), context.clock.now());
        let record = SyncRecord::of_push(facet, push, None, failed, now);
        if let Err(error) = context.store.record_last_try(&record).await {
            tracing::warn!(reason = error.to_string(), "the last try leaves no record");
        }
    }
    push::push(context, facet, push, &delivery).await
}
