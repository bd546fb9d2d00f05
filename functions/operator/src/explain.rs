//! Why a tracker's change did, or did not do, what somebody expected: the recorded ends of deliveries.

use domain::{ExternalKey, Fault, IntegrationId, MessageId, SyncRecord};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Context,
    fields::{integration, issue, organization},
};

/// How many rows are looked through.
const MOST: usize = 100;

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
    let store = &context.store;
    let mut trail = match (asked.issue, asked.integration, asked.key) {
        (Some(text), None, None) => {
            let view = issue(context, organization.id, &text).await?;
            store.sync_trail(view.group.id, 0, MOST).await?.rows
        }
        (None, Some(id), Some(key)) => {
            let integration = integration(context, organization.id, id).await?;
            let (owner, id) = (Some(organization.id), integration.id);
            let mut rows = store.sync_trail_of_issue(owner, id, &key, MOST).await?;
            let most = u16::try_from(MOST).unwrap_or(u16::MAX);
            let linked = store
                .linked_groups(organization.id, id, &key, None, most)
                .await?;
            for linked in linked.rows {
                let page = store.sync_trail(linked.group, 0, MOST).await?;
                let own = page.rows.into_iter().filter(|row| row.group.is_some());
                rows.extend(own.filter(|row| row.link.integration == id));
            }
            rows.retain(|row| row.link.external_issue == key);
            rows.sort_by_key(|row| std::cmp::Reverse(row.origin.cause()));
            rows
        }
        (Some(_), _, _) | (None, _, _) => {
            let text = "Name either an issue, or an integration and the key of its issue.";
            return Err(Fault::detail(text));
        }
    };
    if let Some(delivery) = asked.delivery {
        trail.retain(|row| row.origin.cause() == delivery);
    }
    let trail: Result<Vec<_>, _> = trail.iter().map(explained).collect();
    let trail = trail.map_err(|error| Fault::Poison(error.to_string()))?;
    Ok(json!({ "trail": trail }))
}

fn explained(record: &SyncRecord) -> Result<Value, serde_json::Error> {
    let mut row = serde_json::to_value(record)?;
    row["at"] = record.at.to_string().into();
    let explanation = record.outcome.reason().map(domain::Reason::explanation);
    row["explanation"] = explanation.into();
    Ok(row)
}
