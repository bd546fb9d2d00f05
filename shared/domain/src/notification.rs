//! What people want to hear of, and what they do not.
//!
//! A setting is about one type of notification and holds for a project, for all projects of an organization, or
//! for all that a person sees. The narrowest one counts; where nobody said anything, the type's default does.

use std::{collections::HashMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Member, OrganizationId, Project, ProjectId, UserId};

/// The most settings of one person.
pub const MOST_NOTIFICATION_SETTINGS: usize = 1000;

/// What a notification is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotificationType {
    /// A release was deployed.
    Deploy,
}

impl NotificationType {
    const ALL: [Self; 1] = [Self::Deploy];

    /// The name that clients know.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
        }
    }

    /// What holds for somebody who said nothing.
    fn default_value(self) -> NotificationValue {
        match self {
            Self::Deploy => NotificationValue::CommittedOnly,
        }
    }
}

impl FromStr for NotificationType {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut all = Self::ALL.into_iter();
        all.find(|kind| kind.as_str() == text).ok_or(())
    }
}

/// Of which of them somebody hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotificationValue {
    /// Of all.
    Always,
    /// Of those about their own commits.
    CommittedOnly,
    /// Of none.
    Never,
}

impl NotificationValue {
    const ALL: [Self; 3] = [Self::Always, Self::CommittedOnly, Self::Never];

    /// The name that clients know.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::CommittedOnly => "committed_only",
            Self::Never => "never",
        }
    }
}

impl FromStr for NotificationValue {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut all = Self::ALL.into_iter();
        all.find(|value| value.as_str() == text).ok_or(())
    }
}

/// How far a setting reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotificationScopeType {
    /// All that the person sees.
    User,
    /// One organization.
    Organization,
    /// One project.
    Project,
}

impl NotificationScopeType {
    const ALL: [Self; 3] = [Self::User, Self::Organization, Self::Project];

    /// The name that clients know.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Organization => "organization",
            Self::Project => "project",
        }
    }
}

impl FromStr for NotificationScopeType {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut all = Self::ALL.into_iter();
        all.find(|scope| scope.as_str() == text).ok_or(())
    }
}

/// Where a setting holds, the widest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "scope", content = "scope_id", rename_all = "snake_case")]
pub enum NotificationScope {
    /// Wherever nothing else is set.
    User,
    /// In the projects of this organization for which nothing else is set.
    Organization(OrganizationId),
    /// For this project.
    Project(ProjectId),
}

impl NotificationScope {
    /// How far it reaches.
    pub fn scope_type(self) -> NotificationScopeType {
        match self {
            Self::User => NotificationScopeType::User,
            Self::Organization(_) => NotificationScopeType::Organization,
            Self::Project(_) => NotificationScopeType::Project,
        }
    }
}

impl fmt::Display for NotificationScope {
    /// As keys and ids have it: `user`, `organization-12`, `project-45`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scope_type().as_str())?;
        match self {
            Self::User => Ok(()),
            Self::Organization(id) => write!(f, "-{id}"),
            Self::Project(id) => write!(f, "-{id}"),
        }
    }
}

impl FromStr for NotificationScope {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (scope, id) = match text.split_once('-') {
            Some((scope, id)) => (scope, Some(id)),
            None => (text, None),
        };
        match (scope.parse()?, id) {
            (NotificationScopeType::User, None) => Ok(Self::User),
            (NotificationScopeType::Organization, Some(id)) => {
                id.parse().map(Self::Organization).map_err(drop)
            }
            (NotificationScopeType::Project, Some(id)) => {
                id.parse().map(Self::Project).map_err(drop)
            }
            (NotificationScopeType::User, Some(_))
            | (NotificationScopeType::Organization | NotificationScopeType::Project, None) => {
                Err(())
            }
        }
    }
}

/// Names a setting among those of its person. It says what the setting is about, so nothing has to be kept that
/// leads from it to the setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NotificationId {
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: NotificationType,
    /// Where it holds.
    #[serde(flatten)]
    pub scope: NotificationScope,
}

