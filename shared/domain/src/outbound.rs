//! What linked trackers are told, and what is known of them: for each facet by itself.
//!
//! A push names a link and is only a reason to look: what is sent is the assignee or the status that the group
//! has when the link's lease is taken. So pushes that come late, twice or in another order send nothing that is
//! no longer so. What a tracker has is known from what it told last or took last; while a write is under
//! way, or after its answer was lost, it is not known, and the same may be written once more.

use std::{cmp::Ordering, fmt};

use serde::{Deserialize, Serialize};

use crate::{
    Actor, Decision, ExternalKey, Facet, GroupId, GroupState, GroupStatus, GroupWrite,
    IntegrationId, Message, MessageId, OrganizationId, Origin, Outcome, Position, PositionKey,
    Reason, Timestamp, TrackerOrigin, UserId, assignment::claim,
};

/// A tracker's issue that a group is linked to: `<integration>/<external issue>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Link {
    /// Through which integration.
    pub integration: IntegrationId,
    /// Which of its issues.
    pub external_issue: ExternalKey,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.integration, self.external_issue)
    }
}

impl From<Link> for String {
    fn from(link: Link) -> Self {
        link.to_string()
    }
}

impl TryFrom<String> for Link {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let invalid = "a link is <integration>/<external issue>";
        let (integration, external_issue) = text.split_once('/').ok_or(invalid)?;
        Ok(Self {
            integration: integration.parse().map_err(|_| invalid)?,
            external_issue: external_issue.parse()?,
        })
    }
}

/// Whom a tracker has assigned, in our terms: `nobody` or `user:71`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum TrackerAssignee {
    /// Nobody.
    Nobody,
    /// A person.
    User(UserId),
}

impl TrackerAssignee {
    /// The same as the assignee of a group.
    pub fn actor(self) -> Option<Actor> {
        match self {
            Self::Nobody => None,
            Self::User(user) => Some(Actor::User(user)),
        }
    }
}

impl From<TrackerAssignee> for String {
    fn from(assignee: TrackerAssignee) -> Self {
        match assignee {
            TrackerAssignee::Nobody => "nobody".into(),
            TrackerAssignee::User(user) => Actor::User(user).into(),
        }
    }
}

impl TryFrom<String> for TrackerAssignee {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text == "nobody" {
            return Ok(Self::Nobody);
        }
        match Actor::try_from(text)? {
            Actor::User(user) => Ok(Self::User(user)),
            Actor::Team(_) => Err("no tracker knows a team"),
        }
    }
}

/// Whether an issue is done at its tracker, in our terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrackerStatus {
    /// It is.
    Resolved,
    /// It is not.
    Unresolved,
}

impl TrackerStatus {
    /// The status of a group as trackers know one; they have none for a group that is put away.
    pub fn of(status: GroupStatus) -> Option<Self> {
        match status {
            GroupStatus::Resolved => Some(Self::Resolved),
            GroupStatus::Unresolved => Some(Self::Unresolved),
            GroupStatus::Ignored => None,
        }
    }
}

/// What a tracker has of one facet of an issue: `nobody`, `user:71`, `resolved` or `unresolved`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TrackerValue {
    /// Whether it is done.
    Status(TrackerStatus),
    /// Who works on it.
    Assignee(TrackerAssignee),
}

/// What is known of one linked issue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkState {
    /// Of who works on it.
    #[serde(flatten)]
    pub assignee: FacetState,
    /// Of whether it is done.
    #[serde(default, skip_serializing_if = "FacetState::is_untold")]
    pub status: FacetState,
}

impl LinkState {
    /// What is known of one facet.
    pub fn of(&self, facet: Facet) -> &FacetState {
        match facet {
            Facet::Assignee => &self.assignee,
            Facet::Status => &self.status,
        }
    }

    /// The same with one facet as it is known now.
    pub fn with(self, facet: Facet, known: FacetState) -> Self {
        match facet {
            Facet::Assignee => Self {
                assignee: known,
                ..self
            },
            Facet::Status => Self {
                status: known,
                ..self
            },
        }
    }
}

/// What is known of one facet of a linked issue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FacetState {
    /// The version that `known` belongs to: decisions up to it need not be sent.
    pub settled: u64,
    /// What the tracker has; `None` while that is not known.
    pub known: Option<TrackerValue>,
    /// What is being written, or was when the answer was lost.
    pub sending: Option<TrackerValue>,
    /// What was written before that, and nobody answered either; the oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unanswered: Vec<TrackerValue>,
    /// The place that the newest of our own writes took in the tracker's order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<Position>,
    /// Who writes.
    pub lease: Option<Lease>,
}

