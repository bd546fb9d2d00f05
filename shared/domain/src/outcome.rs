//! How a change ended, and why nothing happened when nothing did. Both enums are closed: a log line or
//! a metric never carries a reason that is not in this list.

use serde::{Deserialize, Serialize};

use crate::{
    Actor, Facet, GroupId, Link, OrganizationId, Origin, Provider, Timestamp, TrackerOrigin,
    TrackerPush, TrackerStatus,
};

/// How one change to one group ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", content = "reason", rename_all = "snake_case")]
pub enum Outcome {
    /// The group changed.
    Applied,
    /// Accepted, and its own function does the rest: the unassignment is on its way.
    HandedOver,
    /// Something newer has been decided already.
    Superseded(Reason),
    /// A rule says that nothing is to be done.
    Suppressed(Reason),
    /// Not yet: it is tried again.
    Deferred(Reason),
    /// The other side will not have it, however often it is asked.
    Refused(Reason),
    /// It could not be done, as often or as long as it was tried.
    Dead(Reason),
}

impl Outcome {
    /// The name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::HandedOver => "handed_over",
            Self::Superseded(_) => "superseded",
            Self::Suppressed(_) => "suppressed",
            Self::Deferred(_) => "deferred",
            Self::Refused(_) => "refused",
            Self::Dead(_) => "dead",
        }
    }

    /// Why, where something did not happen.
    pub fn reason(self) -> Option<Reason> {
        match self {
            Self::Applied | Self::HandedOver => None,
            Self::Superseded(reason)
            | Self::Suppressed(reason)
            | Self::Deferred(reason)
            | Self::Refused(reason)
            | Self::Dead(reason) => Some(reason),
        }
    }
}

/// Why nothing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The delivery is of a kind that changes nothing here.
    EventNotHandled,
    /// The delivery names no work item.
    NoExternalIssue,
    /// The delivery changes neither assignee nor state.
    NoHandledField,
    /// The assignee field holds no e-mail address.
    AssigneeUnreadable,
    /// The state field does not say what the state is now.
    StatusUnreadable,
    /// State changes are taken in and kept, but nothing applies them.
    StatusNotApplied,
    /// No organization is attached to the integration.
    NoOrganization,
    /// The organization has not the feature `integrations-issue-sync`.
    FeatureOff,
    /// The organization's switch for this direction and facet is off.
    SwitchOff,
    /// No group is linked to the external issue.
    NoLinkedGroup,
    /// No active user has the address as a verified one.
    AssigneeUnknown,
    /// The user exists and is in no team of the group's project.
    AssigneeWithoutAccess,
    /// A newer revision of the same external issue has been accepted.
    OlderRevision,
    /// This very revision has been accepted before.
    SameRevision,
    /// The group is as the change wants it; the change is remembered all the same.
    AlreadySo,
    /// Somebody is assigned, and this assignment takes nothing away from anybody.
    AlreadyAssigned,
    /// The assignee was decided anew since this was put on its way.
    NewerDecision,
    /// The group is gone.
    NoGroup,
    /// The tracker told of our own write.
    Echo,
    /// The change comes from there.
    Origin,
    /// The group is not linked to the issue, or no longer.
    NotLinked,
    /// A team is assigned, and trackers know people only.
    TeamAssigned,
    /// The group is put away, and trackers have no status for that.
    PutAway,
    /// The organization has not said which states of the tracker's project stand for what.
    StatusNotMapped,
    /// From the state that the issue is in, the tracker knows no way to the one that is wanted.
    NoTransition,
    /// Handling the message failed as often as it may; it is in the dead-letter queue.
    HandlingFailed,
    /// The integration is gone or disabled.
    IntegrationOff,
    /// Nobody has let Picket write to the tracker.
    NoIdentity,
    /// The tracker does not take the identity, or no longer.
    InvalidIdentity,
    /// The tracker gives no new token for the identity, for a reason that is not the identity's.
    NotRenewed,
    /// Somebody else is writing to the same issue of the tracker.
    Held,
    /// The tracker knows nobody with the assignee's address.
    UnknownAtTracker,
    /// The tracker asks for fewer calls.
    RateLimited,
    /// The tracker does not answer, or with an error that may pass.
    TrackerUnavailable,
    /// The tracker refused the write.
    TrackerRefused,
}

