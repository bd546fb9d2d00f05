//! How a change ended, and why nothing happened when nothing did. Both enums are closed: a log line or
//! a metric never carries a reason that is not in this list.

use serde::{Deserialize, Serialize};

use crate::{Actor, Facet, GroupId, OrganizationId, Timestamp, TrackerOrigin};

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
}

impl Outcome {
    /// The name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::HandedOver => "handed_over",
            Self::Superseded(_) => "superseded",
            Self::Suppressed(_) => "suppressed",
        }
    }

    /// Why, where something did not happen.
    pub fn reason(self) -> Option<Reason> {
        match self {
            Self::Applied | Self::HandedOver => None,
            Self::Superseded(reason) | Self::Suppressed(reason) => Some(reason),
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
        }
    }
}

/// By which rule an assignee was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// An active user with access to the project has the address as a verified one.
    VerifiedEmail,
}

impl Rule {
    /// The name in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VerifiedEmail => "verified-email",
        }
    }
}

/// How a change that a tracker told of ended, for one group; or before any group was looked at. Each
/// delivery has one for each facet and group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncRecord {
    /// The delivery, and what it is about.
    pub origin: TrackerOrigin,
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
    /// What it did to the assignee.
    pub change: Option<AssigneeMove>,
}

/// From whom to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssigneeMove {
    /// Before.
    pub from: Option<Actor>,
    /// After.
    pub to: Option<Actor>,
}
