//! Deploys: a release that came into an environment.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{DeployId, ProjectId, Timestamp};

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
}

#[cfg(test)]
mod tests {
    use super::*;

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
