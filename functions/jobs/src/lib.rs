//! `jobs`: bounded work that nobody waits for, one message and one file for each job.
//!
//! Its schedule does no work either: it sends the messages of what is done from time to time.

mod clear_expired_resolutions;
mod delete_release;
mod drain_updates;
mod link_groups;
mod notify_deploy;
mod people;
mod resolve_groups;
mod sweep_deletions;

use std::sync::Arc;

use domain::{Fault, Message, MessageId, Queue, SweepDeletions, TraceId};
use runtime::{Clock, Delivery, Env, Function, StartError};
use store::Store;
use tracing::Span;

/// What this function may touch.
#[derive(Debug)]
pub struct Context {
    store: Store,
    clock: Clock,
}

/// Builds the function from its environment.
pub async fn function(env: Env) -> Result<Function, StartError> {
    let mut reader = env.reader();
    let aws = reader.aws();
    let store = Store::new(&aws.service("DYNAMODB"), reader.text("TABLE_NAME"));
    let context = Arc::new(Context {
        store,
        clock: reader.clock(),
    });
    reader.finish()?;
    env.connect(aws.open("DYNAMODB")).await;
    let timer = context.clone();
    let function = Function::queue(Queue::Jobs, move |delivery| {
        let context = context.clone();
        async move { handle(&context, delivery).await }
    });
    Ok(function.on_schedule(move || {
        let context = timer.clone();
        async move { send_due(&context).await }
    }))
}

/// Handles one message.
pub async fn handle(context: &Context, delivery: Delivery) -> Result<(), Fault> {
    let envelope = delivery.envelope;
    let trace = &envelope.trace;
    match &envelope.message {
        Message::DrainUpdates(drain) => drain_updates::drain(context, *drain, trace).await,
        Message::DeleteRelease(delete) => delete_release::delete(context, *delete, trace).await,
        Message::SweepDeletions(sweep) => sweep_deletions::sweep(context, *sweep, trace).await,
        Message::NotifyDeploy(notify) => {
            Span::current().record("org.id", notify.organization.number());
            notify_deploy::notify(context, notify, &envelope).await
        }
        Message::LinkGroups(link) => link_groups::link(context, link.clone(), trace).await,
        Message::ResolveGroups(resolve) => {
            resolve_groups::resolve(context, resolve.clone(), trace).await
        }
        Message::ClearExpiredResolutions(clear) => {
            clear_expired_resolutions::clear(context, clear.clone(), trace).await
        }
        other @ (Message::SyncIssue(_)
        | Message::Deassign(_)
        | Message::PushAssignee(_)
        | Message::PushStatus(_)
        | Message::ClearOwnerCaches(_)
        | Message::DeleteProject(_)
        | Message::DeleteOrganization(_)
        | Message::FetchCommits(_)
        | Message::RecordDeploys(_)
        | Message::SendEmail(_)) => Err(Fault::Poison(format!("{} is not for jobs", other.name()))),
    }
}

/// Sends the messages of the jobs that the schedule is for.
async fn send_due(context: &Context) -> Result<(), Fault> {
    let now = context.clock.now();
    let trace = TraceId::new(MessageId::new(now, rand::random()).to_string());
    let sweep = Message::SweepDeletions(SweepDeletions { after: None });
    Ok(context.store.outbox_send(sweep, &trace, now, now).await?)
}
