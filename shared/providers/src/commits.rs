//! Commits as hosts of repositories list them, in one form whichever host it is.

use domain::{GivenAuthor, GivenCommit, RepositoryName, Timestamp};
use serde::Deserialize;

/// A commit in a host's list. Its files are asked for one commit at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostedCommit {
    /// What the list says of it.
    pub commit: GivenCommit,
    /// Whether the message is only the beginning of the whole one.
    pub truncated: bool,
}

/// Who made a commit and when, in the form that hosts share.
#[derive(Default, Deserialize)]
pub(crate) struct Author {
    name: Option<String>,
    email: Option<String>,
    date: Option<String>,
}

impl HostedCommit {
    pub(crate) fn new(
        sha: String,
        repository: &RepositoryName,
        author: Option<Author>,
        message: &str,
        truncated: bool,
    ) -> Self {
        let author = author.unwrap_or_default();
        let date = author.date.as_deref().and_then(Timestamp::parse);
        Self {
            commit: GivenCommit {
                sha,
                repository: repository.clone(),
                message: Some(Some(GivenCommit::kept_message(message))),
                author: GivenAuthor::new(author.email.as_deref(), author.name.as_deref()),
                date,
                files: Default::default(),
            },
            truncated,
        }
    }
}
