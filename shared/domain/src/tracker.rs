//! Issue trackers as the domain sees them: installations, linked issues, and what changed at one.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    CodeChange, Email, IntegrationId, Link, MessageId, OrganizationId, Position, PositionKey,
    Secret, TrackerStatus, UserId, Version,
};

/// A product that Picket talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// Azure DevOps, under the key that Sentry's clients know.
    Vsts,
    /// Jira Server and Data Center.
    JiraServer,
    /// GitHub, which is asked for commits.
    Github,
}

impl Provider {
    /// The provider's key.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vsts => "vsts",
            Self::JiraServer => "jira_server",
            Self::Github => "github",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether an integration takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntegrationStatus {
    /// It does.
    Active,
    /// Its webhooks are refused like those of an unknown one.
    Disabled,
}

/// One installation of a tracker. Its shared secret is kept sealed, beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Integration {
    /// Its id.
    pub id: IntegrationId,
    /// Which product.
    pub provider: Provider,
    /// What the tracker calls itself: for Azure DevOps the collection's id, for Jira Server its host and
    /// consumer key. Unique for the provider.
    pub external_id: String,
    /// Shown to people.
    pub name: String,
    /// The tracker's base URL, with a trailing slash.
    pub domain_name: String,
    /// The tracker's id of the webhook subscription, where it is known.
    pub subscription_id: Option<String>,
    /// Whether it takes part.
    pub status: IntegrationStatus,
}

/// What an organization's writes to a tracker are made with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Identity {
    /// Tokens of Azure DevOps.
    Vsts(VstsIdentity),
    /// An OAuth 1.0a access token of Jira Server.
    JiraServer(JiraServerIdentity),
    /// A token of GitHub.
    Github(GithubIdentity),
}

impl Identity {
    /// Which product takes it.
    pub fn provider(&self) -> Provider {
        match self {
            Self::Vsts(_) => Provider::Vsts,
            Self::JiraServer(_) => Provider::JiraServer,
            Self::Github(_) => Provider::Github,
        }
    }
}

/// Tokens of Azure DevOps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VstsIdentity {
    /// Goes with every call.
    pub access_token: Secret,
    /// Is exchanged for new tokens when the access token ends; none with a personal access token.
    pub refresh_token: Option<Secret>,
    /// When the access token ends, in seconds since 1970 UTC.
    pub expires: i64,
}

/// An OAuth 1.0a access token of Jira Server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JiraServerIdentity {
    /// The name that the application link has in Jira.
    pub consumer_key: String,
    /// An RSA key in PEM, PKCS #1 or #8, without a passphrase.
    pub private_key: Secret,
    /// The token that somebody granted.
    pub access_token: Secret,
}

/// A token of GitHub: a personal one, or any other that may read the repositories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GithubIdentity {
    /// Goes with every call.
    pub access_token: Secret,
}

/// What an organization lets an integration do. The names in the table are Sentry's configuration keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SyncSwitches {
    /// Assignee at the tracker becomes assignee here.
    #[serde(rename = "sync_reverse_assignment")]
    pub inbound_assignee: bool,
    /// Assignee here becomes assignee at the tracker.
    #[serde(rename = "sync_forward_assignment")]
    pub outbound_assignee: bool,
    /// Status at the tracker becomes status here.
    #[serde(rename = "sync_status_reverse")]
    pub inbound_status: bool,
    /// Status here becomes status at the tracker.
    #[serde(rename = "sync_status_forward")]
    pub outbound_status: bool,
    /// Notes become comments.
    #[serde(rename = "sync_comments")]
    pub comments: bool,
}

/// An organization that an integration serves, with its own switches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachedOrganization {
    /// Which organization.
    pub organization: OrganizationId,
    /// What it allows.
    pub switches: SyncSwitches,
    /// Whom the tracker shows as the author of what Picket writes, where that is known.
    #[serde(default)]
    pub acts_as: Option<Email>,
    /// Which states stand for resolved and unresolved, by the tracker's id of its project.
    #[serde(default)]
    pub states: BTreeMap<String, TrackerStates>,
}

