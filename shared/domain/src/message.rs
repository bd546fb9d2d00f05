//! Everything that travels between functions, as one enum.
//!
//! A message carries ids and facts about a change, never an entity: whoever receives it reads what
//! holds then. It may come twice, late and out of order; the state decides what it still means.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    AssigneeChange, ClearOwnerCaches, CodeChange, DeletionRef, Facet, Generation, GroupId,
    MessageId, NotifyDeploy, OrganizationId, Origin, ProjectId, ReleaseId, RepositoryId, SendEmail,
    StatusChange, Timestamp, TrackerOrigin, TrackerPush, UpdateShard, UserId, Version,
};

/// The largest message, in bytes of JSON: SQS's classic limit, which every tool around it knows.
const MAX_MESSAGE_BYTES: usize = 256 * 1024;

/// What is on a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Ours, stable over redeliveries.
    pub id: MessageId,
    /// Follows the change from the webhook to the last step.
    pub trace: TraceId,
    /// What to do.
    pub message: Message,
}

/// A message that no queue takes, with its size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageTooLarge(pub usize);

impl Envelope {
    /// The text on the queue. Two characters that JSON may hold as they are, and SQS refuses, are escaped.
    pub fn to_json(&self) -> Result<String, MessageTooLarge> {
        let text = serde_json::to_string(self).expect("a message is made of texts and numbers");
        let text = text
            .replace('\u{fffe}', "\\ufffe")
            .replace('\u{ffff}', "\\uffff");
        match text.len() {
            0..=MAX_MESSAGE_BYTES => Ok(text),
            size => Err(MessageTooLarge(size)),
        }
    }
}

/// Ties together the log lines of everything that one outside event set off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TraceId(String);

impl TraceId {
    /// Takes a caller's trace id: what X-Ray's header says, or a delivery's id.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Every message there is. The version is part of the name, so that both sides of a deployment can
/// tell an old message from a new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Message {
    /// A linked issue changed at its tracker: find the groups and decide.
    #[serde(rename = "SyncIssue.v1")]
    SyncIssue(SyncIssue),
    /// Remove a group's assignee, if nothing newer has been decided.
    #[serde(rename = "Deassign.v1")]
    Deassign(Deassign),
    /// Bring a linked issue's assignee in step.
    #[serde(rename = "PushAssignee.v1")]
    PushAssignee(TrackerPush),
    /// Bring a linked issue's status in step.
    #[serde(rename = "PushStatus.v1")]
    PushStatus(TrackerPush),
    /// Let groups know of the commits that refer to them.
    #[serde(rename = "LinkGroups.v1")]
    LinkGroups(LinkGroups),
    /// Resolve what a release's commits refer to.
    #[serde(rename = "ResolveGroups.v1")]
    ResolveGroups(ResolveGroups),
    /// Find the release that groups were resolved in before it was there.
    #[serde(rename = "ClearExpiredResolutions.v1")]
    ClearExpiredResolutions(ClearExpiredResolutions),
    /// Delete some more of what belonged to a release.
    #[serde(rename = "DeleteRelease.v1")]
    DeleteRelease(DeleteRelease),
    /// Tell of the updates that wait in a shard.
    #[serde(rename = "DrainUpdates.v1")]
    DrainUpdates(DrainUpdates),
    /// Delete some more of a project.
    #[serde(rename = "DeleteProject.v1")]
    DeleteProject(DeleteProject),
    /// Delete some more of an organization.
    #[serde(rename = "DeleteOrganization.v1")]
    DeleteOrganization(DeleteOrganization),
    /// Send again what deletions wait for.
    #[serde(rename = "SweepDeletions.v1")]
    SweepDeletions(SweepDeletions),
    /// Forget what is remembered of a group's owners.
    #[serde(rename = "ClearOwnerCaches.v1")]
    ClearOwnerCaches(ClearOwnerCaches),
    /// Ask the hosts of repositories for the commits that a release waits for.
    #[serde(rename = "FetchCommits.v1")]
    FetchCommits(FetchCommits),
    /// Note what of a release is deployed where, now that its commits are known.
    #[serde(rename = "RecordDeploys.v1")]
    RecordDeploys(RecordDeploys),
    /// Send a mail to each of its recipients.
    #[serde(rename = "SendEmail.v1")]
    SendEmail(SendEmail),
    /// Tell of a deploy, if its release is known well enough.
    #[serde(rename = "NotifyDeploy.v1")]
    NotifyDeploy(NotifyDeploy),
}

impl Message {
    /// Brings a facet of a linked issue in step.
    pub fn push(facet: Facet, push: TrackerPush) -> Self {
        match facet {
            Facet::Assignee => Self::PushAssignee(push),
            Facet::Status => Self::PushStatus(push),
        }
    }

