//! Organizations, people and teams.

use std::{fmt, str::FromStr};

use email_address::{EmailAddress, Options};
use serde::{Deserialize, Serialize};

use crate::{
    AvatarType, MemberId, OrganizationId, Picture, Scope, TeamHearing, TeamId, Timestamp, UserId,
};

/// Limits on names that people give.
pub mod names {
    /// Longest name of an organization, a user or a team, in characters.
    pub const MAX_NAME: usize = 64;
    /// Longest username, in characters.
    pub const MAX_USERNAME: usize = 128;
    /// Longest name of a project through an API, in characters.
    pub const MAX_PROJECT_NAME: usize = 50;
}

/// The part of a URL that names an organization, team or project: lowercase letters, digits, `_` and
/// `-`, at most 50, never all digits, because a path segment of digits is an id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Slug(String);

impl Slug {
    /// What is wrong with a text that is no slug.
    pub const INVALID: &'static str = "Enter a valid slug consisting of lowercase letters, numbers, \
         underscores or hyphens. It cannot be entirely numeric.";

    /// 32 hexadecimal digits for what is to be found under no name any more. The first one is a letter.
    pub fn hidden(random: u128) -> Self {
        Self(format!("{:032x}", random | 0xA << 124))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Slug {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        let valid = (1..=50).contains(&text.len())
            && text.bytes().all(legal)
            && !text.bytes().all(|b| b.is_ascii_digit());
        valid.then(|| Self(text.to_owned())).ok_or(Self::INVALID)
    }
}

impl TryFrom<String> for Slug {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An e-mail address in lower case: addresses are compared without regard to case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Email(String);

impl Email {
    /// The address in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Email {
    type Err = &'static str;

    /// Takes a bare address: no name in front of it, no IP address for a domain.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bare = Options::default()
            .without_display_text()
            .without_domain_literal();
        let valid = EmailAddress::parse_with_options(text, bare).is_ok();
        valid
            .then(|| Self(text.to_lowercase()))
            .ok_or("Enter a valid email address.")
    }
}

impl TryFrom<String> for Email {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Email {
    /// Personal data stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[e-mail]")
    }
}

/// A switchable ability of an organization, named as the API lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Feature {
    /// May list, link and create external issues.
    IntegrationsIssueBasic,
    /// The same, with two-way sync of assignee and status.
    IntegrationsIssueSync,
    /// May name relays that it trusts.
    Relay,
    /// A team hears as one of what it works on; else its members do.
    TeamWorkflowNotifications,
}

impl Feature {
    /// The name clients know.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IntegrationsIssueBasic => "integrations-issue-basic",
            Self::IntegrationsIssueSync => "integrations-issue-sync",
            Self::Relay => "relay",
            Self::TeamWorkflowNotifications => "team-workflow-notifications",
        }
    }
}

/// Where an organization is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrganizationStatus {
    /// All is well.
    #[default]
    Active,
    /// It works as before, and will be deleted unless somebody says otherwise.
    PendingDeletion,
    /// It goes, part by part: it is not there any more but for who restores it.
    DeletionInProgress,
}

impl OrganizationStatus {
    /// The name clients know.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::PendingDeletion => "pending_deletion",
            Self::DeletionInProgress => "deletion_in_progress",
        }
    }

    /// The same for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::PendingDeletion => "pending deletion",
            Self::DeletionInProgress => "deletion in progress",
        }
    }
}

/// What is switched on and off in an organization, each an attribute of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OrganizationFlags {
    /// Whether members come into teams and leave them by themselves.
    pub allow_joinleave: bool,
    /// Whether issues cannot be shown to everybody.
    pub disable_shared_issues: bool,
    /// Whether mails tell less.
    pub enhanced_privacy: bool,
    /// Whether it gets what is new before others.
    pub early_adopter: bool,
    /// Whether it is connected with Codecov.
    pub codecov_access: bool,
    /// Whether members need a second factor.
    pub require_2fa: bool,
    /// Whether only those who may change the organization may make projects in it.
    pub disable_member_project_creation: bool,
    /// Whether those who run the installation stay out.
    pub prevent_superuser_access: bool,
    /// Whether members cannot invite others.
    pub disable_member_invite: bool,
}

