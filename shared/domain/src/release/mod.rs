//! Releases: a version of an organization's software, in the projects that use it.

mod code_change;
mod commits;
mod deploy;
mod fetch;
mod pull_request;
mod query;
mod repository;
mod version;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt,
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use ulid::Ulid;

use crate::{DeployId, OrganizationId, ProjectId, ReleaseId, RepositoryId, Timestamp, UserId};

pub use code_change::{CodeChange, PullRequestRef};
pub use commits::{
    Commit, CommitAuthor, CommitFields, CommitList, CommitRef, CommitWrite, FileChange,
    GivenAuthor, GivenCommit, ListedCommit, Listing, MOST_AUTHORS, Ref, RepositoryList,
    write_author, write_commit,
};
pub use deploy::{Deploy, EnvironmentName, Readiness};
pub use fetch::{Fetch, FetchAnswer, FetchCause, FetchEnd, FetchStart, end_fetch};
pub use pull_request::PullRequest;
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

/// One commit list, as it was written at once: readers see those that the release names.
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

impl FromStr for Generation {
    type Err = ulid::DecodeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ulid::from_string(text).map(Self)
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
        text.parse().map_err(|_| de::Error::custom("not a ULID"))
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
    /// Rises with every change of what stands below.
    pub commit_seq: u64,
    /// What is known of the commits of each repository.
    pub lists: BTreeMap<RepositoryId, RepositoryList>,
    /// The newest commit of each repository: the one that a ref named, by its own name once that is known,
    /// else the one that its first list began with.
    pub heads: BTreeMap<RepositoryId, String>,
    /// The commits that it waits for, by repository.
    pub fetches: BTreeMap<RepositoryId, Fetch>,
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
            lists: BTreeMap::new(),
            heads: BTreeMap::new(),
            fetches: BTreeMap::new(),
        }
    }

    /// The date that it is listed by: when it was released, else when it became known.
    pub fn date(&self) -> Timestamp {
        self.released.unwrap_or(self.created)
    }

    /// How many commits it was given, those that were given twice included.
    pub fn commit_count(&self) -> u32 {
        self.lists.values().map(|list| list.count).sum()
    }

    /// Whether none of its commits is known, and some are to come.
    pub fn awaits_commits(&self) -> bool {
        self.commit_count() == 0 && !self.fetches.is_empty()
    }

    /// Whether it can note the commits of this repository beside those that it has.
    pub fn has_room(&self, repository: RepositoryId) -> bool {
        self.lists.contains_key(&repository) || self.lists.len() < commits::MOST_LISTS
    }

    /// The newest of its commits.
    pub fn last_commit(&self) -> Option<CommitRef> {
        let newest = self
            .lists
            .iter()
            .min_by_key(|(_, list)| (Reverse(list.date), list.place));
        newest.map(|(repository, list)| CommitRef {
            repository: *repository,
            sha: list.newest.clone(),
        })
    }

    /// Whose commits they are, by address.
    pub fn authors(&self) -> Vec<&str> {
        let mut seen = HashSet::new();
        let all = self.lists.values().flat_map(|list| &list.authors);
        all.map(String::as_str)
            .filter(|author| seen.insert(*author))
            .collect()
    }
}