impl Reason {
    /// The name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EventNotHandled => "event_not_handled",
            Self::NoExternalIssue => "no_external_issue",
            Self::NoHandledField => "no_handled_field",
            Self::AssigneeUnreadable => "assignee_unreadable",
            Self::StatusUnreadable => "status_unreadable",
            Self::StatusNotApplied => "status_not_applied",
            Self::NoOrganization => "no_organization",
            Self::FeatureOff => "feature_off",
            Self::SwitchOff => "switch_off",
            Self::NoLinkedGroup => "no_linked_group",
            Self::AssigneeUnknown => "assignee_unknown",
            Self::AssigneeWithoutAccess => "assignee_without_access",
            Self::OlderRevision => "older_revision",
            Self::SameRevision => "same_revision",
            Self::AlreadySo => "already_so",
            Self::AlreadyAssigned => "already_assigned",
            Self::NewerDecision => "newer_decision",
            Self::NoGroup => "no_group",
            Self::Echo => "echo",
            Self::Origin => "origin",
            Self::NotLinked => "not_linked",
            Self::TeamAssigned => "team_assigned",
            Self::PutAway => "put_away",
            Self::StatusNotMapped => "status_not_mapped",
            Self::NoTransition => "no_transition",
            Self::HandlingFailed => "handling_failed",
            Self::IntegrationOff => "integration_off",
            Self::NoIdentity => "no_identity",
            Self::InvalidIdentity => "invalid_identity",
            Self::NotRenewed => "not_renewed",
            Self::Held => "held",
            Self::UnknownAtTracker => "unknown_at_tracker",
            Self::RateLimited => "rate_limited",
            Self::TrackerUnavailable => "tracker_unavailable",
            Self::TrackerRefused => "tracker_refused",
        }
    }

    /// The same for people, with what they can do about it.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::EventNotHandled => "Deliveries of this kind change nothing here.",
            Self::NoExternalIssue => "The delivery names no work item.",
            Self::NoHandledField => "The delivery changes neither the assignee nor the state.",
            Self::AssigneeUnreadable => {
                "The assignee at the tracker has no e-mail address that could be compared."
            }
            Self::StatusUnreadable => "The delivery does not say what the state is now.",
            Self::StatusNotApplied => "Changes of state at the tracker are not applied here.",
            Self::NoOrganization => {
                "The integration serves no organization. create-integration attaches one."
            }
            Self::FeatureOff => {
                "The organization has not the feature integrations-issue-sync. set-feature turns it on."
            }
            Self::SwitchOff => {
                "The organization's switch for this direction is off for this integration. set-sync \
                 turns it on."
            }
            Self::NoLinkedGroup => {
                "No issue of the organization is linked to this one of the tracker. \
                 link-external-issue links them."
            }
            Self::AssigneeUnknown => {
                "No active user has the assignee's address as a verified one. create-user adds one."
            }
            Self::AssigneeWithoutAccess => {
                "The assignee is in no team of the issue's project. add-member sets teams."
            }
            Self::OlderRevision => "A newer change of the same issue at the tracker came first.",
            Self::SameRevision => "This very change was applied before; it came once more.",
            Self::AlreadySo => "The issue is as the change wants it already.",
            Self::AlreadyAssigned => "Somebody is assigned, and this takes nothing away from them.",
            Self::NewerDecision => "The assignee was decided anew while this was on its way.",
            Self::NoGroup => "The issue is gone.",
            Self::Echo => "The tracker told of what Picket had written itself.",
            Self::Origin => "The change comes from this tracker, which is not told of it.",
            Self::NotLinked => "The issue is not linked to this one of the tracker any more.",
            Self::TeamAssigned => "A team is assigned, and trackers know people only.",
            Self::PutAway => "The issue is ignored, and trackers have no status for that.",
            Self::StatusNotMapped => {
                "Nobody has said which states of the tracker's project stand for resolved and \
                 unresolved. set-sync does."
            }
            Self::NoTransition => {
                "The tracker has no way from the issue's present state to the one that is wanted."
            }
            Self::HandlingFailed => {
                "Handling it failed five times; the log says why. The message waits in the dead-letter \
                 queue, and what becomes of it when it is sent again takes the place of this."
            }
            Self::IntegrationOff => {
                "The integration is gone or disabled. create-integration enables it."
            }
            Self::NoIdentity => "Nobody has let Picket write to this tracker. set-identity does.",
            Self::InvalidIdentity => {
                "The tracker does not take Picket's credentials. set-identity gives new ones."
            }
            Self::NotRenewed => {
                "The tracker does not renew the access token: it does not take the application's \
                 registration. The deployment's VstsClientId and VstsClientSecret say which that is. It is \
                 tried for a day."
            }
            Self::Held => {
                "Another change of the same issue is being written to the tracker; this is tried after it."
            }
            Self::UnknownAtTracker => {
                "The tracker knows nobody with the assignee's address, or the address is not verified."
            }
            Self::RateLimited => "The tracker asks for fewer calls; it is tried again.",
            Self::TrackerUnavailable => {
                "The tracker does not answer, or with an error that may pass; it is tried for a day."
            }
            Self::TrackerRefused => "The tracker refused the change.",
        }
    }
}

