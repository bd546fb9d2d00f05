//! Repositories that commits come from.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{IntegrationId, OrganizationId, RepositoryId, Timestamp};

/// The name of a repository as its host shows it, like `acme/web`. Names that differ in case alone name the
/// same one: clients spell it as they like.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RepositoryName(String);

impl RepositoryName {
    /// Longest name, in characters.
    pub const MAX: usize = 200;

    /// Trims it. `None`: blank or too long.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let valid = !text.is_empty() && text.chars().count() <= Self::MAX;
        valid.then(|| Self(text.to_owned()))
    }

    /// As it was given first.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is the same for all spellings.
    pub fn folded(&self) -> String {
        self.0.to_lowercase()
    }
}

impl PartialEq for RepositoryName {
    fn eq(&self, other: &Self) -> bool {
        self.folded() == other.folded()
    }
}

impl Eq for RepositoryName {}

impl PartialOrd for RepositoryName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RepositoryName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.folded().cmp(&other.folded())
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who hosts a repository, named as clients name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
#[allow(missing_docs)]
pub enum RepositoryProvider {
    Git,
    GitHub,
    GitLab,
    Bitbucket,
    AzureDevOps,
}

impl RepositoryProvider {
    /// Every provider, with its id and the name that people know.
    pub const ALL: [(Self, &'static str, &'static str); 5] = [
        (Self::Git, "git", "Git"),
        (Self::GitHub, "integrations:github", "GitHub"),
        (Self::GitLab, "integrations:gitlab", "GitLab"),
        (Self::Bitbucket, "integrations:bitbucket", "Bitbucket"),
        (Self::AzureDevOps, "integrations:vsts", "Azure DevOps"),
    ];

    /// The id clients know.
    pub fn as_str(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// The name people know.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].2
    }
}

impl FromStr for RepositoryProvider {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().find(|(_, id, _)| *id == text);
        known.map(|(provider, _, _)| *provider).ok_or_else(|| {
            let ids = Self::ALL.map(|(_, id, _)| id);
            format!("\"{text}\" is no provider; there are {}", ids.join(", "))
        })
    }
}

impl TryFrom<String> for RepositoryProvider {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<RepositoryProvider> for &'static str {
    fn from(provider: RepositoryProvider) -> Self {
        provider.as_str()
    }
}

/// A repository of an organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// Its id.
    pub id: RepositoryId,
    /// The organization that knows it.
    pub organization: OrganizationId,
    /// Unique in the organization.
    pub name: RepositoryName,
    /// Who hosts it; `None` for one that is known from commits alone.
    pub provider: Option<RepositoryProvider>,
    /// Where it is.
    pub url: Option<String>,
    /// When it became known.
    pub created: Timestamp,
    /// The integration through which its host is asked for commits.
    #[serde(default)]
    pub integration: Option<IntegrationId>,
    /// What its host calls it for good; Azure DevOps is asked by it.
    #[serde(default)]
    pub external_id: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_same_in_any_spelling_and_shown_as_it_was_given() {
        let name = |text| RepositoryName::new(text).unwrap();
        assert_eq!(name("ACME/Web"), name(" acme/web "));
        assert_eq!(name("ACME/Web").as_str(), "ACME/Web");
        assert_eq!(RepositoryName::new(" "), None);
        assert_eq!(RepositoryName::new(&"x".repeat(201)), None);
    }

    #[test]
    fn every_provider_is_named_in_its_own_place() {
        for (provider, id, name) in RepositoryProvider::ALL {
            assert_eq!((provider.as_str(), provider.name()), (id, name));
            assert_eq!(id.parse(), Ok(provider));
        }
    }
}
