//! Looks which deletions nobody works on, and sends their messages again.
//!
//! A message can be lost with its queue, or end in the dead-letter queue; one that was not lost does
//! nothing the second time.

use domain::{Fault, Message, ProjectId, SweepDeletions, TraceId};

use crate::Context;

/// How many deletions one message looks at.
const DELETIONS: u16 = 50;

pub(crate) async fn sweep(
    context: &Context,
    sweep: SweepDeletions,
    trace: &TraceId,
) -> Result<(), Fault> {
    let (store, now) = (&context.store, context.clock.now());
    let page = store.unfinished_deletions(sweep.after, DELETIONS).await?;
    for deletion in page.rows.iter().filter(|it| it.is_late(now)) {
        tracing::warn!(
            org.id = deletion.of.organization.number(),
            project.id = deletion.of.project.map(ProjectId::number),
            stage = deletion.stage,
            "nobody works on a deletion, it is sent again"
        );
        store.send_deletion_again(deletion, trace, now).await?;
    }
    let Some(last) = page.rows.last().filter(|_| page.more) else {
        return Ok(());
    };
    let after = Some(last.of);
    let rest = Message::SweepDeletions(SweepDeletions { after });
    Ok(store.outbox_send(rest, trace, now, now).await?)
}