impl Default for OrganizationFlags {
    fn default() -> Self {
        Self {
            allow_joinleave: true,
            disable_shared_issues: false,
            enhanced_privacy: false,
            early_adopter: false,
            codecov_access: false,
            require_2fa: false,
            disable_member_project_creation: false,
            prevent_superuser_access: false,
            disable_member_invite: false,
        }
    }
}

/// When the groups that a commit says it resolves are resolved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResolveCommitsOn {
    /// When a release has the commit. Until then the groups know of it, no more.
    #[default]
    Released,
    /// As soon as the commit is stored, and again when a release has it. A commit that no longer says so
    /// opens them again.
    Stored,
}

impl ResolveCommitsOn {
    /// The name in settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Stored => "stored",
        }
    }
}

impl FromStr for ResolveCommitsOn {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let all = [Self::Released, Self::Stored];
        all.into_iter().find(|on| on.as_str() == text).ok_or(())
    }
}

/// The tenant: owns teams, projects and everything below them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// Unique in the installation.
    pub slug: Slug,
    /// Shown to people.
    pub name: String,
    /// What is switched on.
    pub features: Vec<Feature>,
    /// Whether it is to be deleted.
    #[serde(default)]
    pub status: OrganizationStatus,
    /// The role that somebody gets who is invited without one.
    #[serde(default = "member")]
    pub default_role: Role,
    /// When commits resolve what they refer to.
    #[serde(default)]
    pub resolve_commits_on: ResolveCommitsOn,
    /// What is shown for it.
    #[serde(default)]
    pub avatar_type: AvatarType,
    /// The picture that was uploaded last, shown or not.
    #[serde(default)]
    pub picture: Option<Picture>,
    /// What is switched on and off.
    #[serde(flatten)]
    pub flags: OrganizationFlags,
    /// When it was made.
    pub created: Timestamp,
}

fn member() -> Role {
    Role::Member
}

impl Organization {
    /// A new organization.
    pub fn new(
        id: OrganizationId,
        slug: Slug,
        name: impl Into<String>,
        created: Timestamp,
    ) -> Self {
        Self {
            id,
            slug,
            name: name.into(),
            features: Vec::new(),
            status: OrganizationStatus::default(),
            default_role: member(),
            resolve_commits_on: ResolveCommitsOn::default(),
            avatar_type: AvatarType::default(),
            picture: None,
            flags: OrganizationFlags::default(),
            created,
        }
    }

    /// Whether two-way sync is allowed at all.
    pub fn has(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }

    /// How its teams hear of what they work on.
    pub fn team_hearing(&self) -> TeamHearing {
        match self.has(Feature::TeamWorkflowNotifications) {
            true => TeamHearing::AsOne,
            false => TeamHearing::Members,
        }
    }
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// Their primary address.
    pub email: Email,
    /// Whether they proved that the address is theirs. Only a verified one identifies a person.
    pub verified: bool,
    /// Shown to people.
    pub name: String,
    /// For signing in; the address unless said otherwise.
    pub username: String,
    /// A deactivated person is never assigned.
    pub active: bool,
    /// Whether issues that nobody has become theirs when they resolve them.
    #[serde(default)]
    pub self_assign_issue: bool,
    /// When they were added.
    pub created: Timestamp,
}

/// What a member may do in an organization, in Sentry's names, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Role {
    Member,
    Admin,
    Manager,
    Owner,
}

impl Role {
    /// Every role, the least first.
    pub const ALL: [Self; 4] = [Self::Member, Self::Admin, Self::Manager, Self::Owner];

