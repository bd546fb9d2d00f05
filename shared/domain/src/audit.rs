//! The audit log: who did what to an organization. An entry is written in the transaction of what it
//! tells of.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use crate::{
    AuditEntryId, ClientKey, Member, MemberId, Organization, OrganizationId, OrganizationStatus,
    Project, ProjectId, ProjectStatus, PublicKey, Role, Slug, Team, TeamId, Timestamp, UserId,
};

/// One line of an organization's audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Its id.
    pub id: AuditEntryId,
    /// Whose log it is in.
    pub organization: OrganizationId,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: AuditActor,
    /// From where, if it was asked for over the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// What.
    #[serde(flatten)]
    pub event: AuditEvent,
}

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditActor {
    /// A person.
    User(UserId),
    /// Whoever holds the organization's token of this name.
    Token(String),
    /// Whoever may invoke the operator's function.
    Operator,
}

/// What was done, named as clients name it, and the facts of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", content = "data")]
pub enum AuditEvent {
    /// The organization's settings were changed: what, each `to` or `from … to …` something.
    #[serde(rename = "org.edit")]
    OrganizationEdit(BTreeMap<String, String>),
    /// The organization is to be deleted.
    #[serde(rename = "org.remove")]
    OrganizationRemove(OrganizationFacts),
    /// The organization is not to be deleted after all.
    #[serde(rename = "org.restore")]
    OrganizationRestore(OrganizationFacts),
    /// A project was made.
    #[serde(rename = "project.create")]
    ProjectCreate(ProjectFacts),
    /// A project was changed.
    #[serde(rename = "project.edit")]
    ProjectEdit(ProjectEdit),
    /// A project was given up.
    #[serde(rename = "project.remove")]
    ProjectRemove(ProjectRemoval),
    /// The same, where the caller said what for.
    #[serde(rename = "project.remove-with-origin")]
    ProjectRemoveWithOrigin(ProjectRemoval),
    /// A client key was made.
    #[serde(rename = "projectkey.create")]
    ProjectKeyCreate(KeyFacts),
    /// A client key was changed.
    #[serde(rename = "projectkey.edit")]
    ProjectKeyEdit(KeyFacts),
    /// A client key lets events in again.
    #[serde(rename = "projectkey.enable")]
    ProjectKeyEnable(KeyFacts),
    /// A client key lets no events in.
    #[serde(rename = "projectkey.disable")]
    ProjectKeyDisable(KeyFacts),
    /// A client key is gone.
    #[serde(rename = "projectkey.remove")]
    ProjectKeyRemove(KeyFacts),
    /// A team was made.
    #[serde(rename = "team.create")]
    TeamCreate(TeamFacts),
    /// A team was changed.
    #[serde(rename = "team.edit")]
    TeamEdit(TeamFacts),
    /// Somebody became a member.
    #[serde(rename = "member.add")]
    MemberAdd(MemberFacts),
    /// A member's role or teams were set.
    #[serde(rename = "member.edit")]
    MemberEdit(MemberFacts),
    /// Somebody is no member any more.
    #[serde(rename = "member.remove")]
    MemberRemove(MemberFacts),
    /// A member came into a team.
    #[serde(rename = "member.join-team")]
    MemberJoinTeam(MemberTeam),
    /// A member left a team.
    #[serde(rename = "member.leave-team")]
    MemberLeaveTeam(MemberTeam),
}

/// What an organization was at that time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // as in `Organization`
pub struct OrganizationFacts {
    pub id: OrganizationId,
    pub slug: Slug,
    pub name: String,
    pub status: OrganizationStatus,
}

impl OrganizationFacts {
    /// What an organization is now.
    pub fn of(organization: &Organization) -> Self {
        Self {
            id: organization.id,
            slug: organization.slug.clone(),
            name: organization.name.clone(),
            status: organization.status,
        }
    }
}

/// What a project was at that time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // as in `Project`
pub struct ProjectFacts {
    pub id: ProjectId,
    pub slug: Slug,
    pub name: String,
    pub status: ProjectStatus,
    pub public: bool,
}

impl ProjectFacts {
    /// What a project is now.
    pub fn of(project: &Project) -> Self {
        Self {
            id: project.id,
            slug: project.slug.clone(),
            name: project.name.clone(),
            status: project.status,
            public: false,
        }
    }
}

/// What a project was before and is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectEdit {
    /// As it is now.
    #[serde(flatten)]
    pub project: ProjectFacts,
    /// The slug that it had, if it has another one now.
    pub old_slug: Option<Slug>,
    /// The name that it had, if it has another one now.
    pub old_name: Option<String>,
}

/// What a project was when it was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectRemoval {
    /// As it was.
    #[serde(flatten)]
    pub project: ProjectFacts,
    /// The name of its deletion.
    pub transaction_id: String,
    /// What for, in the caller's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