    /// Where the message goes. Each queue has one consumer, of the same name.
    pub fn queue(&self) -> Queue {
        match self {
            Self::SyncIssue(_) => Queue::IssueSync,
            // Caches are for functions beside Redis, and removals are what makes them wrong.
            Self::Deassign(_) | Self::ClearOwnerCaches(_) => Queue::Deassign,
            Self::PushAssignee(_) | Self::PushStatus(_) => Queue::OutboundSync,
            Self::DrainUpdates(_)
            | Self::SweepDeletions(_)
            | Self::LinkGroups(_)
            | Self::ResolveGroups(_)
            | Self::ClearExpiredResolutions(_)
            | Self::DeleteRelease(_)
            | Self::NotifyDeploy(_) => Queue::Jobs,
            // An organization is mostly its projects.
            Self::DeleteProject(_) | Self::DeleteOrganization(_) => Queue::ProjectDelete,
            Self::FetchCommits(_) | Self::RecordDeploys(_) => Queue::FetchCommits,
            Self::SendEmail(_) => Queue::SendEmail,
        }
    }

    /// The name in logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::SyncIssue(_) => "SyncIssue",
            Self::Deassign(_) => "Deassign",
            Self::PushAssignee(_) => "PushAssignee",
            Self::PushStatus(_) => "PushStatus",
            Self::LinkGroups(_) => "LinkGroups",
            Self::ResolveGroups(_) => "ResolveGroups",
            Self::ClearExpiredResolutions(_) => "ClearExpiredResolutions",
            Self::DeleteRelease(_) => "DeleteRelease",
            Self::DrainUpdates(_) => "DrainUpdates",
            Self::DeleteProject(_) => "DeleteProject",
            Self::DeleteOrganization(_) => "DeleteOrganization",
            Self::SweepDeletions(_) => "SweepDeletions",
            Self::ClearOwnerCaches(_) => "ClearOwnerCaches",
            Self::FetchCommits(_) => "FetchCommits",
            Self::RecordDeploys(_) => "RecordDeploys",
            Self::SendEmail(_) => "SendEmail",
            Self::NotifyDeploy(_) => "NotifyDeploy",
        }
    }
}

/// The queues, each named like the function that consumes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Queue {
    /// Changes at trackers.
    IssueSync,
    /// Unassignments, and the caches that they make wrong.
    Deassign,
    /// What trackers are told.
    OutboundSync,
    /// Bounded work that nobody waits for.
    Jobs,
    /// Projects and organizations that are being deleted.
    ProjectDelete,
    /// Commits that releases wait for.
    FetchCommits,
    /// Mails.
    SendEmail,
}

impl Queue {
    /// Every queue.
    pub const ALL: [Self; 7] = [
        Self::IssueSync,
        Self::Deassign,
        Self::OutboundSync,
        Self::Jobs,
        Self::ProjectDelete,
        Self::FetchCommits,
        Self::SendEmail,
    ];

    /// The queue's and the consumer's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IssueSync => "issue-sync",
            Self::Deassign => "deassign",
            Self::OutboundSync => "outbound-sync",
            Self::Jobs => "jobs",
            Self::ProjectDelete => "project-delete",
            Self::FetchCommits => "fetch-commits",
            Self::SendEmail => "send-email",
        }
    }

    /// The environment variable that holds the queue's URL.
    pub fn variable(self) -> &'static str {
        match self {
            Self::IssueSync => "ISSUE_SYNC_QUEUE_URL",
            Self::Deassign => "DEASSIGN_QUEUE_URL",
            Self::OutboundSync => "OUTBOUND_SYNC_QUEUE_URL",
            Self::Jobs => "JOBS_QUEUE_URL",
            Self::ProjectDelete => "PROJECT_DELETE_QUEUE_URL",
            Self::FetchCommits => "FETCH_COMMITS_QUEUE_URL",
            Self::SendEmail => "SEND_EMAIL_QUEUE_URL",
        }
    }
}

/// "The tracker's issue changed."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncIssue {
    /// The delivery that says so, and which issue it is about.
    pub origin: TrackerOrigin,
    /// What it says about the assignee.
    pub assignee: Option<AssigneeChange>,
    /// What it says about the state.
    pub status: Option<StatusChange>,
    /// Where to go on, when the issue is linked to more groups than one message handles.
    pub after: Option<GroupCursor>,
}

/// A place in the list of groups linked to one external issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GroupCursor {
    /// Organizations below this one are done.
    pub organization: OrganizationId,
    /// In this organization, groups up to and including this one are done.
    pub group: GroupId,
}

/// "Remove the assignee, as decided then."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deassign {
    /// The organization that owns the group.
    pub organization: OrganizationId,
    /// Which group.
    pub group: GroupId,
    /// The group's version when this was decided: a later decision wins.
    pub seen_version: u64,
    /// Who asked for it; `None` is the system.
    pub acting_user: Option<UserId>,
    /// What brought it about. If a tracker did, its position must still be the newest one.
    pub origin: Origin,
}

