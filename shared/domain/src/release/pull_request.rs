//! Pull requests: what their texts refer to, and the commit that they were merged with.

use serde::{Deserialize, Serialize};

use crate::{GroupId, Mention, PullRequestRef, RepositoryId, Timestamp};

/// A pull request of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    /// Where it is.
    pub repository: RepositoryId,
    /// Its number, as the repository's host shows it.
    pub key: String,
    /// Its title.
    pub title: Option<String>,
    /// Its description.
    pub message: Option<String>,
    /// The address of its author.
    pub author: Option<String>,
    /// The commit that it was merged with; `None`: it is not.
    pub merge_commit: Option<String>,
    /// When it became known.
    pub created: Timestamp,
    /// The groups that its text refers to.
    #[serde(default)]
    pub groups: Vec<GroupId>,
}

impl PullRequest {
    /// Longest key, in characters.
    pub const MAX_KEY: usize = 64;

    /// Which it is.
    pub fn reference(&self) -> PullRequestRef {
        PullRequestRef {
            repository: self.repository,
            key: self.key.clone(),
        }
    }

    /// What may refer to groups.
    pub fn text(&self) -> String {
        let [message, title] = [&self.message, &self.title].map(|text| text.as_deref());
        format!(
            "{} {}",
            message.unwrap_or_default(),
            title.unwrap_or_default()
        )
    }

    /// What the commit that it was merged with says of it, if that is anything.
    pub fn merged(&self) -> Option<Mention> {
        self.merge_commit.as_ref()?;
        (!self.groups.is_empty()).then(|| Mention {
            author: self.author.clone(),
            groups: self.groups.clone(),
            linked: Vec::new(),
        })
    }
}
