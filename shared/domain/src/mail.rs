//! Mails: what people are told, whom, and how far one has come.
//!
//! A mail is named by a key and goes to each of its recipients once, however often it is asked for. Who is to
//! send it to one recipient claims that first: the claim says who is at it, and at last what became of it.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

use crate::{
    DeployId, Email, MessageId, OrganizationId, ReleaseId, RepositoryId, RepositoryName, Timestamp,
    UserId, Version,
};

/// The most recipients of one message: more are several messages.
pub const MOST_RECIPIENTS: usize = 50;

/// "Send this mail."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendEmail {
    /// The organization that it is about. Who is not in it any more does not get it.
    pub organization: OrganizationId,
    /// What makes it the same mail when it is asked for again.
    pub key: MailKey,
    /// Who gets it, each by a message of their own.
    pub to: Recipients,
    /// What it says.
    pub mail: Mail,
    /// How often it could not be sent for the time being.
    #[serde(default)]
    pub attempts: u32,
}

/// Names a mail in its organization for good, like `deploy/71`. It is part of a key in the table: short, and
/// without anything that must not be seen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MailKey(String);

impl MailKey {
    /// Of what is the same each time that the mail is asked for, and differs for any other mail.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for MailKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who gets a mail. Addresses are looked up when it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recipients {
    /// These people, at most [`MOST_RECIPIENTS`].
    Users(Vec<UserId>),
    /// The active owners of the organization: for what was done by nobody in person.
    Owners,
}

/// What a mail says, in facts. None of its texts may hold a secret: they go out as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Mail {
    /// The commits of a release could not be fetched.
    UnableToFetchCommits {
        /// Of which release.
        version: Version,
        /// From which repository: mails about one belong together.
        repository: RepositoryId,
        /// Its name.
        name: RepositoryName,
        /// What went wrong, in a sentence.
        cause: String,
        /// What helps, in a sentence.
        remedy: String,
    },
    /// Commits can be fetched again from a repository that a mail said they cannot be fetched from.
    FetchingHealed {
        /// From which repository.
        repository: RepositoryId,
        /// Its name.
        name: RepositoryName,
        /// Since when they could not.
        since: Timestamp,
        /// How often it failed meanwhile.
        failures: u32,
    },
    /// What we know of somebody's account at a provider is no longer accepted there, and was forgotten.
    IdentityInvalid {
        /// The provider, as people call it.
        provider: String,
        /// Where the account can be connected again.
        url: String,
        /// What was tried with it.
        during: IdentityUse,
    },
    /// A release was deployed.
    Deployed {
        /// Which release.
        release: ReleaseId,
        /// Its version.
        version: Version,
        /// Which of its deploys.
        deploy: DeployId,
        /// Whether it goes to people whose commits are in the release; else they asked to hear of deploys.
        #[serde(default = "yes")]
        committed: bool,
    },
    /// The organization is to be deleted.
    OrganizationGivenUp {
        /// Who wants it.
        user: UserId,
        /// From where they asked for it, if that is known.
        address: Option<IpAddr>,
        /// When they did.
        at: Timestamp,
        /// From when on it is deleted, if nobody restores it.
        due: Timestamp,
        /// Where it can be restored until then.
        url: String,
    },
}

/// What was so before a message could say it.
fn yes() -> bool {
    true
}

/// What an identity was used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityUse {
    /// Commits were to be fetched.
    FetchingCommits,
    /// Anything else.
    Other,
}

/// "See whether people can be told of this deploy, and tell them."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotifyDeploy {
    /// The organization that owns the release.
    pub organization: OrganizationId,
    /// Which release.
    pub release: ReleaseId,
    /// Its version.
    pub version: Version,
    /// Which of its deploys.
    pub deploy: DeployId,
    /// Whether nobody fetches its commits any more, with whatever result.
    pub fetch_complete: bool,
}

/// What mails are answered by mails about the same, so that they are shown together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MailThread {
    /// Fetching from a repository.
    Repository(RepositoryId),
    /// A release.
    Release(ReleaseId),
}

impl fmt::Display for MailThread {
    /// As keys have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repository(id) => write!(f, "repository-{id}"),
            Self::Release(id) => write!(f, "release-{id}"),
        }
    }
}

impl Mail {
    /// The kind in logs and metrics.
    pub fn kind(&self) -> &'static str {
        self.category().unwrap_or("generic")
    }

    /// The kind in the header that mail services sort by; not all have one.
    pub fn category(&self) -> Option<&'static str> {
        match self {
            Self::UnableToFetchCommits { .. }
            | Self::FetchingHealed { .. }
            | Self::IdentityInvalid { .. }
            | Self::OrganizationGivenUp { .. } => None,
            Self::Deployed { .. } => Some("deploy"),
        }
    }

    /// What it belongs to.
    pub fn thread(&self) -> Option<MailThread> {
        match self {
            Self::UnableToFetchCommits { repository, .. }
            | Self::FetchingHealed { repository, .. } => Some(MailThread::Repository(*repository)),
            Self::IdentityInvalid { .. } | Self::OrganizationGivenUp { .. } => None,
            Self::Deployed { release, .. } => Some(MailThread::Release(*release)),
        }
    }
}