    /// The name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Member => "Member",
            Self::Admin => "Admin",
            Self::Manager => "Manager",
            Self::Owner => "Owner",
        }
    }

    /// The wire name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Manager => "manager",
            Self::Owner => "owner",
        }
    }

    /// What a member of this role may do, whatever a token of theirs allows. CI's scope is everybody's,
    /// because every member may make releases.
    pub fn scopes(self) -> &'static [Scope] {
        // Each role may do what the one before it may.
        const OWNER: [Scope; 20] = [
            Scope::OrgRead,
            Scope::OrgCi,
            Scope::MemberRead,
            Scope::TeamRead,
            Scope::ProjectRead,
            Scope::ProjectReleases,
            Scope::EventRead,
            Scope::EventWrite,
            Scope::EventAdmin,
            Scope::AlertsRead,
            Scope::AlertsWrite,
            // An admin's as well.
            Scope::OrgIntegrations,
            Scope::TeamWrite,
            Scope::TeamAdmin,
            Scope::ProjectWrite,
            Scope::ProjectAdmin,
            // A manager's as well.
            Scope::OrgWrite,
            Scope::MemberWrite,
            Scope::MemberAdmin,
            // An owner's alone.
            Scope::OrgAdmin,
        ];
        let count = match self {
            Self::Member => 11,
            Self::Admin => 16,
            Self::Manager => 19,
            Self::Owner => 20,
        };
        &OWNER[..count]
    }

    /// Whether what the role allows reaches every team and project, not only the member's own.
    pub fn is_global(self) -> bool {
        match self {
            Self::Member | Self::Admin => false,
            Self::Manager | Self::Owner => true,
        }
    }
}

impl FromStr for Role {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or(())
    }
}

/// A user in an organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The membership's own id.
    pub id: MemberId,
    /// Who.
    pub user: UserId,
    /// With which role.
    pub role: Role,
    /// In which teams.
    pub teams: Vec<TeamId>,
    /// Since when.
    pub created: Timestamp,
}

/// People who look after projects together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Team {
    /// Its id.
    pub id: TeamId,
    /// The organization that owns it.
    pub organization: OrganizationId,
    /// Unique in the organization.
    pub slug: Slug,
    /// Shown to people.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
}

/// What somebody wants changed of a team; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct TeamUpdate {
    /// Another name.
    pub name: Option<String>,
    /// Another slug.
    pub slug: Option<Slug>,
}

impl TeamUpdate {
    /// The team as it is to be, if that changes anything.
    pub fn apply(&self, seen: &Team) -> Option<Team> {
        let team = Team {
            name: self.name.clone().unwrap_or_else(|| seen.name.clone()),
            slug: self.slug.clone().unwrap_or_else(|| seen.slug.clone()),
            ..seen.clone()
        };
        (team != *seen).then_some(team)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_lowercase_short_and_not_a_number() {
        for good in ["a", "web-1", "_x", "0a", &"s".repeat(50)] {
            assert!(good.parse::<Slug>().is_ok(), "{good}");
        }
        for bad in ["", "Web", "a b", "12", "ü", "a/b", &"s".repeat(51)] {
            assert!(bad.parse::<Slug>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_hidden_slug_is_one() {
        for random in [0, u128::MAX, 0x1234] {
            let hidden = Slug::hidden(random);
            assert_eq!(hidden.as_str().parse(), Ok(hidden.clone()));
            assert_eq!(hidden.as_str().len(), 32);
        }
    }

    #[test]
    fn an_address_is_bare_and_folded() {
        let folded = |text: &str| text.parse::<Email>().map(|email| email.to_string()).ok();
        assert_eq!(folded("Ana@Acme.Example"), Some("ana@acme.example".into()));
        for bad in [
            "",
            "ana",
            "Ana <ana@acme.example>",
            "ana@[127.0.0.1]",
            "a b@c.d",
            "ana@",
        ] {
            assert_eq!(folded(bad), None, "{bad}");
        }
    }

    #[test]
    fn each_role_may_do_what_the_one_below_it_may() {
        let roles = [Role::Member, Role::Admin, Role::Manager, Role::Owner];
        for pair in roles.windows(2) {
            assert!(pair[0] < pair[1]);
            assert!(pair[1].scopes().starts_with(pair[0].scopes()));
        }
        let all = Scope::ALL.map(|(scope, _)| scope);
        let mut owner = Role::Owner.scopes().to_vec();
        owner.sort();
        assert_eq!(owner, all);
        let may = |role: Role, scope| role.scopes().contains(&scope);
        for (scope, least) in [
            (Scope::ProjectReleases, Role::Member),
            (Scope::EventAdmin, Role::Member),
            (Scope::ProjectWrite, Role::Admin),
            (Scope::TeamAdmin, Role::Admin),
            (Scope::OrgWrite, Role::Manager),
            (Scope::MemberAdmin, Role::Manager),
            (Scope::OrgAdmin, Role::Owner),
        ] {
            for role in roles {
                assert_eq!(may(role, scope), role >= least, "{scope} of {role:?}");
            }
        }
    }
}
