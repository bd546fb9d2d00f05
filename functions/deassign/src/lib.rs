//! `deassign`: removes a group's assignee, unless something newer has been decided since.
//!
//! It is a function of its own because much hangs on an unassignment, and none of it may hold up the
//! next change of the same tracker.

use std::sync::Arc;

use domain::{Facet, Fault, Message, Outcome, Queue, Reason};
use runtime::{Clock, Delivery, Env, Function, StartError, record_outcome};
use store::{Cause, Store};
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
    Ok(Function::queue(Queue::Deassign, move |delivery| {
        let context = context.clone();
        async move { handle(&context, delivery).await }
    }))
}

/// Handles one message.
pub async fn handle(context: &Context, delivery: Delivery) -> Result<(), Fault> {
    let envelope = delivery.envelope;
    let Message::Deassign(message) = envelope.message else {
        return Err(Fault::Poison(format!(
            "{} is not for deassign",
            envelope.message.name()
        )));
    };
    Span::current()
        .record("org.id", message.organization.number())
        .record("group.id", message.group.number());

    let state = context.store.group_state(message.group).await?;
    let decide = |state: &_| domain::deassign(state, &message);
    let cause = Cause {
        origin: &message.origin,
        facet: Facet::Assignee,
        rule: None,
        trace: &envelope.trace,
        now: context.clock.now(),
    };
    let decision = context.store.change_group(state, decide, &cause).await?;

    let gone = Outcome::Suppressed(Reason::NoGroup);
    record_outcome(decision.map_or(gone, |decision| decision.outcome));
    Ok(())
}
