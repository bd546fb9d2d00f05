//! Groups, which clients call issues: their mutable state and what they show.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use crate::{
    ExternalKey, Facet, GroupId, IntegrationId, Link, LinkState, OrganizationId, ProjectId,
    ReleaseId, Resolution, Slug, TeamHearing, TeamId, Timestamp, UserId,
};

/// Whom a group can be assigned to: `user:71` or `team:5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Actor {
    /// A person.
    User(UserId),
    /// A team.
    Team(TeamId),
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user:{id}"),
            Self::Team(id) => write!(f, "team:{id}"),
        }
    }
}

impl From<Actor> for String {
    fn from(actor: Actor) -> Self {
        actor.to_string()
    }
}

impl TryFrom<String> for Actor {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let invalid = "an actor is user:<id> or team:<id>";
        match text.split_once(':') {
            Some(("user", id)) => id.parse().map(Self::User).map_err(|_| invalid),
            Some(("team", id)) => id.parse().map(Self::Team).map_err(|_| invalid),
            _ => Err(invalid),
        }
    }
}

/// Whether a group needs attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum GroupStatus {
    Unresolved,
    Resolved,
    Ignored,
}

impl GroupStatus {
    /// The name clients know.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unresolved => "unresolved",
            Self::Resolved => "resolved",
            Self::Ignored => "ignored",
        }
    }

    /// The substatus of a group that comes to this status and nothing more is said.
    pub fn substatus(self) -> Option<Substatus> {
        match self {
            Self::Unresolved => Some(Substatus::Ongoing),
            Self::Resolved => None,
            Self::Ignored => Some(Substatus::ArchivedUntilEscalating),
        }
    }
}

/// The finer state below a [`GroupStatus`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Substatus {
    New,
    Ongoing,
    Escalating,
    Regressed,
    ArchivedUntilEscalating,
    ArchivedUntilConditionMet,
    ArchivedForever,
}

impl Substatus {
    /// The name clients know.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Ongoing => "ongoing",
            Self::Escalating => "escalating",
            Self::Regressed => "regressed",
            Self::ArchivedUntilEscalating => "archived_until_escalating",
            Self::ArchivedUntilConditionMet => "archived_until_condition_met",
            Self::ArchivedForever => "archived_forever",
        }
    }

    /// The one status that it refines.
    pub fn status(self) -> GroupStatus {
        match self {
            Self::New | Self::Ongoing | Self::Escalating | Self::Regressed => {
                GroupStatus::Unresolved
            }
            Self::ArchivedUntilEscalating
            | Self::ArchivedUntilConditionMet
            | Self::ArchivedForever => GroupStatus::Ignored,
        }
    }
}

impl FromStr for Substatus {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [
            Self::New,
            Self::Ongoing,
            Self::Escalating,
            Self::Regressed,
            Self::ArchivedUntilEscalating,
            Self::ArchivedUntilConditionMet,
            Self::ArchivedForever,
        ];
        let known = all.into_iter().find(|substatus| substatus.as_str() == text);
        known.ok_or("Not a substatus of an issue.")
    }
}

/// Names one ordered stream of changes: `<integration>/<external issue>/<facet>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PositionKey(String);

impl PositionKey {
    /// The stream of one facet of one linked issue.
    pub fn new(integration: IntegrationId, issue: &ExternalKey, facet: Facet) -> Self {
        Self(format!("{integration}/{issue}/{}", facet.as_str()))
    }

    /// As it is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A place in one ordered stream. Positions compare as text, and only within one [`PositionKey`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(String);

impl Position {
    /// Azure's `rev`, padded so that text order is number order.
    pub fn revision(revision: u64) -> Self {
        Self(format!("{revision:020}"))
    }

    /// As it is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The item that orders everything about a group. It lives as long as the group: "unassigned" is a
/// value here, not an absence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupState {
    /// The group.
    pub group: GroupId,
    /// The organization that owns it.
    pub organization: OrganizationId,
    /// The project it belongs to.
    pub project: ProjectId,
    /// Whether it needs attention.
    pub status: GroupStatus,
    /// The finer state; none when resolved.
    pub substatus: Option<Substatus>,
    /// Who works on it.
    pub assignee: Option<Actor>,
    /// Who goes on hearing of it as if it were theirs, where a team hears as one: whose team took over.
    #[serde(default)]
    pub keep: BTreeSet<UserId>,
    /// When it was last assigned.
    pub assigned_at: Option<Timestamp>,
    /// When it was last unassigned.
    pub unassigned_at: Option<Timestamp>,
    /// When it was last resolved; none while it is not.
    #[serde(default)]
    pub resolved_at: Option<Timestamp>,
    /// By what it is resolved, where that is known; none while it is not.
    #[serde(default)]
    pub resolution: Option<Resolution>,
    /// Why it waits for somebody to look at it, if it does.
    #[serde(default)]
    pub inbox: Option<InboxReason>,
    /// Rises with every accepted decision about the assignee.
    #[serde(rename = "ver")]
    pub version: u64,
    /// Rises with every accepted decision about the status.
    #[serde(rename = "status_ver", default)]
    pub status_version: u64,
    /// The newest accepted place of each tracker stream.
    #[serde(rename = "pos")]
    pub positions: BTreeMap<PositionKey, Position>,
    /// The linked issues of trackers.
    pub links: BTreeMap<Link, LinkState>,
}

impl GroupState {
    /// What rises with every accepted decision about a facet.
    pub fn version_of(&self, facet: Facet) -> u64 {
        match facet {
            Facet::Assignee => self.version,
            Facet::Status => self.status_version,
        }
    }

