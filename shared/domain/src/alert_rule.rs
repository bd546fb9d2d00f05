//! Alert rules: whom to tell of which issues.

use serde::{Deserialize, Serialize};

use crate::{AlertRuleId, ProjectId, Timestamp};

/// A rule of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertRule {
    /// Its id.
    pub id: AlertRuleId,
    /// The project whose issues it is about.
    pub project: ProjectId,
    /// Shown to people.
    pub name: String,
    /// When it speaks: with any of these.
    pub conditions: Vec<AlertCondition>,
    /// Whom it tells.
    pub actions: Vec<AlertAction>,
    /// How long it says nothing more of the same issue, in minutes.
    pub frequency: u32,
    /// When it was made.
    pub created: Timestamp,
}

/// When a rule speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertCondition {
    /// An issue of high priority is new.
    NewHighPriority,
    /// An issue comes to be of high priority.
    ExistingHighPriority,
}

impl AlertCondition {
    /// The name that clients know.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NewHighPriority => {
                "sentry.rules.conditions.high_priority_issue.NewHighPriorityIssueCondition"
            }
            Self::ExistingHighPriority => {
                "sentry.rules.conditions.high_priority_issue.ExistingHighPriorityIssueCondition"
            }
        }
    }
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertAction {
    /// Mails whoever owns the issue, or else the members of the project's teams.
    MailOwners,
}

impl AlertRule {
    /// The rule that a new project has unless whoever makes it wants none.
    pub fn first(project: ProjectId, now: Timestamp, random: u32) -> Self {
        Self {
            id: AlertRuleId::timed(now, random),
            project,
            name: "High priority issues".to_owned(),
            conditions: vec![
                AlertCondition::NewHighPriority,
                AlertCondition::ExistingHighPriority,
            ],
            actions: vec![AlertAction::MailOwners],
            frequency: 30,
            created: now,
        }
    }
}