impl fmt::Display for NotificationId {
    /// `deploy-user`, `deploy-organization-12`, `deploy-project-45`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.kind.as_str(), self.scope)
    }
}

impl FromStr for NotificationId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (kind, scope) = text.split_once('-').ok_or(())?;
        Ok(Self {
            kind: kind.parse()?,
            scope: scope.parse()?,
        })
    }
}

/// What somebody said they want to hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotificationSetting {
    /// Who.
    pub user: UserId,
    /// About what, and where it holds.
    #[serde(flatten)]
    pub id: NotificationId,
    /// What they said.
    pub value: NotificationValue,
}

/// Settings that were read to decide by: those of one person or of many.
#[derive(Debug, Clone, Default)]
pub struct NotificationSettings(HashMap<(UserId, NotificationId), NotificationValue>);

impl FromIterator<NotificationSetting> for NotificationSettings {
    fn from_iter<T: IntoIterator<Item = NotificationSetting>>(settings: T) -> Self {
        let entry = |it: NotificationSetting| ((it.user, it.id), it.value);
        Self(settings.into_iter().map(entry).collect())
    }
}

impl NotificationSettings {
    /// What holds for a person and a project: what they said of the project, else of its organization, else of
    /// all, else the default.
    pub fn value(
        &self,
        user: UserId,
        kind: NotificationType,
        project: &Project,
    ) -> NotificationValue {
        let scopes = [
            NotificationScope::Project(project.id),
            NotificationScope::Organization(project.organization),
            NotificationScope::User,
        ];
        let said = |scope| self.0.get(&(user, NotificationId { kind, scope }));
        let value = scopes.into_iter().find_map(said).copied();
        value.unwrap_or_else(|| kind.default_value())
    }

