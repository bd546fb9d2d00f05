//! What a tracker is told: what decides about it, the right to write, and what is kept of a write.
//!
//! What is known of a link lies in the group's state and is replaced as a whole, where it still is as it
//! was seen: whatever the tracker tells meanwhile makes the replacement decide again.

use domain::{
    AttachedOrganization, Envelope, Facet, GroupState, Integration, IntegrationId, Lease, Link,
    LinkState, Organization, OrganizationId, Settled, SyncRecord, Timestamp, TrackerPush,
    TrackerValue,
};
use serde::{Deserialize, Serialize};

use crate::{
    KeyRing, KeyRingError, KnownIdentity,
    error::StoreError,
    identities::Row,
    keys,
    table::{Store, take, value},
    transaction::{Change, Commit, claim},
};

/// Everything that decides whether and how a linked issue is told.
#[derive(Debug)]
pub struct Outbound {
    /// The group.
    pub state: Option<GroupState>,
    /// Its organization.
    pub organization: Option<Organization>,
    /// The link's integration.
    pub integration: Option<Integration>,
    /// What the organization lets it do.
    pub attached: Option<AttachedOrganization>,
    identity: Option<Row>,
    pause: Option<Pause>,
}

/// The tracker has asked to be left alone.
#[derive(Debug, Serialize, Deserialize)]
struct Pause {
    until: Timestamp,
    /// When the table forgets it, in seconds since 1970.
    ttl: i64,
}

impl Outbound {
    /// What the organization writes to the tracker with.
    pub fn identity(&self, ring: &KeyRing) -> Option<Result<KnownIdentity, KeyRingError>> {
        self.identity.as_ref().map(|row| row.open(ring))
    }

    /// For how many milliseconds more the tracker wants to be left alone; `None`: it does not.
    pub fn pause(&self, now: Timestamp) -> Option<i64> {
        let left = self.pause.as_ref()?.until.millis() - now.millis();
        (left > 0).then_some(left)
    }
}

impl Store {
    /// Reads, in one batch, what decides about a push.
    pub async fn outbound(&self, push: &TrackerPush) -> Result<Outbound, StoreError> {
        let (organization, integration) = (push.organization, push.link.integration);
        let wanted = [
            keys::group_state(push.group),
            keys::organization(organization),
            keys::integration(integration),
            keys::attached_organization(integration, organization),
            keys::identity(integration, organization),
            keys::tracker_pause(integration, organization),
        ];
        let mut found = self.get_all(wanted.to_vec()).await?;
        let [state, org, tracker, attached, identity, pause] = &wanted;
        Ok(Outbound {
            state: take(&mut found, state)?,
            organization: take(&mut found, org)?,
            integration: take(&mut found, tracker)?,
            attached: take(&mut found, attached)?,
            identity: take(&mut found, identity)?,
            pause: take(&mut found, pause)?,
        })
    }

    /// Remembers that a tracker wants to be left alone by an organization until then.
    pub async fn pause_tracker(
        &self,
        integration: IntegrationId,
        organization: OrganizationId,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let ttl = until.seconds() + 1;
        let key = keys::tracker_pause(integration, organization);
        let transaction = self.transaction().put(&key, &Pause { until, ttl })?;
        match transaction.commit().await? {
            Commit::Done | Commit::Refused(_) => Ok(()),
        }
    }

    /// Takes the right to write to a linked issue, and gives the state with it. `None`: the group or the
    /// link has changed since.
    pub async fn take_lease(
        &self,
        state: &GroupState,
        link: &Link,
        facet: Facet,
        lease: Lease,
        sending: TrackerValue,
    ) -> Result<Option<GroupState>, StoreError> {
        let seen = state.links.get(link).cloned().unwrap_or_default();
        let known = seen.of(facet).leased(lease, sending);
        let new = seen.with(facet, known);
        let mut change = replace(state, link, &new)?;
        change.condition.push_str(match facet {
            Facet::Assignee => " AND ver = :version",
            Facet::Status => " AND status_ver = :version",
        });
        let version = value(&state.version_of(facet))?;
        change.values.insert(":version".into(), version);
        let transaction = self.transaction();
        let commit = transaction.update(&keys::group_state(state.group), change)?;
        let done = commit.commit().await? == Commit::Done;
        Ok(done.then(|| {
            let mut leased = state.clone();
            leased.links.insert(link.clone(), new);
            leased
        }))
    }

    /// Keeps what became of a write, gives the lease back, and sends the push once more where it is to be
    /// tried again. `false`: the link has changed since it was seen.
    pub async fn settle_link(
        &self,
        state: &GroupState,
        link: &Link,
        settled: &Settled,
        ending: Ending<'_>,
    ) -> Result<bool, StoreError> {
        let mut change = replace(state, link, &settled.link)?;
        if let Some((key, position)) = &settled.position {
            claim(&mut change, key, position);
        }
        let transaction = self
            .transaction()
            .update(&keys::group_state(state.group), change)?;
        let transaction = match ending {
            Ending::None => transaction,
            Ending::Recorded(record) => transaction.record(record)?,
            Ending::Again(envelope, due) => transaction.post(envelope, due)?,
        };
        Ok(transaction.commit().await? == Commit::Done)
    }
}

/// What goes with the end of a write.
#[derive(Debug, Clone)]
pub enum Ending<'a> {
    /// Nothing.
    None,
    /// How it ended.
    Recorded(&'a SyncRecord),
    /// The same message once more, and when it is due.
    Again(&'a Envelope, Timestamp),
}

/// The update that replaces what is known of a link, where it still is as it was seen.
fn replace(state: &GroupState, link: &Link, new: &LinkState) -> Result<Change, StoreError> {
    Ok(Change {
        expression: "SET links.#link = :new".into(),
        condition: "links.#link = :seen".into(),
        names: vec![("#link".into(), link.to_string())],
        values: [
            (":new".into(), value(new)?),
            (":seen".into(), value(&state.links.get(link))?),
        ]
        .into(),
    })
}
