//! Tells of the updates that wait in a shard: those that it finds, each once, and the newest of each object.
//!
//! The shard is put off before anything is told. What goes wrong, a crash included, leaves it put off, and
//! what was not told is told then; every receiver looks at what holds now and can be told twice.

use domain::{
    DrainUpdates, Fault, Message, OrganizationCategory, TraceId, Update, UpdateSchedule,
    WaitingUpdate,
};

use crate::Context;

pub(crate) async fn drain(
    context: &Context,
    message: DrainUpdates,
    trace: &TraceId,
) -> Result<(), Fault> {
    let (store, shard) = (&context.store, message.shard);
    let found = store.waiting_updates(shard).await?;
    let put_off = |schedule: &UpdateSchedule| schedule.due > message.due;
    if found.schedule.as_ref().is_some_and(put_off) {
        return Ok(());
    }
    if found.updates.is_empty() {
        // Whoever told the last one ended before it could say so.
        return match found.schedule {
            Some(schedule) => Ok(store.updates_told(shard, schedule).await?),
            None => Ok(()),
        };
    }
    let now = context.clock.now();
    let next = UpdateSchedule::after(found.schedule, now);
    let mine = store.put_off_updates(shard, found.schedule, next, trace, now);
    if !mine.await? {
        return Ok(());
    }
    for waiting in &found.updates {
        if let Err(fault) = tell(context, waiting).await {
            let (reason, seconds) = (fault.to_string(), next.delay);
            tracing::warn!(reason, seconds, "a shard's updates wait");
            return Ok(());
        }
        tracing::info!(update.id = waiting.id.to_string(), "an update is told");
        store.update_told(waiting).await?;
    }
    store.updates_told(shard, next).await?;
    if found.more {
        let rest = Message::DrainUpdates(DrainUpdates { shard, due: now });
        store.outbox_send(rest, trace, now, now).await?;
    }
    Ok(())
}

/// Whoever keeps something of the object.
async fn tell(context: &Context, waiting: &WaitingUpdate) -> Result<(), Fault> {
    let Update::Organization { category, .. } = waiting.update;
    match category {
        OrganizationCategory::ProjectUpdate(project) => {
            if context.store.project(project).await?.is_none() {
                let at = waiting.id.minted();
                context.store.put_tombstone(category, at).await?;
            }
            Ok(())
        }
    }
}
