//! API tokens and what they allow.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{OrganizationId, Timestamp, UserId};

/// One permission of a token, named as Sentry names it on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
#[allow(missing_docs)] // the wire names in `Scope::ALL` say it
pub enum Scope {
    OrgRead,
    OrgWrite,
    OrgAdmin,
    OrgIntegrations,
    OrgCi,
    MemberRead,
    MemberWrite,
    MemberAdmin,
    TeamRead,
    TeamWrite,
    TeamAdmin,
    ProjectRead,
    ProjectWrite,
    ProjectAdmin,
    ProjectReleases,
    EventRead,
    EventWrite,
    EventAdmin,
    AlertsRead,
    AlertsWrite,
}

impl Scope {
    /// Every scope with its wire name.
    pub const ALL: [(Self, &'static str); 20] = [
        (Self::OrgRead, "org:read"),
        (Self::OrgWrite, "org:write"),
        (Self::OrgAdmin, "org:admin"),
        (Self::OrgIntegrations, "org:integrations"),
        (Self::OrgCi, "org:ci"),
        (Self::MemberRead, "member:read"),
        (Self::MemberWrite, "member:write"),
        (Self::MemberAdmin, "member:admin"),
        (Self::TeamRead, "team:read"),
        (Self::TeamWrite, "team:write"),
        (Self::TeamAdmin, "team:admin"),
        (Self::ProjectRead, "project:read"),
        (Self::ProjectWrite, "project:write"),
        (Self::ProjectAdmin, "project:admin"),
        (Self::ProjectReleases, "project:releases"),
        (Self::EventRead, "event:read"),
        (Self::EventWrite, "event:write"),
        (Self::EventAdmin, "event:admin"),
        (Self::AlertsRead, "alerts:read"),
        (Self::AlertsWrite, "alerts:write"),
    ];

    /// The wire name.
    pub fn as_str(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

impl From<Scope> for &'static str {
    fn from(scope: Scope) -> Self {
        scope.as_str()
    }
}

impl TryFrom<String> for Scope {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().find(|(_, name)| *name == text);
        known.map(|(scope, _)| *scope).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|(_, name)| *name).collect();
            format!(
                "\"{text}\" is no scope; the scopes are {}",
                names.join(", ")
            )
        })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whom a token speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenOwner {
    /// A person: sees the organizations that person is a member of.
    User(UserId),
    /// An organization: sees that one.
    Organization(OrganizationId),
}

/// A token as the table knows it: the secret itself is stored only as its SHA-256, in the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// What the operator called it; unique for its owner.
    pub name: String,
    /// Whom it speaks for.
    pub owner: TokenOwner,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_is_named_in_its_own_place() {
        for (scope, name) in Scope::ALL {
            assert_eq!(scope.as_str(), name);
            assert_eq!(name.parse(), Ok(scope));
        }
    }
}
