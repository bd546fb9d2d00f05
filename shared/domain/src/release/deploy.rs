//! Deploys: a release that came into an environment.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{DeployId, ProjectId, Release, Timestamp};

/// The name of an environment, like `production`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct EnvironmentName(String);

impl EnvironmentName {
    /// Longest name, in characters.
    pub const MAX: usize = 64;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EnvironmentName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.chars().count() > Self::MAX {
            return Err("Ensure this field has no more than 64 characters.");
        }
        match text.contains(['/', '\r', '\n', '\u{c}']) {
            true => Err("Invalid value for environment: slashes and line breaks are not allowed."),
            false => Ok(Self(text.to_owned())),
        }
    }
}

impl TryFrom<String> for EnvironmentName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for EnvironmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A deploy. Each report of one is another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deploy {
    /// Its id.
    pub id: DeployId,
    /// Where to.
    pub environment: EnvironmentName,
    /// What people call it.
    pub name: Option<String>,
    /// Where people read about it.
    pub url: Option<String>,
    /// When it began, if somebody said.
    pub started: Option<Timestamp>,
    /// When it was done.
    pub finished: Timestamp,
    /// The projects that it was of.
    pub projects: BTreeSet<ProjectId>,
    /// Whether people were told of it.
    #[serde(default)]
    pub notified: bool,
}

/// Whether people can be told of a deploy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// They were told.
    Told,
    /// The release is in no project, so there is nobody to tell.
    Nobody,
    /// The commits of the release are to come, and with them whom it concerns.
    Waiting,
    /// They can be told.
    Ready,
}

impl Deploy {
    /// Decides whether people can be told of this deploy of `release`. `fetch_complete`: nobody fetches its
    /// commits any more, with whatever result.
    pub fn readiness(&self, release: &Release, fetch_complete: bool) -> Readiness {
        if self.notified {
            Readiness::Told
        } else if release.projects.is_empty() {
            Readiness::Nobody
        } else if release.awaits_commits() && !fetch_complete {
            Readiness::Waiting
        } else {
            Readiness::Ready
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fetch, MessageId, OrganizationId, ReleaseId, RepositoryId};

    #[test]
    fn people_are_told_once_of_a_deploy_whose_commits_are_known_or_will_never_be() {
        let id = |n| ReleaseId::new(n).unwrap();
        let moment = Timestamp::from_millis(0);
        let organization = OrganizationId::new(1).unwrap();
        let mut release = Release::new(id(1), organization, "1".parse().unwrap(), moment);
        let mut deploy = Deploy {
            id: DeployId::new(1).unwrap(),
            environment: "qa".parse().unwrap(),
            name: None,
            url: None,
            started: None,
            finished: moment,
            projects: BTreeSet::new(),
            notified: false,
        };
        assert_eq!(deploy.readiness(&release, true), Readiness::Nobody);
        release.projects.insert(ProjectId::new(1).unwrap());
        assert_eq!(deploy.readiness(&release, false), Readiness::Ready);
        let repository = RepositoryId::new(1).unwrap();
        release.heads.insert(repository, "abc".into());
        assert_eq!(deploy.readiness(&release, false), Readiness::Ready);
        let fetch = Fetch::new(MessageId::new(moment, 1), "abc".into(), None, None);
        release.fetches.insert(repository, fetch);
        assert_eq!(deploy.readiness(&release, false), Readiness::Waiting);
        assert_eq!(deploy.readiness(&release, true), Readiness::Ready);
        deploy.notified = true;
        assert_eq!(deploy.readiness(&release, true), Readiness::Told);
    }

    #[test]
    fn an_environment_is_any_short_text_without_slashes_and_line_breaks() {
        for name in ["production", "", "a b", "#%ü"] {
            assert_eq!(name.parse::<EnvironmentName>().unwrap().as_str(), name);
        }
        for bad in ["bad/name", "a\n", "a\r", "a\u{c}", &"x".repeat(65)] {
            assert!(bad.parse::<EnvironmentName>().is_err(), "{bad:?}");
        }
    }
}
