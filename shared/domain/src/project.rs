//! Projects: what events and issues belong to.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    Member, OrganizationId, ProjectEdit, ProjectFacts, ProjectId, Slug, TeamId, Timestamp,
};

/// Where a project is in its life. Only an active one is shown, changed or sent events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum ProjectStatus {
    #[default]
    Active,
    Disabled,
    PendingDeletion,
    DeletionInProgress,
}

impl ProjectStatus {
    /// The name clients know.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::PendingDeletion => "pending_deletion",
            Self::DeletionInProgress => "deletion_in_progress",
        }
    }
}

/// What has been seen of a project. Each flag is an attribute of its own, set where it is raised and
/// never lowered, so that two that are raised at once do not undo each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProjectFlags {
    /// It has a release.
    pub has_releases: bool,
    /// Its alerts may be addressed; so from the beginning.
    pub has_issue_alerts_targeting: bool,
    /// It has had a transaction.
    pub has_transactions: bool,
    /// Its alerts may have filters; so from the beginning.
    pub has_alert_filters: bool,
    /// It has had a session.
    pub has_sessions: bool,
}

impl Default for ProjectFlags {
    fn default() -> Self {
        Self {
            has_releases: false,
            has_issue_alerts_targeting: true,
            has_transactions: false,
            has_alert_filters: true,
            has_sessions: false,
        }
    }
}

/// A kind of event that a project may choose not to take, named as clients name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum InboundFilter {
    BrowserExtensions,
    LegacyBrowsers,
    WebCrawlers,
}

impl InboundFilter {
    /// Every filter.
    pub const ALL: [Self; 3] = [
        Self::BrowserExtensions,
        Self::LegacyBrowsers,
        Self::WebCrawlers,
    ];

    /// The filters that a new project of this platform begins with: what is sent from browsers is full of
    /// what is not the project's.
    pub fn defaults(platform: Option<&str>) -> BTreeSet<Self> {
        match platform {
            Some(platform) if platform.starts_with("javascript") => Self::ALL.into(),
            Some(_) | None => BTreeSet::new(),
        }
    }
}

/// What events and issues belong to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// The organization that owns it.
    pub organization: OrganizationId,
    /// Unique in the organization.
    pub slug: Slug,
    /// Shown to people.
    pub name: String,
    /// The kind of software, in Sentry's list; `None` where nobody said.
    pub platform: Option<String>,
    /// Where it is in its life.
    #[serde(default)]
    pub status: ProjectStatus,
    /// What has been seen of it.
    #[serde(default)]
    pub flags: ProjectFlags,
    /// What it chose not to take.
    #[serde(default)]
    pub inbound_filters: BTreeSet<InboundFilter>,
    /// When its first event came.
    #[serde(default)]
    pub first_event: Option<Timestamp>,
    /// The teams that have access.
    pub teams: Vec<TeamId>,
    /// When it was made.
    pub created: Timestamp,
}

/// What a new project is made of, but for its id.
#[derive(Debug, Clone)]
pub struct NewProject {
    /// The organization that owns it.
    pub organization: OrganizationId,
    /// Shown to people.
    pub name: String,
    /// The kind of software.
    pub platform: Option<String>,
    /// The team that has access.
    pub team: TeamId,
    /// Now.
    pub created: Timestamp,
}

impl NewProject {
    /// The project, under an id and a slug.
    pub fn project(&self, id: ProjectId, slug: Slug) -> Project {
        Project {
            id,
            organization: self.organization,
            slug,
            name: self.name.clone(),
            platform: self.platform.clone(),
            status: ProjectStatus::Active,
            flags: ProjectFlags::default(),
            inbound_filters: InboundFilter::defaults(self.platform.as_deref()),
            first_event: None,
            teams: vec![self.team],
            created: self.created,
        }
    }
}

impl Project {
    /// Whether it is shown, changed or sent events at all.
    pub fn is_active(&self) -> bool {
        self.status == ProjectStatus::Active
    }

    /// Access comes from a team of the project, not from being in the organization.
    pub fn admits(&self, member: &Member) -> bool {
        self.is_active() && member.teams.iter().any(|team| self.teams.contains(team))
    }
}

/// What somebody wants changed of a project; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct ProjectUpdate {
    /// Another name.
    pub name: Option<String>,
    /// Another slug.
    pub slug: Option<Slug>,
    /// Another platform; `Some(None)` for none.
    pub platform: Option<Option<String>>,
}

impl ProjectUpdate {
    /// The project as it is to be and what is told of it, if that changes anything. A project that is not
    /// active is not changed.
    pub fn apply(&self, seen: &Project) -> Option<(Project, ProjectEdit)> {
        let mut project = seen.clone();
        if let Some(name) = &self.name {
            project.name.clone_from(name);
        }
        if let Some(slug) = &self.slug {
            project.slug = slug.clone();
        }
        if let Some(platform) = &self.platform {
            project.platform.clone_from(platform);
        }
        if project == *seen || seen.status != ProjectStatus::Active {
            return None;
        }
        let edit = ProjectEdit {
            project: ProjectFacts::of(&project),
            old_slug: (seen.slug != project.slug).then(|| seen.slug.clone()),
            old_name: (seen.name != project.name).then(|| seen.name.clone()),
        };
        Some((project, edit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemberId, Role, UserId};

    fn project(platform: Option<&str>) -> Project {
        let new = NewProject {
            organization: OrganizationId::new(1).unwrap(),
            name: "Web".into(),
            platform: platform.map(str::to_owned),
            team: TeamId::new(2).unwrap(),
            created: Timestamp::from_millis(0),
        };
        new.project(ProjectId::new(1).unwrap(), "web".parse().unwrap())
    }

    #[test]
    fn access_to_a_project_needs_a_common_team() {
        let team = |n| TeamId::new(n).unwrap();
        let mut member = Member {
            id: MemberId::new(1).unwrap(),
            user: UserId::new(1).unwrap(),
            role: Role::Owner,
            teams: vec![team(1)],
            created: Timestamp::from_millis(0),
        };
        let project = project(None);
        assert!(!project.admits(&member));
        member.teams.push(team(2));
        assert!(project.admits(&member));
    }

    #[test]
    fn a_project_of_browsers_begins_with_every_filter_and_others_with_none() {
        for (platform, filters) in [
            (Some("javascript-react"), 3),
            (Some("javascript"), 3),
            (Some("python"), 0),
            (None, 0),
        ] {
            let found = project(platform).inbound_filters.len();
            assert_eq!(found, filters, "{platform:?}");
        }
    }

    #[test]
    fn a_project_of_an_older_version_reads_as_an_active_one() {
        let project = project(None);
        let mut item = serde_json::to_value(&project).unwrap();
        for new in ["status", "flags", "inbound_filters", "first_event"] {
            item.as_object_mut().unwrap().remove(new);
        }
        assert_eq!(serde_json::from_value::<Project>(item).unwrap(), project);
    }
}