/// Which client key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // as in `ClientKey`
pub struct KeyFacts {
    pub project: ProjectId,
    pub public_key: PublicKey,
    pub label: String,
    pub active: bool,
}

impl KeyFacts {
    /// What a key is now.
    pub fn of(key: &ClientKey) -> Self {
        Self {
            project: key.project,
            public_key: key.public_key.clone(),
            label: key.label.clone(),
            active: key.active,
        }
    }
}

/// What a team was at that time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // as in `Team`
pub struct TeamFacts {
    pub id: TeamId,
    pub slug: Slug,
    pub name: String,
}

impl TeamFacts {
    /// What a team is now.
    pub fn of(team: &Team) -> Self {
        Self {
            id: team.id,
            slug: team.slug.clone(),
            name: team.name.clone(),
        }
    }
}

/// What a membership was at that time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // as in `Member`
pub struct MemberFacts {
    pub id: MemberId,
    pub user: UserId,
    pub role: Role,
    pub teams: Vec<TeamId>,
}

impl MemberFacts {
    /// What a membership is now.
    pub fn of(member: &Member) -> Self {
        Self {
            id: member.id,
            user: member.user,
            role: member.role,
            teams: member.teams.clone(),
        }
    }
}

/// Who came into a team, or left it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct MemberTeam {
    pub id: MemberId,
    pub user: UserId,
    pub team: TeamId,
    pub team_slug: Slug,
}

impl AuditEvent {
    /// The names of all events.
    pub const NAMES: [&'static str; 19] = [
        "org.edit",
        "org.remove",
        "org.restore",
        "project.create",
        "project.edit",
        "project.remove",
        "project.remove-with-origin",
        "projectkey.create",
        "projectkey.edit",
        "projectkey.enable",
        "projectkey.disable",
        "projectkey.remove",
        "team.create",
        "team.edit",
        "member.add",
        "member.edit",
        "member.remove",
        "member.join-team",
        "member.leave-team",
    ];

    /// The entry that somebody did this, with an id of random bits.
    pub fn by(
        self,
        actor: AuditActor,
        organization: OrganizationId,
        now: Timestamp,
        random: u32,
    ) -> AuditEntry {
        AuditEntry {
            id: AuditEntryId::timed(now, random),
            organization,
            at: now,
            actor,
            address: None,
            event: self,
        }
    }

    /// The person it was done to.
    pub fn target_user(&self) -> Option<UserId> {
        match self {
            Self::MemberAdd(facts) | Self::MemberEdit(facts) | Self::MemberRemove(facts) => {
                Some(facts.user)
            }
            Self::MemberJoinTeam(facts) | Self::MemberLeaveTeam(facts) => Some(facts.user),
            Self::OrganizationEdit(_)
            | Self::OrganizationRemove(_)
            | Self::OrganizationRestore(_)
            | Self::ProjectCreate(_)
            | Self::ProjectEdit(_)
            | Self::ProjectRemove(_)
            | Self::ProjectRemoveWithOrigin(_)
            | Self::ProjectKeyCreate(_)
            | Self::ProjectKeyEdit(_)
            | Self::ProjectKeyEnable(_)
            | Self::ProjectKeyDisable(_)
            | Self::ProjectKeyRemove(_)
            | Self::TeamCreate(_)
            | Self::TeamEdit(_) => None,
        }
    }
}

impl AuditEntry {
    /// The id of what it was done to.
    pub fn target(&self) -> u64 {
        match &self.event {
            AuditEvent::OrganizationEdit(_)
            | AuditEvent::OrganizationRemove(_)
            | AuditEvent::OrganizationRestore(_) => self.organization.number(),
            AuditEvent::ProjectCreate(facts) => facts.id.number(),
            AuditEvent::ProjectRemove(removal) | AuditEvent::ProjectRemoveWithOrigin(removal) => {
                removal.project.id.number()
            }
            AuditEvent::ProjectEdit(edit) => edit.project.id.number(),
            AuditEvent::ProjectKeyCreate(facts)
            | AuditEvent::ProjectKeyEdit(facts)
            | AuditEvent::ProjectKeyEnable(facts)
            | AuditEvent::ProjectKeyDisable(facts)
            | AuditEvent::ProjectKeyRemove(facts) => facts.project.number(),
            AuditEvent::TeamCreate(facts) | AuditEvent::TeamEdit(facts) => facts.id.number(),
            AuditEvent::MemberAdd(facts)
            | AuditEvent::MemberEdit(facts)
            | AuditEvent::MemberRemove(facts) => facts.id.number(),
            AuditEvent::MemberJoinTeam(facts) | AuditEvent::MemberLeaveTeam(facts) => {
                facts.id.number()
            }
        }
    }
}