/// How many writes without an answer are remembered. Beyond that the oldest is taken for somebody else's.
const MOST_UNANSWERED: usize = 16;

impl FacetState {
    /// Whether nothing was ever told, in either direction.
    fn is_untold(&self) -> bool {
        *self == Self::default()
    }

    /// The same while somebody writes a value.
    pub fn leased(&self, lease: Lease, value: TrackerValue) -> Self {
        let mut unanswered = self.writes();
        let extra = unanswered.len().saturating_sub(MOST_UNANSWERED);
        unanswered.drain(..extra);
        Self {
            known: None,
            sending: Some(value),
            unanswered,
            lease: Some(lease),
            ..self.clone()
        }
    }

    /// The writes that nobody has answered, the oldest first.
    fn writes(&self) -> Vec<TrackerValue> {
        let earlier = self.unanswered.iter().copied();
        earlier.chain(self.sending).collect()
    }

    /// The same when these are the writes that nobody has answered.
    fn with_writes(self, mut writes: Vec<TrackerValue>) -> Self {
        Self {
            sending: writes.pop(),
            unanswered: writes,
            ..self
        }
    }
}

/// The right to write to one linked issue, for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Whose; made up anew for every attempt.
    pub owner: MessageId,
    /// Until when.
    pub until: Timestamp,
}

/// "A facet changed: bring this tracker's issue in step."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackerPush {
    /// The organization that owns the group.
    pub organization: OrganizationId,
    /// Which group.
    pub group: GroupId,
    /// Which of the linked issues.
    pub link: Link,
    /// The facet's version with the change.
    pub version: u64,
    /// What brought the change about.
    pub origin: Origin,
    /// When the first attempt failed, and how many did; `None` before.
    pub failing: Option<Failing>,
}

/// How long an effect has been failing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// Since when.
    pub since: Timestamp,
    /// How often.
    pub attempts: u32,
}

/// How long an effect is tried again, in milliseconds: a day.
const PATIENCE: i64 = 24 * 60 * 60 * 1000;
/// The first wait and the longest one, in milliseconds.
const FIRST_WAIT: i64 = 15_000;
const LONGEST_WAIT: i64 = 60 * 60 * 1000;

impl Failing {
    /// One more failure, and when to try again: after twice the wait before, and not before `wait`
    /// milliseconds if the other side named a time. `None`: it has failed for a day.
    pub fn again(
        before: Option<Self>,
        now: Timestamp,
        wait: Option<i64>,
    ) -> Option<(Self, Timestamp)> {
        let failing = match before {
            Some(before) => Self {
                attempts: before.attempts + 1,
                ..before
            },
            None => Self {
                since: now,
                attempts: 1,
            },
        };
        let doubled = FIRST_WAIT << (failing.attempts - 1).min(16);
        let due = now.plus(doubled.min(LONGEST_WAIT).max(wait.unwrap_or(0)));
        let given_up = due.millis() - failing.since.millis() > PATIENCE;
        (!given_up).then_some((failing, due))
    }
}

impl TrackerPush {
    /// The same for a later attempt, and when that is: one of few moments, so that copies of it are put off
    /// until the same one and become one. `None`: it has failed for a day.
    pub fn again(&self, now: Timestamp, wait: Option<i64>) -> Option<(Self, Timestamp)> {
        let (failing, due) = Failing::again(self.failing, now, wait)?;
        let late = due.millis().rem_euclid(FIRST_WAIT);
        let due = due.plus((FIRST_WAIT - late) % FIRST_WAIT);
        let again = Self {
            failing: Some(failing),
            ..self.clone()
        };
        Some((again, due))
    }
}

/// What a push comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Push {
    /// Nothing is to be sent.
    Ended(Outcome),
    /// Somebody else is writing, at most until then.
    Held(Timestamp),
    /// This is to be written.
    Write(TrackerValue),
    /// This is to be written, unless the tracker still has it, as is believed; then it ends so.
    Check(TrackerValue, Outcome),
}

/// One message for every linked issue but those of the installation that the change comes from, of which
/// `facet` has come to `version`.
pub(crate) fn pushes(
    state: &GroupState,
    facet: Facet,
    version: u64,
    origin: &Origin,
) -> Vec<Message> {
    pushes_where(state, facet, version, origin, |_| true)
}