/// By which rule an assignee was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// An active user with access to the project has the address as a verified one; or, the other way
    /// round, the tracker knows somebody by the verified address of the assignee.
    VerifiedEmail,
    /// The organization has said which states of the tracker's project stand for what.
    StateMap,
}

impl Rule {
    /// The name in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VerifiedEmail => "verified-email",
            Self::StateMap => "state-map",
        }
    }
}

/// How a change ended: one that a tracker told of, for one group or before any group was looked at; or one
/// that a tracker was to be told of. Each delivery has one for each facet and group, and each accepted
/// change one for each other linked issue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncRecord {
    /// From the tracker, or to it.
    pub direction: Direction,
    /// What set it off.
    pub origin: Origin,
    /// Which product the other side is; `None` where an integration is gone, or was not come to.
    pub provider: Option<Provider>,
    /// The tracker's issue.
    pub link: Link,
    /// Whose group, or whose settings; `None`: the integration serves nobody.
    pub organization: Option<OrganizationId>,
    /// The group; `None` where no group came into it.
    pub group: Option<GroupId>,
    /// What changed.
    pub facet: Facet,
    /// When it ended.
    pub at: Timestamp,
    /// How.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// By which rule, where one was needed.
    pub rule: Option<Rule>,
    /// What it did.
    pub change: Option<FacetMove>,
    /// The tracker's revision: of what it told, or of what it took.
    pub revision: Option<u64>,
    /// What the tracker said to it.
    pub detail: Option<String>,
}

impl SyncRecord {
    /// How a delivery ended, without what only a group adds.
    pub fn of_delivery(
        origin: &TrackerOrigin,
        facet: Facet,
        outcome: Outcome,
        at: Timestamp,
    ) -> Self {
        Self {
            direction: Direction::Inbound,
            origin: Origin::Tracker(origin.clone()),
            provider: Some(origin.provider),
            link: origin.link(),
            organization: None,
            group: None,
            facet,
            at,
            outcome,
            rule: None,
            change: None,
            revision: origin.revision,
            detail: None,
        }
    }

    /// How telling a tracker ended, without what a write adds.
    pub fn of_push(
        facet: Facet,
        push: &TrackerPush,
        provider: Option<Provider>,
        outcome: Outcome,
        at: Timestamp,
    ) -> Self {
        Self {
            direction: Direction::Outbound,
            origin: push.origin.clone(),
            provider,
            link: push.link.clone(),
            organization: Some(push.organization),
            group: Some(push.group),
            facet,
            at,
            outcome,
            rule: None,
            change: None,
            revision: None,
            detail: None,
        }
    }
}

impl SyncRecord {
    /// What a tracker was not told because it is where the change comes from: as sure as the change itself, so
    /// it is not kept beside it. `None`: this changed nothing, or comes from elsewhere.
    pub fn of_origin(&self) -> Option<Self> {
        let applied = (self.direction, self.outcome) == (Direction::Inbound, Outcome::Applied);
        applied.then(|| Self {
            direction: Direction::Outbound,
            outcome: Outcome::Suppressed(Reason::Origin),
            rule: None,
            change: None,
            revision: None,
            detail: None,
            ..self.clone()
        })
    }

    /// The name of this end among all that a group shows, in answers. A delivery's own end has the delivery's.
    pub fn id(&self) -> String {
        let (cause, facet, link) = (self.origin.cause(), self.facet.as_str(), &self.link);
        let id = match (self.direction, self.facet) {
            (Direction::Inbound, Facet::Assignee) => cause.to_string(),
            (Direction::Inbound, Facet::Status) => format!("{cause}-{facet}"),
            (Direction::Outbound, Facet::Assignee | Facet::Status) => {
                format!("{cause}-{facet}-{link}")
            }
        };
        match self.group {
            Some(_) => id,
            // Beside what became of a group that the same set off.
            None => format!("{id}-none"),
        }
    }
}

/// Which way a change went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From a tracker.
    Inbound,
    /// To a tracker.
    Outbound,
}

impl Direction {
    /// The name in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

/// What a change did to its facet, as `from` and `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[allow(missing_docs)]
pub enum FacetMove {
    /// From one status to another; `None`: it was not known.
    Status {
        from: Option<TrackerStatus>,
        to: TrackerStatus,
    },
    /// From whom to whom; `None` is nobody.
    Assignee {
        from: Option<Actor>,
        to: Option<Actor>,
    },
}
