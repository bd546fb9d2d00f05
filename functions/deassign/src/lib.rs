//! `deassign`: removes a group's assignee, unless something newer has been decided since, and clears the
//! caches that a removal makes wrong.
//!
//! It is a function of its own because much hangs on an unassignment, and none of it may hold up the
//! next change of the same tracker.

use std::sync::Arc;

use domain::{
    ClearOwnerCaches, Deassign, Envelope, Facet, Fault, Message, Origin, Outcome, Queue, Reason,
    SyncRecord, Timestamp, TraceId,
};
use runtime::{Clock, Delivery, Env, Function, Metric, StartError, record_outcome};
use store::{Cause, NotCleared, OwnerCaches, Redis, Store};
use tracing::Span;

/// What this function may touch.
#[derive(Debug)]
pub struct Context {
    store: Store,
    caches: OwnerCaches,
    clock: Clock,
}

/// Builds the function from its environment.
pub async fn function(env: Env) -> Result<Function, StartError> {
    let mut reader = env.reader();
    let aws = reader.aws();
    let store = Store::new(&aws.service("DYNAMODB"), reader.text("TABLE_NAME"));
    let redis = Redis::new(&reader.secret("REDIS_URL"), store.clone(), || {
        Metric::CacheUnreachable.emit();
    });
    let redis = reader.check("REDIS_URL", redis);
    let clock = reader.clock();
    reader.finish()?;
    let redis = redis.expect("the reader would have said that the URL is not valid");
    let context = Arc::new(Context {
        store,
        caches: OwnerCaches::new(redis),
        clock,
    });
    let connections = async { tokio::join!(aws.open("DYNAMODB"), context.caches.warm()) };
    env.connect(connections).await;
    Ok(Function::queue(Queue::Deassign, move |delivery| {
        let context = context.clone();
        async move { handle(&context, delivery).await }
    }))
}

/// Handles one message.
pub async fn handle(context: &Context, delivery: Delivery) -> Result<(), Fault> {
    let last = delivery.is_last();
    let envelope = delivery.envelope;
    match &envelope.message {
        Message::Deassign(message) => {
            if last {
                note_last_try(context, message).await;
            }
            remove(context, message, &envelope.trace).await
        }
        Message::ClearOwnerCaches(message) => clear(context, message, &envelope).await,
        other @ (Message::SyncIssue(_)
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
        | Message::FetchCommits(_)
        | Message::RecordDeploys(_)
        | Message::SendEmail(_)
        | Message::NotifyDeploy(_)) => {
            let name = other.name();
            Err(Fault::Poison(format!("{name} is not for deassign")))
        }
    }
}

/// Lets those who ask for the change find out that its message was given up, whatever ends this try.
async fn note_last_try(context: &Context, message: &Deassign) {
    let Origin::Tracker(origin) = &message.origin else {
        return;
    };
    let (facet, now) = (Facet::Assignee, context.clock.now());
    let failed = Outcome::Dead(Reason::HandlingFailed);
    let record = SyncRecord {
        organization: Some(message.organization),
        group: Some(message.group),
        ..SyncRecord::of_delivery(origin, facet, failed, now)
    };
    if let Err(error) = context.store.record_last_try(&record).await {
        tracing::warn!(reason = error.to_string(), "the last try leaves no record");
    }
}

async fn remove(context: &Context, message: &Deassign, trace: &TraceId) -> Result<(), Fault> {
    let (organization, group) = (message.organization, message.group);
    Span::current()
        .record("org.id", organization.number())
        .record("group.id", group.number());

    let state = context.store.group_state(group).await?;
    let decide = |state: &_| domain::deassign(state, message);
    let cause = Cause {
        origin: &message.origin,
        facet: Facet::Assignee,
        rule: None,
        handed_over: true,
        trace,
        now: context.clock.now(),
    };
    let decision = context.store.change_group(state, decide, &cause).await?;

    let Some(decision) = decision else {
        return note_gone(context, message).await;
    };
    let outcome = decision.outcome;
    record_outcome(outcome);
    if domain::leaves_caches_stale(outcome)
        && let Err(error) = context.caches.clear(&[group]).await
    {
        let (store, now) = (&context.store, context.clock.now());
        // The removal is done, whatever becomes of the caches.
        if let Some(due) = put_off(&error, now, now) {
            let clear = Message::ClearOwnerCaches(ClearOwnerCaches {
                organization,
                groups: vec![group],
            });
            store.outbox_send(clear, trace, now, due).await?;
        }
    }
    Ok(())
}

/// Lets those who ask for the change find out that there is no group any more.
async fn note_gone(context: &Context, message: &Deassign) -> Result<(), Fault> {
    let gone = Outcome::Suppressed(Reason::NoGroup);
    if let Origin::Tracker(origin) = &message.origin {
        let (facet, now) = (Facet::Assignee, context.clock.now());
        let record = SyncRecord {
            organization: Some(message.organization),
            ..SyncRecord::of_delivery(origin, facet, gone, now)
        };
        context.store.record_sync(&record).await?;
    }
    record_outcome(gone);
    Ok(())
}

async fn clear(
    context: &Context,
    message: &ClearOwnerCaches,
    envelope: &Envelope,
) -> Result<(), Fault> {
    Span::current().record("org.id", message.organization.number());
    if let [group] = message.groups.as_slice() {
        Span::current().record("group.id", group.number());
    }
    if let Err(error) = context.caches.clear(&message.groups).await
        && let Some(due) = put_off(&error, envelope.id.minted(), context.clock.now())
    {
        context.store.outbox_put_off(envelope, due).await?;
    }
    Ok(())
}

/// When it is tried again to clear them; `None` where they have ended by themselves.
fn put_off(error: &NotCleared, sent: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let (due, reason) = (ClearOwnerCaches::again(sent, now), error.to_string());
    match due {
        Some(_) => tracing::warn!(reason, "the caches are cleared later"),
        None => tracing::warn!(reason, "the caches have ended by themselves"),
    }
    due
}
