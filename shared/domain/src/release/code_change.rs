//! What refers to groups in its text: commits and pull requests.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::CommitRef;
use crate::RepositoryId;

/// Which pull request. A number is known in one repository only.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct PullRequestRef {
    pub repository: RepositoryId,
    /// Its number, as the repository's host shows it.
    pub key: String,
}

/// A commit or a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CodeChange {
    /// A commit.
    Commit(CommitRef),
    /// A pull request.
    PullRequest(PullRequestRef),
}

impl fmt::Display for CodeChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Commit(CommitRef { repository, sha }) => write!(f, "commit#{repository}#{sha}"),
            Self::PullRequest(PullRequestRef { repository, key }) => {
                write!(f, "pull_request#{repository}#{key}")
            }
        }
    }
}
