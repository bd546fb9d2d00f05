//! Puts a new release into the place of "the next one" that groups of its projects are resolved in.
//!
//! It begins when a project has the release. The groups that wait are a list, and each says for itself which
//! releases it waits for, so the same once more changes nothing.

use domain::{ClearExpiredResolutions, Fault, Message, TraceId};
use tracing::Span;

use crate::Context;

/// How many groups one message looks at.
const GROUPS: u16 = 50;

pub(crate) async fn clear(
    context: &Context,
    message: ClearExpiredResolutions,
    trace: &TraceId,
) -> Result<(), Fault> {
    Span::current().record("org.id", message.organization.number());
    let store = &context.store;
    let release = store
        .release(message.organization, &message.version)
        .await?;
    let Some(release) = release.filter(|release| release.id == message.release) else {
        return Ok(());
    };
    let mut left = GROUPS;
    let projects = release.projects.iter();
    for project in projects.filter(|id| message.after.is_none_or(|(last, _)| **id >= last)) {
        let after = message.after.filter(|(last, _)| last == project);
        let after = after.map(|(_, group)| group);
        let page = store.waiting_for_release(*project, after, left).await?;
        for group in &page.rows {
            let now = context.clock.now();
            store
                .settle_resolution(*group, &release, trace, now)
                .await?;
        }
        left -= u16::try_from(page.rows.len()).unwrap_or(left).min(left);
        let Some(last) = page.rows.last().filter(|_| page.more || left == 0) else {
            continue;
        };
        let rest = Message::ClearExpiredResolutions(ClearExpiredResolutions {
            after: Some((*project, *last)),
            ..message
        });
        let now = context.clock.now();
        return Ok(store.outbox_send(rest, trace, now, now).await?);
    }
    Ok(())
}