/// The states of one project of a tracker that stand for our statuses: of Azure DevOps their names, of Jira
/// their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrackerStates {
    /// Of an issue that is resolved here.
    pub on_resolve: String,
    /// Of one that is not.
    pub on_unresolve: String,
}

impl TrackerStates {
    /// The state that stands for a status.
    pub fn of(&self, status: TrackerStatus) -> &str {
        match status {
            TrackerStatus::Resolved => &self.on_resolve,
            TrackerStatus::Unresolved => &self.on_unresolve,
        }
    }
}

/// The tracker's own key of an issue: a work item's number, "OPS-12". Never empty, at most 256
/// bytes, without spaces around it: an empty key once meant "every issue of the tracker".
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct ExternalKey(String);

impl ExternalKey {
    /// The key as the tracker spells it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ExternalKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        // Bytes, not characters: it is part of a key of the table.
        let valid = (1..=256).contains(&text.len());
        valid
            .then(|| Self(text.to_owned()))
            .ok_or("an external issue's key has 1 to 256 bytes")
    }
}

impl TryFrom<String> for ExternalKey {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for ExternalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The part of an issue that is kept in step. Each is ordered by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Facet {
    /// Who works on it.
    Assignee,
    /// Whether it is done.
    Status,
}

impl Facet {
    /// The name in a position key.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Assignee => "assignee",
            Self::Status => "status",
        }
    }
}

/// What a delivery says about the assignee.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssigneeChange {
    /// Now this address.
    Assigned(Email),
    /// Now nobody.
    Unassigned,
    /// Now somebody, without an address that could be compared.
    Unreadable,
}

/// What a delivery says about the state, in the tracker's own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusChange {
    /// The state before; `None` for a new work item.
    pub old_state: Option<String>,
    /// The state now.
    pub new_state: String,
    /// The tracker's project, where the delivery names one.
    pub project: Option<String>,
}

/// Where a change comes from. It is a value of the change, not a path through the code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A webhook of a tracker.
    Tracker(TrackerOrigin),
    /// A request to the API.
    Api(ApiOrigin),
    /// A text that refers to the group.
    Code(CodeOrigin),
}

/// The commit or pull request behind a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeOrigin {
    /// Which.
    pub change: CodeChange,
    /// The version of the release that has it, where that is what brings the change about.
    pub release: Option<Version>,
    /// Our id of it.
    pub cause: MessageId,
}

/// The request behind a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiOrigin {
    /// Whose token it was; `None` for an organization's.
    pub user: Option<UserId>,
    /// Our id of the request.
    pub request: MessageId,
}

/// The delivery behind a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackerOrigin {
    /// Which product.
    pub provider: Provider,
    /// Which installation.
    pub integration: IntegrationId,
    /// Which of its issues.
    pub external_issue: ExternalKey,
    /// Azure's `rev`: rises with every change of the work item. `None` where the delivery has none.
    pub revision: Option<u64>,
    /// Our id of the delivery, minted at the door.
    pub delivery: MessageId,
    /// Who made the change at the tracker, by the address that it names; `None` where it names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Email>,
}

impl TrackerOrigin {
    /// The issue that the delivery is about.
    pub fn link(&self) -> Link {
        Link {
            integration: self.integration,
            external_issue: self.external_issue.clone(),
        }
    }
}

impl Origin {
    /// Our id of what set the change off.
    pub fn cause(&self) -> MessageId {
        match self {
            Self::Tracker(origin) => origin.delivery,
            Self::Api(origin) => origin.request,
            Self::Code(origin) => origin.cause,
        }
    }

    /// The installation that the change comes from, which is never told of it.
    pub fn integration(&self) -> Option<IntegrationId> {
        match self {
            Self::Tracker(origin) => Some(origin.integration),
            Self::Api(_) | Self::Code(_) => None,
        }
    }

    /// Where this change stands in its tracker's order, for one facet. `None`: it has no order but the
    /// group's version.
    pub fn position(&self, facet: Facet) -> Option<(PositionKey, Position)> {
        match self {
            Self::Tracker(origin) => origin.revision.map(|revision| {
                let key = PositionKey::new(origin.integration, &origin.external_issue, facet);
                (key, Position::revision(revision))
            }),
            // Whoever asks last wins, as with any form.
            Self::Api(_) | Self::Code(_) => None,
        }
    }
}
