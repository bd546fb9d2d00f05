//! Deletes what belonged to a release that is deleted, batch by batch, once whatever knew the release is over.
//!
//! What is left of it says which batch is the next one, so a message that comes again does nothing.

use domain::{DeleteRelease, Fault, TraceId};
use tracing::Span;

use crate::Context;

pub(crate) async fn delete(
    context: &Context,
    message: DeleteRelease,
    trace: &TraceId,
) -> Result<(), Fault> {
    Span::current().record("org.id", message.organization.number());
    let (store, step) = (&context.store, message.step);
    let found = store.deleted_release(message.release).await?;
    let Some(left) = found.filter(|left| left.step == step) else {
        tracing::info!(step, "this batch is done already");
        return Ok(());
    };
    let now = context.clock.now();
    Ok(store.delete_left(&left, trace, now).await?)
}
