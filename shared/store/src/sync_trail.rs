//! How deliveries of trackers ended, and what trackers were told, kept for those who ask why.
//!
//! A row lies with its group, or with the tracker's issue where no group came into it. What changes a
//! group's state is recorded in the same transaction; what changed nothing is put if absent, so that a
//! delivery that comes again does not hide how it ended.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::{AttributeValue, builders::PutBuilder};
use domain::{
    AssigneeWrite, Decision, Direction, ExternalKey, Facet, FacetMove, GroupCursor, GroupId,
    GroupState, IntegrationId, Message, MessageId, OrganizationId, Origin, Outcome, Reason, Rule,
    SyncIssue, SyncRecord, Timestamp, TraceId, TrackerOrigin,
};
use serde::{Deserialize, Serialize, de::IgnoredAny};

use crate::{
    PARTITION_KEY,
    error::StoreError,
    keys::{self, Key},
    table::{Page, Query, Sort, Store, attributes, text, value},
    transaction::{Change, Commit, Transaction},
};

/// For how long a row is kept, in seconds.
const KEPT: i64 = 90 * 24 * 60 * 60;

/// Lets an end that changed nothing take the place of no other: what is tried again has come to no end, nor what
/// could not be handled.
fn over_no_end(put: PutBuilder) -> PutBuilder {
    over(put, Reason::HandlingFailed)
}

/// The same for the end of what was handed over: what a copy of the message found that handed it over says
/// nothing of that.
fn over_no_end_or_copy(put: PutBuilder) -> PutBuilder {
    over(put, Reason::SameRevision)
}

fn over(put: PutBuilder, reason: Reason) -> PutBuilder {
    put.condition_expression(
        "attribute_not_exists(#pk) OR #outcome = :deferred OR #reason IN (:failed, :reason)",
    )
    .expression_attribute_names("#pk", PARTITION_KEY)
    .expression_attribute_names("#outcome", "outcome")
    .expression_attribute_names("#reason", "reason")
    .expression_attribute_values(":deferred", text("deferred"))
    .expression_attribute_values(":failed", text(Reason::HandlingFailed.as_str()))
    .expression_attribute_values(":reason", text(reason.as_str()))
}

/// Lets what could not be handled take the place of all but what was done or given up: that a copy of the
/// message had nothing to do says nothing of this one.
fn over_nothing_done(put: PutBuilder) -> PutBuilder {
    put.condition_expression(
        "attribute_not_exists(#pk) OR NOT #outcome IN (:applied, :refused, :dead)",
    )
    .expression_attribute_names("#pk", PARTITION_KEY)
    .expression_attribute_names("#outcome", "outcome")
    .expression_attribute_values(":applied", text("applied"))
    .expression_attribute_values(":refused", text("refused"))
    .expression_attribute_values(":dead", text("dead"))
}

/// What brings a change of a group about.
#[derive(Debug, Clone, Copy)]
pub struct Cause<'a> {
    /// Where it comes from.
    pub origin: &'a Origin,
    /// What it is about.
    pub facet: Facet,
    /// By which rule it was decided.
    pub rule: Option<Rule>,
    /// Whether it is the rest of a change that another function has accepted and handed over.
    pub handed_over: bool,
    /// What it belongs to.
    pub trace: &'a TraceId,
    /// When.
    pub now: Timestamp,
}

/// One of the tracker's issues that a group is linked to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkedIssue {
    /// Whose.
    pub organization: OrganizationId,
    /// Through which integration.
    pub integration: IntegrationId,
    /// Which.
    pub external_issue: ExternalKey,
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    record: &'a SyncRecord,
    ttl: i64,
}

#[derive(Deserialize)]
struct Noted {
    origin: TrackerOrigin,
    /// When one of its messages was handled for the last time.
    last_try: Option<Timestamp>,
    /// Which of them came to no end then.
    #[serde(default)]
    last_tries: BTreeSet<String>,
}

/// Which of a delivery's messages it is: what it is about first of all, and where its groups begin.
fn place(change: &SyncIssue) -> String {
    let facet = match &change.assignee {
        Some(_) => Facet::Assignee,
        None => Facet::Status,
    };
    let begin = change.after.map(begin).unwrap_or_default();
    format!("{}/{begin}", facet.as_str())
}

/// A group in the order of organizations and groups.
fn begin(after: GroupCursor) -> String {
    let (organization, group) = (after.organization.number(), after.group.number());
    format!("{organization:020}/{group:020}")
}

fn facet_of(place: &str) -> Facet {
    match place.starts_with(Facet::Assignee.as_str()) {
        true => Facet::Assignee,
        false => Facet::Status,
    }
}

/// The attribute by which the table forgets a row.
const TTL: &str = "ttl";

fn key(record: &SyncRecord) -> Key {
    let (cause, facet) = (record.origin.cause(), record.facet);
    match (record.group, record.direction) {
        (Some(group), Direction::Inbound) => keys::sync_of_group(group, cause, facet, None),
        (Some(group), Direction::Outbound) => {
            keys::sync_of_group(group, cause, facet, Some(&record.link))
        }
        (None, direction) => {
            let told = direction == Direction::Outbound;
            keys::sync_of_issue(record.organization, &record.link, cause, facet, told)
        }
    }
}