/// The same for those that have somebody else than the group, and that nothing under way tells of it: a
/// removal that was told of and never came to be leaves its tracker so.
pub(crate) fn pushes_to_others(state: &GroupState, version: u64, origin: &Origin) -> Vec<Message> {
    let Ok(wanted) = wanted(state, Facet::Assignee) else {
        return Vec::new();
    };
    let differs = |link: &LinkState| {
        let (at, version) = (&link.assignee, state.version);
        version <= at.settled && at.known.is_some_and(|known| known != wanted)
    };
    pushes_where(state, Facet::Assignee, version, origin, differs)
}

fn pushes_where(
    state: &GroupState,
    facet: Facet,
    version: u64,
    origin: &Origin,
    keep: impl Fn(&LinkState) -> bool,
) -> Vec<Message> {
    let others = state
        .links
        .iter()
        .filter(|(link, known)| Some(link.integration) != origin.integration() && keep(known));
    let push = |(link, _): (&Link, _)| push_to(link, state, facet, version, origin);
    others.map(push).collect()
}

fn push_to(
    link: &Link,
    state: &GroupState,
    facet: Facet,
    version: u64,
    origin: &Origin,
) -> Message {
    let push = TrackerPush {
        organization: state.organization,
        group: state.group,
        link: link.clone(),
        version,
        origin: origin.clone(),
        failing: None,
    };
    Message::push(facet, push)
}

/// Decides what a link is to be told.
pub fn push(state: &GroupState, facet: Facet, push: &TrackerPush, now: Timestamp) -> Push {
    let Some(at) = state.links.get(&push.link).map(|link| link.of(facet)) else {
        return Push::Ended(Outcome::Suppressed(Reason::NotLinked));
    };
    let wanted = match wanted(state, facet) {
        Ok(wanted) => wanted,
        Err(reason) => return Push::Ended(Outcome::Suppressed(reason)),
    };
    let version = state.version_of(facet);
    let needless = match push.version < version {
        true => Outcome::Superseded(Reason::NewerDecision),
        false => Outcome::Suppressed(Reason::AlreadySo),
    };
    if version <= at.settled {
        return Push::Ended(needless);
    }
    match at.lease {
        Some(lease) if lease.until > now => Push::Held(lease.until),
        // Not every tracker tells of its changes, and not every change that one tells of is taken in.
        Some(_) | None if at.known == Some(wanted) => Push::Check(wanted, needless),
        Some(_) | None => Push::Write(wanted),
    }
}

fn wanted(state: &GroupState, facet: Facet) -> Result<TrackerValue, Reason> {
    match (facet, state.assignee) {
        (Facet::Assignee, None) => Ok(TrackerValue::Assignee(TrackerAssignee::Nobody)),
        (Facet::Assignee, Some(Actor::User(user))) => {
            Ok(TrackerValue::Assignee(TrackerAssignee::User(user)))
        }
        (Facet::Assignee, Some(Actor::Team(_))) => Err(Reason::TeamAssigned),
        (Facet::Status, _) => {
            let status = TrackerStatus::of(state.status);
            status.map(TrackerValue::Status).ok_or(Reason::PutAway)
        }
    }
}

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The tracker took it, and gave it this revision where it tells.
    Taken(Option<u64>),
    /// It was certainly not carried out.
    Refused,
    /// Nobody knows.
    Unanswered,
}

/// What is to be kept of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// What is known of the link from now on, all facets of it.
    pub link: LinkState,
    /// The place of the write in the tracker's order, where that is the newest.
    pub position: Option<(PositionKey, Position)>,
}