/// How far a mail to one recipient has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum MailState {
    /// Somebody sends it. If they have not said so by `until`, they ended before they could.
    Sending {
        /// Who; made up anew for every attempt.
        owner: MessageId,
        /// Until when it is theirs.
        until: Timestamp,
    },
    /// It was taken over.
    Sent {
        /// By which name the mail service knows it.
        id: String,
        /// When.
        at: Timestamp,
    },
    /// It will not be sent.
    GivenUp {
        /// Why.
        reason: MailFailure,
        /// When.
        at: Timestamp,
    },
}

/// Why a mail was not sent for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailFailure {
    /// The mail service refused it: the address, or whom it comes from.
    Rejected,
    /// It could not be sent for a day.
    TooLate,
}

impl MailFailure {
    /// The name in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::TooLate => "too_late",
        }
    }
}

/// What there is to do for one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    /// Claim and send it.
    Claim,
    /// Somebody is at it; look again then.
    Held(Timestamp),
    /// Nothing.
    Done,
}

/// Decides by what is known of the mail to one recipient.
pub fn sending(state: Option<&MailState>, now: Timestamp) -> Sending {
    match state {
        None => Sending::Claim,
        Some(MailState::Sending { until, .. }) if *until <= now => Sending::Claim,
        Some(MailState::Sending { until, .. }) => Sending::Held(*until),
        Some(MailState::Sent { .. } | MailState::GivenUp { .. }) => Sending::Done,
    }
}

/// How long a mail is tried again, in milliseconds: a day.
const PATIENCE: i64 = 24 * 60 * 60 * 1000;
/// The first wait and the longest one, in milliseconds.
const FIRST_WAIT: i64 = 15_000;
const LONGEST_WAIT: i64 = 60 * 60 * 1000;

impl SendEmail {
    /// The same for a later attempt, and when that is. The time follows from when the message was minted and
    /// not from now, so that copies of it are put off until the same moment and become one. `None`: it has
    /// been tried for a day.
    pub fn again(&self, minted: Timestamp) -> Option<(Self, Timestamp)> {
        let attempts = self.attempts + 1;
        let wait = |attempt: u32| (FIRST_WAIT << attempt.min(16)).min(LONGEST_WAIT);
        let waits: i64 = (0..attempts).map(wait).sum();
        let again = Self {
            attempts,
            ..self.clone()
        };
        (waits <= PATIENCE).then_some((again, minted.plus(waits)))
    }
}

impl Email {
    /// Whether anybody can get mail there. Addresses that were made up, because there had to be one, end in
    /// `localhost` or `.invalid`.
    pub fn is_deliverable(&self) -> bool {
        let domain = self.as_str().rsplit('@').next().unwrap_or_default();
        let top = domain.rsplit('.').next().unwrap_or_default();
        !matches!(top, "localhost" | "invalid")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn a_mail_is_sent_once_and_taken_over_from_who_died() {
        let owner = MessageId::new(at(0), 0);
        let until = at(60);
        let held = MailState::Sending { owner, until };
        let id = "x".to_owned();
        let sent = MailState::Sent { id, at: at(1) };
        let reason = MailFailure::Rejected;
        let given_up = MailState::GivenUp { reason, at: at(1) };
        assert_eq!(sending(None, at(0)), Sending::Claim);
        assert_eq!(sending(Some(&held), at(59)), Sending::Held(until));
        assert_eq!(sending(Some(&held), at(60)), Sending::Claim);
        for done in [sent, given_up] {
            assert_eq!(sending(Some(&done), at(1_000_000)), Sending::Done);
        }
    }

    #[test]
    fn a_mail_that_cannot_be_sent_is_tried_for_a_day_at_moments_that_its_birth_decides() {
        let mut message = SendEmail {
            organization: OrganizationId::new(1).unwrap(),
            key: MailKey::new("k"),
            to: Recipients::Owners,
            mail: Mail::IdentityInvalid {
                provider: "GitHub".into(),
                url: "https://picket.example".into(),
                during: IdentityUse::Other,
            },
            attempts: 0,
        };
        let mut waits = Vec::new();
        while let Some((again, due)) = message.again(at(0)) {
            waits.push(due.seconds());
            message = again;
        }
        assert_eq!(waits[..5], [15, 45, 105, 225, 465]);
        assert_eq!(waits.len(), 30);
        assert!(waits.last().unwrap() <= &(24 * 60 * 60));
    }

    #[test]
    fn made_up_addresses_get_no_mail() {
        let deliverable = |text: &str| text.parse::<Email>().unwrap().is_deliverable();
        assert!(deliverable("ana@acme.example"));
        assert!(deliverable("ana@localhost.example"));
        for made_up in ["ana@localhost", "ana@x.localhost", "bot@picket.invalid"] {
            assert!(!deliverable(made_up), "{made_up}");
        }
    }
}
