//! How a change ended, and why nothing happened when nothing did. Both enums are closed: a log line or
//! a metric never carries a reason that is not in this list.

/// How one change to one group ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
}