    /// Whether a person hears of it because of who works on it: they do, or one of their teams does where a team
    /// hears through its members. Where it hears as one, those whose own it was when their team took over go on
    /// hearing, until it has been their own once more.
    pub fn hears_as_assigned(&self, user: UserId, teams: &[TeamId], hearing: TeamHearing) -> bool {
        match (self.assignee, hearing) {
            (Some(Actor::User(assignee)), _) if assignee == user => true,
            (Some(Actor::Team(team)), TeamHearing::Members) => teams.contains(&team),
            (Some(Actor::User(_)) | None, TeamHearing::Members) => false,
            (Some(_) | None, TeamHearing::AsOne) => self.keep.contains(&user),
        }
    }
}

/// Why a group waits for somebody to look at it. Whoever resolves it or puts it away has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InboxReason {
    /// Nobody has looked yet.
    New,
}

/// The severity that clients show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Level {
    Debug,
    Info,
    Warning,
    #[default]
    Error,
    Fatal,
}

/// What a group shows and what does not change with its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its id.
    pub id: GroupId,
    /// Which of its project's groups it is, from 1.
    pub number: u64,
    /// One line.
    pub title: String,
    /// Where in the code.
    pub culprit: Option<String>,
    /// How bad.
    pub level: Level,
    /// The kind of software.
    pub platform: Option<String>,
    /// The release that it was first seen in.
    #[serde(default)]
    pub first_release: Option<ReleaseId>,
}

impl Group {
    /// What people call it, as long as its project has this slug.
    pub fn short_id(&self, project: &Slug) -> ShortId {
        ShortId::new(project, self.number)
    }
}

/// Counters of a group. The table keeps them in shards; this is their sum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupStats {
    /// Events counted.
    pub times_seen: u64,
    /// The oldest event, or the making of the group.
    pub first_seen: Timestamp,
    /// The newest event, or the making of the group.
    pub last_seen: Timestamp,
}

impl GroupStats {
    /// The two as one.
    pub fn merged(self, other: Self) -> Self {
        Self {
            times_seen: self.times_seen + other.times_seen,
            first_seen: self.first_seen.min(other.first_seen),
            last_seen: self.last_seen.max(other.last_seen),
        }
    }
}

/// `WEB-1`: the project's slug in capitals and a number in Crockford's base 32, where I, L and O are
/// read as 1, 1 and 0.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShortId(String);

const BASE32: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl ShortId {
    /// The `number`th group of a project, from 1.
    pub fn new(project: &Slug, mut number: u64) -> Self {
        let mut digits = Vec::new();
        while number > 0 || digits.is_empty() {
            digits.push(BASE32[usize::try_from(number % 32).expect("below 32")]);
            number /= 32;
        }
        let digits: String = digits.iter().rev().map(|d| char::from(*d)).collect();
        Self(format!("{}-{digits}", project.as_str().to_uppercase()))
    }

    /// As people write it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The slug of the project.
    pub fn project(&self) -> Slug {
        let (project, _) = self.parts();
        let slug = project.to_lowercase().parse();
        slug.expect("a short id begins with a slug")
    }

    /// The number in the project, in base 32.
    pub fn number(&self) -> &str {
        self.parts().1
    }

    fn parts(&self) -> (&str, &str) {
        let parts = self.0.rsplit_once('-');
        parts.expect("a short id has a hyphen")
    }
}

impl FromStr for ShortId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = "a short id is a project's slug, a hyphen and a number, like WEB-1";
        let (project, digits) = text.rsplit_once('-').ok_or(invalid)?;
        let digits: String = digits
            .to_uppercase()
            .chars()
            .map(|c| match c {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            })
            .collect();
        let digits = match digits.trim_start_matches('0') {
            "" if !digits.is_empty() => "0",
            significant => significant,
        };
        // 13 digits are more than any counter reaches.
        let legal = (1..=13).contains(&digits.len()) && digits.bytes().all(|d| BASE32.contains(&d));
        if project.to_lowercase().parse::<Slug>().is_err() || !legal {
            return Err(invalid);
        }
        Ok(Self(format!("{}-{digits}", project.to_uppercase())))
    }
}

impl fmt::Display for ShortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_ids_count_in_base_32_and_read_look_alikes() {
        let web: Slug = "web".parse().unwrap();
        let text = |n| ShortId::new(&web, n).to_string();
        assert_eq!([text(1), text(31), text(32)], ["WEB-1", "WEB-Z", "WEB-10"]);
        let read = |text: &str| text.parse::<ShortId>().map(|id| id.to_string()).ok();
        assert_eq!(read("web-1o"), Some("WEB-10".into()));
        assert_eq!(read("my-app-iL"), Some("MY-APP-11".into()));
        assert_eq!(read("web-o0l"), Some("WEB-1".into()));
        assert_eq!(read("web-00"), Some("WEB-0".into()));
        for bad in ["WEB", "-1", "WEB-", "WEB-U", "WEB-1!"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn revisions_order_as_numbers() {
        assert!(Position::revision(9) < Position::revision(10));
        assert!(Position::revision(10) < Position::revision(u64::MAX));
    }
}
