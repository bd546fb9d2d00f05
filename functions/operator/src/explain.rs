//! Why a tracker's change did, or did not do, what somebody expected: the recorded ends of deliveries, and
//! of what trackers were told because of them.

use domain::{
    Direction, ExternalKey, Fault, GroupId, IntegrationId, Link, MessageId, Organization, Origin,
    SyncRecord,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Context,
    fields::{integration, issue, organization, unknown},
};

/// How many of the newest rows are shown. What one delivery set off is shown whole.
const MOST: usize = 100;

/// What is to be said of a delivery that was taken in and is found nowhere else.
const NO_END: &str = "It was taken in, and no end of it is known: it is on its way, or the table could not be \
                      written when it failed for the last time. Then it is in the dead-letter queue of issue-sync.";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Explain {
    organization: String,
    issue: Option<String>,
    integration: Option<IntegrationId>,
    key: Option<ExternalKey>,
    delivery: Option<MessageId>,
}

pub(crate) async fn explain(context: &Context, asked: Explain) -> Result<Value, Fault> {
    let organization = organization(context, &asked.organization).await?;
    let (store, since) = (&context.store, asked.delivery);
    let trail = match (asked.issue, asked.integration, asked.key, asked.delivery) {
        (Some(text), None, None, _) => {
            let view = issue(context, organization.id, &text).await?;
            of_group(context, view.group.id, since).await?
        }
        (None, Some(integration), Some(external_issue), _) => {
            let link = Link {
                integration,
                external_issue,
            };
            of_link(context, &organization, &link, since).await?
        }
        (None, None, None, Some(delivery)) => {
            let found = store.delivery(delivery).await?;
            let found = found.ok_or_else(|| unknown("delivery", &delivery.to_string()))?;
            let (origin, end) = found;
            let mut trail = of_link(context, &organization, &origin.link(), since).await?;
            trail.extend(end);
            trail
        }
        (Some(_) | None, _, _, _) => {
            let text = "Name an issue, an integration and the key of its issue, or a delivery.";
            return Err(Fault::detail(text));
        }
    };
    let trail = match asked.delivery {
        Some(delivery) => chain(trail, delivery),
        None => trail,
    };
    let oldest_first = asked.delivery.is_some();
    let with_origin = |row: SyncRecord| match row.of_origin() {
        Some(origin) if oldest_first => vec![row, origin],
        Some(origin) => vec![origin, row],
        None => vec![row],
    };
    let trail = trail.into_iter().flat_map(with_origin);
    let trail: Result<Vec<_>, _> = trail.map(|row| explained(&row)).collect();
    let trail = trail.map_err(|error| Fault::Poison(error.to_string()))?;
    let note = (asked.delivery.is_some() && trail.is_empty()).then_some(NO_END);
    Ok(json!({ "trail": trail, "note": note }))
}

/// The newest rows of a group, or all from one delivery on: whatever came after it may be its echo.
async fn of_group(
    context: &Context,
    group: GroupId,
    since: Option<MessageId>,
) -> Result<Vec<SyncRecord>, Fault> {
    let store = &context.store;
    Ok(match since {
        Some(delivery) => store.sync_trail_since(group, delivery).await?,
        None => store.sync_trail(group, 0, MOST).await?.rows,
    })
}

/// What the tracker told of one of its issues, what followed from that, and what it was told; the newest
/// first.
async fn of_link(
    context: &Context,
    organization: &Organization,
    link: &Link,
    since: Option<MessageId>,
) -> Result<Vec<SyncRecord>, Fault> {
    let store = &context.store;
    let (integration, key) = (
        integration(context, organization.id, link.integration).await?,
        &link.external_issue,
    );
    let (owner, tracker) = (organization.id, integration.id);
    let mut rows = match since {
        Some(delivery) => {
            let rows = store.sync_trail_of_issue_since(Some(owner), tracker, key, delivery);
            rows.await?
        }
        None => {
            let rows = store.sync_trail_of_issue(Some(owner), tracker, key, MOST);
            rows.await?
        }
    };
    let (most, mut after) = (u16::try_from(MOST).unwrap_or(u16::MAX), None);
    loop {
        let page = store
            .linked_groups(owner, tracker, key, after, most)
            .await?;
        for linked in &page.rows {
            let found = of_group(context, linked.group, since).await?;
            rows.extend(found.into_iter().filter(|row| row.group.is_some()));
        }
        after = page.rows.last().map(|linked| linked.group);
        if since.is_none() || !page.more {
            break;
        }
    }
    let came_from = |origin: &Origin| match origin {
        Origin::Tracker(origin) => origin.link() == *link,
        Origin::Api(_) | Origin::Code(_) => false,
    };
    rows.retain(|row| row.link == *link || came_from(&row.origin));
    rows.sort_by_key(|row| std::cmp::Reverse(row.origin.cause()));
    Ok(rows)
}

/// All that one delivery set off, the oldest first: its own end, what trackers were told, and how they told
/// of that in turn.
fn chain(trail: Vec<SyncRecord>, delivery: MessageId) -> Vec<SyncRecord> {
    let written = |row: &SyncRecord| {
        let ours = row.direction == Direction::Outbound && row.origin.cause() == delivery;
        ours.then(|| row.link.clone()).zip(row.revision)
    };
    let written: Vec<_> = trail.iter().filter_map(written).collect();
    let echoes = |row: &SyncRecord| {
        row.direction == Direction::Inbound
            && row
                .revision
                .is_some_and(|revision| written.contains(&(row.link.clone(), revision)))
    };
    let mut rows: Vec<_> = trail
        .into_iter()
        .filter(|row| row.origin.cause() == delivery || echoes(row))
        .collect();
    rows.sort_by_key(|row| row.at);
    rows
}

fn explained(record: &SyncRecord) -> Result<Value, serde_json::Error> {
    let mut row = serde_json::to_value(record)?;
    row["id"] = record.id().into();
    row["at"] = record.at.to_string().into();
    let explanation = record.outcome.reason().map(domain::Reason::explanation);
    row["explanation"] = explanation.into();
    Ok(row)
}