/// "Updates wait in this shard."
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainUpdates {
    /// Which.
    pub shard: UpdateShard,
    /// When they are due: a shard that is put off until later than that is left alone.
    pub due: Timestamp,
}

/// "Delete the next batch of this project."
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteProject {
    /// The organization that owns the project.
    pub organization: OrganizationId,
    /// Which.
    pub project: ProjectId,
    /// The batch: another one is under work or done if the deletion is not at this step.
    pub step: u64,
}

/// "Delete the next batch of this organization."
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteOrganization {
    /// Which.
    pub organization: OrganizationId,
    /// The batch, as in [`DeleteProject`].
    pub step: u64,
}

/// "The texts of these have changed: look which groups they refer to now."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkGroups {
    /// Whose they are.
    pub organization: OrganizationId,
    /// Which.
    pub changes: Vec<CodeChange>,
}

/// "A release has these commits now: resolve what they refer to."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolveGroups {
    /// The organization that owns the release.
    pub organization: OrganizationId,
    /// Which release.
    pub release: ReleaseId,
    /// Its version.
    pub version: Version,
    /// The lists that hold commits which refer to something. One that is not the release's any more is left
    /// alone.
    pub lists: BTreeMap<RepositoryId, Generation>,
    /// How many such commits of the first list are done.
    pub done: u32,
}

/// "A project has a new release: groups that wait for one have it."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClearExpiredResolutions {
    /// The organization that owns the release.
    pub organization: OrganizationId,
    /// Which release.
    pub release: ReleaseId,
    /// Its version.
    pub version: Version,
    /// Where to go on, when more groups wait than one message handles: projects before this one are done,
    /// and of it the groups up to and including this one.
    pub after: Option<(ProjectId, GroupId)>,
}

/// "Delete the next batch of what belonged to this release."
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteRelease {
    /// The organization that owned it.
    pub organization: OrganizationId,
    /// Which.
    pub release: ReleaseId,
    /// The batch: another one is under work or done if what is left is not at this step.
    pub step: u64,
}

/// "Look which deletions nobody works on."
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepDeletions {
    /// Where to go on, when there are more than one message handles.
    pub after: Option<DeletionRef>,
}

/// "Fetch the commits that this request asked for."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchCommits {
    /// The organization that owns the release.
    pub organization: OrganizationId,
    /// The release's version.
    pub version: Version,
    /// The release, which may have been deleted and made again.
    pub release: ReleaseId,
    /// The request: what a newer one asked for is not this message's.
    pub request: MessageId,
    /// Which of its repositories; `None`: all that nobody has begun with.
    pub of: Option<FetchStep>,
}

/// The commits of one repository, and how far their fetching was when a message was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchStep {
    /// Which repository.
    pub repository: RepositoryId,
    /// The step: it is done, or somebody else's, if the release says another one.
    pub step: u32,
}

/// "A release's commits are known as far as they will be for now."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordDeploys {
    /// The organization that owns the release.
    pub organization: OrganizationId,
    /// The release's version.
    pub version: Version,
    /// The release.
    pub release: ReleaseId,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{IntegrationId, Provider, Timestamp};

    fn with_state(state: String) -> Envelope {
        let id = MessageId::new(Timestamp::from_millis(0), 0);
        let origin = TrackerOrigin {
            provider: Provider::Vsts,
            integration: IntegrationId::new(9).unwrap(),
            external_issue: "31".parse().unwrap(),
            revision: None,
            delivery: id,
            author: None,
        };
        let status = Some(StatusChange {
            old_state: None,
            new_state: state,
            project: None,
        });
        let change = SyncIssue {
            origin,
            assignee: None,
            status,
            after: None,
        };
        Envelope {
            id,
            trace: TraceId::new("t"),
            message: Message::SyncIssue(change),
        }
    }

    #[test]
    fn a_message_holds_any_text_in_characters_that_sqs_takes() {
        let message = with_state("\u{fffe}\u{ffff}\u{1}\u{1f600}".into());
        let text = message.to_json().unwrap();
        assert!(
            text.chars()
                .all(|c| c >= ' ' && c != '\u{fffe}' && c != '\u{ffff}')
        );
        assert_eq!(serde_json::from_str::<Envelope>(&text).unwrap(), message);
    }

    #[test]
    fn a_message_above_256_kib_is_none() {
        let rest = with_state(String::new()).to_json().unwrap().len();
        let fits = with_state("x".repeat(256 * 1024 - rest));
        assert_eq!(fits.to_json().map(|text| text.len()), Ok(256 * 1024));
        let one_more = with_state("x".repeat(256 * 1024 - rest + 1));
        assert_eq!(one_more.to_json(), Err(MessageTooLarge(256 * 1024 + 1)));
    }
}