    /// Whether a member hears of a deploy of these projects: because of one of them that they may see.
    /// `committed`: a commit in it is theirs.
    pub fn hears_of_deploy(&self, member: &Member, projects: &[Project], committed: bool) -> bool {
        let deploy = NotificationType::Deploy;
        let mut seen = projects.iter().filter(|project| project.admits(member));
        seen.any(|project| match self.value(member.user, deploy, project) {
            NotificationValue::Always => true,
            NotificationValue::CommittedOnly => committed,
            NotificationValue::Never => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemberId, NewProject, ProjectStatus, Role, TeamId, Timestamp};

    use NotificationScope::{Organization, Project as OfProject, User};
    use NotificationValue::{Always, CommittedOnly, Never};

    fn organization(n: u64) -> OrganizationId {
        OrganizationId::new(n).unwrap()
    }

    /// A project of organization 1, in the team of its own number.
    fn project(n: u64) -> Project {
        let new = NewProject {
            organization: organization(1),
            name: "Web".into(),
            platform: None,
            team: TeamId::new(n).unwrap(),
            created: Timestamp::from_millis(0),
        };
        new.project(ProjectId::new(n).unwrap(), "web".parse().unwrap())
    }

    /// User 1, in these teams.
    fn member(teams: &[u64]) -> Member {
        Member {
            id: MemberId::new(1).unwrap(),
            user: UserId::new(1).unwrap(),
            role: Role::Owner,
            teams: teams.iter().map(|n| TeamId::new(*n).unwrap()).collect(),
            created: Timestamp::from_millis(0),
        }
    }

    /// What user 1 said.
    fn said(all: &[(NotificationScope, NotificationValue)]) -> NotificationSettings {
        let setting = |(scope, value): &(NotificationScope, NotificationValue)| {
            let kind = NotificationType::Deploy;
            NotificationSetting {
                user: UserId::new(1).unwrap(),
                id: NotificationId {
                    kind,
                    scope: *scope,
                },
                value: *value,
            }
        };
        all.iter().map(setting).collect()
    }

    #[test]
    fn the_narrowest_setting_counts_and_without_one_the_default() {
        let (here, there) = (OfProject(project(5).id), OfProject(project(6).id));
        let (own, other) = (Organization(organization(1)), Organization(organization(2)));
        for (settings, value) in [
            (vec![], CommittedOnly),
            (vec![(User, Never)], Never),
            (vec![(User, Never), (own, Always)], Always),
            (vec![(own, Always), (here, Never), (User, Always)], Never),
            (vec![(here, CommittedOnly), (own, Never)], CommittedOnly),
            // What was said of others says nothing.
            (vec![(other, Never), (there, Never)], CommittedOnly),
            (vec![(other, Never), (there, Never), (User, Always)], Always),
        ] {
            let settings = said(&settings);
            let user = UserId::new(1).unwrap();
            let found = settings.value(user, NotificationType::Deploy, &project(5));
            assert_eq!(found, value, "{settings:?}");
            let other = UserId::new(2).unwrap();
            let found = settings.value(other, NotificationType::Deploy, &project(5));
            assert_eq!(found, CommittedOnly, "somebody else's: {settings:?}");
        }
    }

    #[test]
    fn one_project_that_they_see_and_want_to_hear_of_is_enough() {
        let projects = [project(5), project(6)];
        let (five, six) = (OfProject(project(5).id), OfProject(project(6).id));
        let both = [5, 6];
        for (teams, settings, without, with) in [
            (&both[..], vec![], false, true),
            (&both, vec![(User, Never)], false, false),
            (&both, vec![(User, Always)], true, true),
            (&both, vec![(five, Never)], false, true),
            (&both, vec![(five, Never), (six, Always)], true, true),
            (&both, vec![(five, Never), (six, Never)], false, false),
            // Only what they see counts.
            (&[5], vec![(five, Never), (six, Always)], false, false),
            (&[7], vec![(User, Always)], false, false),
        ] {
            let (member, settings) = (member(teams), said(&settings));
            let hears = |committed| settings.hears_of_deploy(&member, &projects, committed);
            assert_eq!((hears(false), hears(true)), (without, with), "{settings:?}");
        }
        let mut hidden = project(5);
        hidden.status = ProjectStatus::PendingDeletion;
        let settings = said(&[(User, Always)]);
        assert!(!settings.hears_of_deploy(&member(&[5]), &[hidden], true));
    }

    #[test]
    fn an_id_says_what_it_names() {
        for (text, scope) in [
            ("deploy-user", User),
            ("deploy-organization-1", Organization(organization(1))),
            ("deploy-project-5", OfProject(project(5).id)),
        ] {
            let kind = NotificationType::Deploy;
            let id = NotificationId { kind, scope };
            assert_eq!(id.to_string(), text);
            assert_eq!(text.parse(), Ok(id));
        }
        for bad in [
            "",
            "7",
            "deploy",
            "deploy-",
            "deploy-user-1",
            "deploy-project",
            "deploy-project-",
            "deploy-project-x",
            "deploy-project-0",
            "deploy-project-5-6",
            "deploy-team-5",
            "Deploy-user",
            "reports-user",
        ] {
            assert_eq!(bad.parse::<NotificationId>(), Err(()), "{bad}");
        }
    }

    #[test]
    fn the_names_that_clients_know_are_those_of_the_table() {
        for (scope, item) in [
            (User, serde_json::json!({ "scope": "user" })),
            (
                Organization(organization(1)),
                serde_json::json!({ "scope": "organization", "scope_id": "1" }),
            ),
            (
                OfProject(project(5).id),
                serde_json::json!({ "scope": "project", "scope_id": "5" }),
            ),
        ] {
            assert_eq!(item["scope"], scope.scope_type().as_str());
            for value in NotificationValue::ALL {
                let mut item = item.clone();
                item["user"] = "1".into();
                item["type"] = NotificationType::Deploy.as_str().into();
                item["value"] = value.as_str().into();
                let setting: NotificationSetting = serde_json::from_value(item.clone()).unwrap();
                assert_eq!((setting.id.scope, setting.value), (scope, value));
                assert_eq!(serde_json::to_value(setting).unwrap(), item);
                assert_eq!(value.as_str().parse(), Ok(value));
            }
        }
    }
}
