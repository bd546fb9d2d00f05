//! Releases: a version of an organization's software, in the projects that use it.

mod commits;
mod deploy;
mod query;
mod repository;
mod version;

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use ulid::Ulid;

use crate::{DeployId, OrganizationId, ProjectId, ReleaseId, Timestamp, UserId};

pub use commits::{
    Commit, CommitAuthor, CommitFields, CommitList, CommitRef, CommitWrite, FileChange,
    GivenAuthor, GivenCommit, Head, ListedCommit, Listing, MOST_AUTHORS, Ref, merge_commits,
    write_author, write_commit,
};
pub use deploy::{Deploy, EnvironmentName};
pub use query::{InvalidQuery, ReleaseQuery};
pub use repository::{Repository, RepositoryName, RepositoryProvider};
pub use version::{InvalidVersion, Semver, Version};

/// Whether a release is shown where nobody asks for archived ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum ReleaseStatus {
    #[default]
    Open,
    Archived,
}

impl ReleaseStatus {
    /// The name clients know.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Archived => "archived",
        }
    }
}

impl FromStr for ReleaseStatus {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "open" => Ok(Self::Open),
            "archived" => Ok(Self::Archived),
            _ => Err(()),
        }
    }
}

/// One version of a commit list, as it was written at once: readers see the one that the release names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(Ulid);

impl Generation {
    /// Built from the time of writing and random bits: no two writers share one.
    pub fn new(now: Timestamp, random: u128) -> Self {
        Self(Ulid::from_parts(
            u64::try_from(now.millis()).unwrap_or(0),
            random,
        ))
    }

    /// When it was written.
    pub fn written(self) -> Timestamp {
        Timestamp::from_millis(i64::try_from(self.0.timestamp_ms()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_string())
    }
}

impl Serialize for Generation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Generation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parsed = Ulid::from_string(&text).map_err(|_| de::Error::custom("not a ULID"));
        parsed.map(Self)
    }
}

/// A release. One of an organization serves all projects that use its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Its id.
    pub id: ReleaseId,
    /// The organization that owns it.
    pub organization: OrganizationId,
    /// Unique in the organization; never changes.
    pub version: Version,
    /// Whether it is archived.
    pub status: ReleaseStatus,
    /// What the client calls its source: a branch, a tag.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// Where people read about it.
    pub url: Option<String>,
    /// When it became known.
    pub created: Timestamp,
    /// When it was released, if it was.
    pub released: Option<Timestamp>,
    /// Who answers for it.
    pub owner: Option<UserId>,
    /// What made it, as its request named itself.
    pub user_agent: Option<String>,
    /// The projects that use it.
    pub projects: BTreeSet<ProjectId>,
    /// The environments that it was deployed to.
    pub environments: BTreeSet<EnvironmentName>,
    /// How many times it was deployed.
    pub total_deploys: u32,
    /// The last of the deploys.
    pub last_deploy: Option<DeployId>,
    /// Rises with every change of what stands above.
    pub rev: u64,
    /// Rises with every change of what stands below: who meant to replace the commits has to find it as it
    /// was read.
    pub commit_seq: u64,
    /// Which pages hold its commits; `None` while it has none.
    pub generation: Option<Generation>,
    /// How many commits the pages hold.
    pub listed: u32,
    /// How many commits were given, those that were given twice included.
    pub commit_count: u32,
    /// The newest commit.
    pub last_commit: Option<CommitRef>,
    /// Whose commits they are, by address; of very many the first.
    pub authors: Vec<String>,
    /// The newest commit of each repository.
    pub heads: Vec<Head>,
}

impl Release {
    /// A release that nothing is known of but its version.
    pub fn new(
        id: ReleaseId,
        organization: OrganizationId,
        version: Version,
        created: Timestamp,
    ) -> Self {
        Self {
            id,
            organization,
            version,
            status: ReleaseStatus::Open,
            reference: None,
            url: None,
            created,
            released: None,
            owner: None,
            user_agent: None,
            projects: BTreeSet::new(),
            environments: BTreeSet::new(),
            total_deploys: 0,
            last_deploy: None,
            rev: 0,
            commit_seq: 0,
            generation: None,
            listed: 0,
            commit_count: 0,
            last_commit: None,
            authors: Vec::new(),
            heads: Vec::new(),
        }
    }

    /// The date that it is listed by: when it was released, else when it became known.
    pub fn date(&self) -> Timestamp {
        self.released.unwrap_or(self.created)
    }

    /// The newest commits of these repositories, where the others keep theirs: what refs say replaces what
    /// is known, and of several refs of one repository the last one counts.
    pub fn heads_with(&self, refs: &[Head]) -> Vec<Head> {
        let mut heads = self.heads.clone();
        for head in refs {
            heads.retain(|known| known.repository != head.repository);
            heads.push(head.clone());
        }
        heads
    }

    /// Takes a commit list that is written under `generation`.
    pub fn take(&mut self, generation: Option<Generation>, listing: &Listing) {
        self.commit_seq += 1;
        self.generation = generation;
        self.listed = u32::try_from(listing.commits.len()).unwrap_or(u32::MAX);
        self.commit_count = listing.count;
        self.last_commit = listing.commits.first().map(|commit| commit.commit.clone());
        self.authors = listing.authors();
        // What refs named wins over what a list begins with.
        for head in listing.heads() {
            let known = |known: &Head| known.repository == head.repository;
            if !self.heads.iter().any(known) {
                self.heads.push(head);
            }
        }
    }

    /// Forgets all commits.
    pub fn clear_commits(&mut self) {
        self.heads.clear();
        self.take(None, &Listing::default());
    }
}