fn row(record: &SyncRecord) -> Row<'_> {
    let ttl = record.at.seconds() + KEPT;
    Row { record, ttl }
}

impl Transaction<'_> {
    /// Records the end of what this transaction does. An end that changed nothing takes the place of none: the
    /// same may have come before, and have changed something. That it is tried again is no end, nor that handling
    /// it failed.
    pub(crate) fn record(self, record: &SyncRecord) -> Result<Self, StoreError> {
        let (key, row) = (key(record), row(record));
        match record.outcome {
            Outcome::Applied | Outcome::HandedOver | Outcome::Refused(_) | Outcome::Dead(_) => {
                self.put(&key, &row)
            }
            Outcome::Superseded(_) | Outcome::Suppressed(_) | Outcome::Deferred(_) => {
                self.put_where(&key, &row, over_no_end)
            }
        }
    }
}

impl Store {
    /// Records an end that changed nothing, unless there is one already. That it is tried again is no end, nor
    /// that handling it failed.
    pub async fn record_sync(&self, record: &SyncRecord) -> Result<(), StoreError> {
        self.record_end(record, false).await
    }

    /// The same, of a change that may be the rest of one that was handed over.
    pub(crate) async fn record_end(
        &self,
        record: &SyncRecord,
        handed_over: bool,
    ) -> Result<(), StoreError> {
        let over = match handed_over {
            true => over_no_end_or_copy,
            false => over_no_end,
        };
        let transaction = self.transaction();
        let transaction = transaction.put_where(&key(record), &row(record), over)?;
        match transaction.commit().await? {
            Commit::Done | Commit::Refused(_) => Ok(()),
        }
    }

    /// Records, before a message is handled for the last time, that it came to no end: whatever end it comes to
    /// takes the place of this, and nothing is lost if the process is. Nothing where the group is gone.
    pub async fn record_last_try(&self, record: &SyncRecord) -> Result<(), StoreError> {
        if let Some(group) = record.group {
            let state: Option<IgnoredAny> = self.get(&keys::group_state(group)).await?;
            if state.is_none() {
                return Ok(());
            }
        }
        let transaction = self.transaction();
        let transaction = transaction.put_where(&key(record), &row(record), over_nothing_done)?;
        match transaction.commit().await? {
            Commit::Done | Commit::Refused(_) => Ok(()),
        }
    }