/// Decides what to keep of a write that was made from `leased`, now that the group is in `state`: the
/// tracker may have told of something earlier or later than the write. `None`: the lease is another's,
/// who knows better.
pub fn settle(
    leased: &GroupState,
    state: &GroupState,
    (link, facet): (&Link, Facet),
    lease: Lease,
    value: TrackerValue,
    sent: Sent,
) -> Option<Settled> {
    let whole = state.links.get(link)?;
    let at = Some(whole.of(facet)).filter(|at| at.lease == Some(lease))?;
    let before = leased.links.get(link).map(|link| link.of(facet).clone());
    let before = before.unwrap_or_default();
    let told = at.known.is_some();
    let free = FacetState {
        lease: None,
        ..at.clone()
    };
    let (known, position) = match sent {
        Sent::Unanswered => (free, None),
        Sent::Refused => {
            let mut writes = free.writes();
            // Unless the tracker was heard telling of it: then it was an earlier one that it told of.
            if writes.last() == Some(&value) {
                writes.pop();
            }
            let known = match told {
                true => free.known,
                false => before.known,
            };
            let free = free.with_writes(writes);
            (FacetState { known, ..free }, None)
        }
        Sent::Taken(revision) => {
            let position = revision.map(|revision| {
                let key = PositionKey::new(link.integration, &link.external_issue, facet);
                (key, Position::revision(revision))
            });
            let newest = position.as_ref().map(|(key, _)| state.positions.get(key));
            let order = newest
                .zip(position.as_ref())
                .map(|(newest, (_, position))| {
                    newest.map_or(Ordering::Greater, |newest| position.cmp(newest))
                });
            let latest = match order {
                // Equal: the newest revision already was as the write wants it, and nothing was counted.
                Some(Ordering::Greater | Ordering::Equal) => true,
                // Unless something newer was told meanwhile, the answer is the last word, also of a tracker
                // that counts anew.
                Some(Ordering::Less) | None => !told,
            };
            let position = position.filter(|_| order == Some(Ordering::Greater));
            // Whatever was written before this has an older place, and comes too late.
            let free = free.with_writes(Vec::new());
            let free = match &position {
                Some((_, position)) => FacetState {
                    written: Some(position.clone()),
                    ..free
                },
                None => free,
            };
            let known = match latest {
                true => FacetState {
                    known: Some(value),
                    // What was told meanwhile and decided here is not what the tracker has now.
                    settled: leased.version_of(facet),
                    ..free
                },
                false => free,
            };
            (known, position)
        }
    };
    Some(Settled {
        link: whole.clone().with(facet, known),
        position,
    })
}

/// Whether a tracker tells of our own write, and then what to keep of that. It changes nothing here,
/// whatever has been decided since. Where the tracker had told of something else before it carried the
/// write out, that is what holds here, and the tracker is told of it.
///
/// A write that was answered is known by the revision that the answer named, and one without an answer by
/// its value. `ours` says whether the author is the identity that our writes show, where the delivery tells.
pub fn echo(
    state: &GroupState,
    origin: &TrackerOrigin,
    told: TrackerAssignee,
    ours: Option<bool>,
) -> Option<Decision> {
    if ours == Some(false) {
        return None;
    }
    let link = origin.link();
    let whole = state.links.get(&link)?;
    let (at, told) = (&whole.assignee, TrackerValue::Assignee(told));
    let origin = Origin::Tracker(origin.clone());
    let (_, place) = origin.position(Facet::Assignee).unzip();
    if place.is_some() && place == at.written {
        return Some(Decision {
            outcome: Outcome::Suppressed(Reason::Echo),
            write: None,
        });
    }
    let mut writes = at.writes();
    let which = writes.iter().position(|value| *value == told)?;
    // Those before it were carried out before it, or never.
    writes.drain(..=which);
    let position = claim(state, &origin, Facet::Assignee).ok()?;
    // Whatever is not settled has a push of its own.
    let undone = state.version <= at.settled
        && wanted(state, Facet::Assignee).is_ok_and(|wanted| wanted != told);
    let (settled, messages) = match undone {
        true => {
            let push = push_to(&link, state, Facet::Assignee, state.version, &origin);
            (0, vec![push])
        }
        false => (at.settled, Vec::new()),
    };
    let known = FacetState {
        settled,
        known: Some(told),
        written: place.or_else(|| at.written.clone()),
        ..at.clone().with_writes(writes)
    };
    Some(Decision {
        outcome: Outcome::Suppressed(Reason::Echo),
        write: Some(GroupWrite {
            messages,
            told: Some(Told::Echo {
                now: Box::new(whole.clone().with(Facet::Assignee, known)),
                link,
            }),
            ..GroupWrite::of(position)
        }),
    })
}

/// What a tracker told of its issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Of a change there. It told of the latest one, so no decision so far needs to be sent to it.
    Change {
        /// Of which issue.
        link: Link,
        /// Whom it has.
        assignee: TrackerAssignee,
    },
    /// Of a write of ours that nobody had answered.
    Echo {
        /// Of which issue.
        link: Link,
        /// What is known of it from now on, in place of what the decision saw.
        now: Box<LinkState>,
    },
}

#[cfg(test)]
mod tests;
