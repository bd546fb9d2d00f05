//! `issue-sync`: "the tracker's issue changed". Finds the groups that the issue is linked to, in the
//! organizations that allow it, and decides for each of them what follows.
//!
//! Assignments are made here; an unassignment is accepted here and carried out by `deassign`.

mod assignee;

use std::sync::Arc;

use domain::{Facet, Fault, Message, Queue, Reason, SyncIssue, TraceId};
use runtime::{Clock, Delivery, Env, Function, StartError};
use store::Store;

use crate::assignee::Failures;

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
    Ok(Function::queue(Queue::IssueSync, move |delivery| {
        let context = context.clone();
        async move { handle(&context, delivery).await }
    }))
}

/// Handles one message.
pub async fn handle(context: &Context, delivery: Delivery) -> Result<(), Fault> {
    let last = delivery.is_last();
    let envelope = delivery.envelope;
    match envelope.message {
        Message::SyncIssue(change) => sync(context, &change, &envelope.trace, last).await,
        other @ (Message::Deassign(_)
        | Message::PushAssignee(_)
        | Message::PushStatus(_)
        | Message::LinkGroups(_)
        | Message::ResolveGroups(_)
        | Message::DeleteRelease(_)
        | Message::ClearExpiredResolutions(_)
        | Message::DrainUpdates(_)
        | Message::DeleteProject(_)
        | Message::DeleteOrganization(_)
        | Message::ClearOwnerCaches(_)
        | Message::SweepDeletions(_)
        | Message::FetchCommits(_)
        | Message::RecordDeploys(_)
        | Message::SendEmail(_)
        | Message::NotifyDeploy(_)) => Err(Fault::Poison(format!(
            "{} is not for issue-sync",
            other.name()
        ))),
    }
}

async fn sync(
    context: &Context,
    change: &SyncIssue,
    trace: &TraceId,
    last: bool,
) -> Result<(), Fault> {
    let store = &context.store;
    let last_try = last.then(|| context.clock.now());
    let note = store.note_delivery(change, last_try);
    let attached = store.attached_organizations(change.origin.integration);
    let attached = if last {
        // First of all: whatever fails after it is found out.
        note.await?;
        attached.await?
    } else {
        tokio::try_join!(attached, note)?.0
    };
    // The two parts of a change are independent of each other.
    let failures = match &change.assignee {
        Some(assignee) => assignee::sync(context, change, assignee, &attached, trace, last).await?,
        None => Failures::default(),
    };
    if change.status.is_some() && change.after.is_none() {
        let organizations = attached.iter().map(|attached| Some(attached.organization));
        let nobody = attached.is_empty().then_some(None);
        for organization in organizations.chain(nobody) {
            let reason = Reason::StatusNotApplied;
            assignee::record(context, change, Facet::Status, organization, None, reason).await?;
        }
    }
    if last && failures.unrecorded == 0 {
        // It came to an end, or each of its groups has its own.
        store.note_delivery(change, None).await?;
    }
    match failures.groups {
        0 => Ok(()),
        failed => Err(Fault::Retry(format!("{failed} groups failed"))),
    }
}