    /// Keeps what a delivery was about, for those who know no more than its id; and, if this is the last time
    /// that a message of it is handled, that this one came to no end yet. Once it did, it is noted without.
    pub async fn note_delivery(
        &self,
        change: &SyncIssue,
        last_try: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let origin = &change.origin;
        // The same however often it comes.
        let ttl = origin.delivery.minted().seconds() + KEPT;
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(attributes(&keys::delivery(origin.delivery))))
            .expression_attribute_names("#ttl", TTL)
            .expression_attribute_values(":origin", value(origin)?)
            .expression_attribute_values(":ttl", value(&ttl)?)
            .expression_attribute_values(":message", AttributeValue::Ss(vec![place(change)]));
        let set = "SET origin = :origin, #ttl = :ttl";
        let update = match last_try {
            Some(at) => update
                .update_expression(format!("{set}, last_try = :at ADD last_tries :message"))
                .expression_attribute_values(":at", value(&at)?),
            None => update.update_expression(format!("{set} DELETE last_tries :message")),
        };
        let done = update.send().await;
        done.map(|_| ())
            .map_err(|e| StoreError::sdk("UpdateItem", e))
    }

    /// Sends for those of a delivery's groups that come after `after`: once, however often the message comes
    /// that they are too many for. `false`: they were sent for before.
    pub async fn send_rest(
        &self,
        change: &SyncIssue,
        after: GroupCursor,
        trace: &TraceId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let place = begin(after);
        let rest = Change {
            expression: "SET rest = :rest".into(),
            condition: "attribute_not_exists(rest) OR rest < :rest".into(),
            names: Vec::new(),
            values: [(":rest".into(), text(place))].into(),
        };
        let message = Message::SyncIssue(SyncIssue {
            after: Some(after),
            ..change.clone()
        });
        let transaction = self
            .transaction()
            .update(&keys::delivery(change.origin.delivery), rest)?
            .send(message, trace, now, now)?;
        Ok(transaction.commit().await? == Commit::Done)
    }

    /// What a delivery was about, and how it ended if it came to no end at all.
    pub async fn delivery(
        &self,
        id: MessageId,
    ) -> Result<Option<(TrackerOrigin, Option<SyncRecord>)>, StoreError> {
        let noted: Option<Noted> = self.get(&keys::delivery(id)).await?;
        Ok(noted.map(|noted| {
            let Noted {
                origin,
                last_try,
                last_tries,
            } = noted;
            let end = last_try.zip(last_tries.first()).map(|(at, message)| {
                let failed = Outcome::Dead(Reason::HandlingFailed);
                SyncRecord::of_delivery(&origin, facet_of(message), failed, at)
            });
            (origin, end)
        }))
    }

    /// The tracker's issues that a group is linked to.
    pub async fn linked_issues(&self, group: GroupId) -> Result<Vec<LinkedIssue>, StoreError> {
        let pk = keys::group_meta(group).pk;
        self.query_all(Query::prefix(&pk, keys::GROUP_LINKS)).await
    }

    /// How the changes that concern a group ended, the newest first: its own, and those of the issues it
    /// is linked to that never came to a group.
    pub async fn sync_trail(
        &self,
        group: GroupId,
        skip: usize,
        limit: usize,
    ) -> Result<Page<SyncRecord>, StoreError> {
        let most = skip + limit;
        let (mut rows, mut more) = (Vec::new(), false);
        for pk in self.trails_of(group).await? {
            let page = self.trail_of(&pk, most).await?;
            rows.extend(page.rows);
            more |= page.more;
        }
        rows.sort_by_key(|row: &SyncRecord| std::cmp::Reverse((row.origin.cause(), row.facet)));
        more |= rows.len() > most;
        let rows = rows.into_iter().skip(skip).take(limit).collect();
        Ok(Page { rows, more })
    }

    /// How everything ended that concerns a group and was set off by this cause or by a later one.
    pub async fn sync_trail_since(
        &self,
        group: GroupId,
        cause: MessageId,
    ) -> Result<Vec<SyncRecord>, StoreError> {
        let mut rows = Vec::new();
        for pk in self.trails_of(group).await? {
            rows.extend(self.trail_since(&pk, cause).await?);
        }
        Ok(rows)
    }

    /// The partitions that a group's trail lies in: its own, and those of the issues it is linked to.
    async fn trails_of(&self, group: GroupId) -> Result<Vec<String>, StoreError> {
        let mut partitions = vec![keys::group_meta(group).pk];
        for issue in self.linked_issues(group).await? {
            let organization = Some(issue.organization);
            let (integration, key) = (issue.integration, &issue.external_issue);
            partitions.push(keys::external_issue(organization, integration, key));
        }
        Ok(partitions)
    }

    /// How the changes of a tracker's issue that never came to a group ended, the newest first.
    /// Without an organization: those of an integration that serves nobody.
    pub async fn sync_trail_of_issue(
        &self,
        organization: Option<OrganizationId>,
        integration: IntegrationId,
        issue: &ExternalKey,
        limit: usize,
    ) -> Result<Vec<SyncRecord>, StoreError> {
        let pk = keys::external_issue(organization, integration, issue);
        Ok(self.trail_of(&pk, limit).await?.rows)
    }

    /// The same for those that were set off by this cause or by a later one, all of them.
    pub async fn sync_trail_of_issue_since(
        &self,
        organization: Option<OrganizationId>,
        integration: IntegrationId,
        issue: &ExternalKey,
        cause: MessageId,
    ) -> Result<Vec<SyncRecord>, StoreError> {
        let pk = keys::external_issue(organization, integration, issue);
        self.trail_since(&pk, cause).await
    }

    async fn trail_since(&self, pk: &str, cause: MessageId) -> Result<Vec<SyncRecord>, StoreError> {
        let (low, high) = keys::sync_records_since(cause);
        let sort = Sort::Between(&low, &high);
        self.query_all(Query {
            pk,
            sort,
            descending: false,
            filters: Vec::new(),
        })
        .await
    }

    async fn trail_of(&self, pk: &str, limit: usize) -> Result<Page<SyncRecord>, StoreError> {
        let sort = Sort::Prefix(keys::SYNC_RECORDS);
        let descending = true;
        self.list(
            Query {
                pk,
                sort,
                descending,
                filters: Vec::new(),
            },
            0,
            limit,
        )
        .await
    }
}

impl Cause<'_> {
    /// The record of a change that a tracker told of; other changes have none.
    pub(crate) fn record(&self, state: &GroupState, decision: &Decision) -> Option<SyncRecord> {
        let Origin::Tracker(origin) = self.origin else {
            return None;
        };
        // It ends where it was handed over to.
        if decision.outcome == Outcome::HandedOver {
            return None;
        }
        let to = decision.write.as_ref().map(|write| &write.assignee);
        let to = match to {
            Some(AssigneeWrite::Set { actor, .. }) => Some(Some(*actor)),
            Some(AssigneeWrite::Clear) => Some(None),
            Some(AssigneeWrite::Keep) | None => None,
        };
        Some(SyncRecord {
            organization: Some(state.organization),
            group: Some(state.group),
            outcome: decision.outcome,
            rule: self.rule,
            change: to.map(|to| FacetMove::Assignee {
                from: state.assignee,
                to,
            }),
            ..SyncRecord::of_delivery(origin, self.facet, decision.outcome, self.now)
        })
    }
}
