//! The table's keys as code: one function per entity, and a chart of them all.
//!
//! Every child key carries its organization or its owner's unguessable id, so tenants never share a
//! partition. A test compares [`CHART`] with docs/table.md and with the items that the flows write.

use domain::{
    Activity, Actor, AlertRuleId, AuditEntry, CodeChange, CommitRef, DeletionRef, DeployId, Email,
    EnvironmentName, ExternalKey, Facet, Generation, GroupId, IntegrationId, Link, MailKey,
    MailThread, MemberId, MessageId, NotificationId, NotificationScope, NotificationType,
    OrganizationCategory, OrganizationId, PictureId, ProjectId, Provider, PublicKey,
    PullRequestRef, Release, ReleaseId, RepositoryId, RepositoryName, ShortId, Slug,
    SubscriptionReason, TeamId, Timestamp, TokenOwner, Update, UpdateShard, UserId, Version,
};

use serde::Serialize;

use crate::hash::TokenHash;

/// The name of the partition key attribute.
pub const PARTITION_KEY: &str = "PK";
/// The name of the sort key attribute.
pub const SORT_KEY: &str = "SK";

/// The index that fills lists, and the names of its key attributes.
pub(crate) const INDEX: &str = "GSI1";
pub(crate) const INDEX_PARTITION_KEY: &str = "GSI1PK";
pub(crate) const INDEX_SORT_KEY: &str = "GSI1SK";

/// Over how many partitions the outbox is spread.
pub const OUTBOX_SHARDS: u8 = 32;

/// Where an item lives.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The partition.
    pub pk: String,
    /// The place in it.
    pub sk: String,
}

impl Key {
    fn new(pk: String, sk: impl Into<String>) -> Self {
        Self { pk, sk: sk.into() }
    }
}

/// One kind of item: what it is, and the pattern of its key with `<placeholders>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChartRow {
    /// What the item is.
    pub item: &'static str,
    /// The pattern of the partition key.
    pub pk: &'static str,
    /// The pattern of the sort key.
    pub sk: &'static str,
}

const fn row(item: &'static str, pk: &'static str, sk: &'static str) -> ChartRow {
    ChartRow { item, pk, sk }
}

/// Every kind of item in the table.
pub const CHART: [ChartRow; 85] = [
    row("organization", "ORG#<organization>", "META"),
    row("organization's slug", "ORG_SLUG#<slug>", "ORG"),
    row("organization's settings", "ORG#<organization>", "SETTINGS"),
    row(
        "organization's former slug",
        "FORMER_ORG_SLUG#<slug>",
        "ORG",
    ),
    row(
        "former slug of an organization",
        "ORG#<organization>",
        "FORMER_ORG_SLUG#<slug>",
    ),
    row(
        "organization's picture",
        "ORG#<organization>",
        "AVATAR#<picture>",
    ),
    row("piece of a picture", "AVATAR#<picture>", "PIECE#<piece>"),
    row("team", "TEAM#<team>", "META"),
    row("team's slug", "ORG#<organization>", "TEAM_SLUG#<slug>"),
    row("team's project", "TEAM#<team>", "PROJECT_SLUG#<slug>"),
    row("member", "ORG#<organization>", "MEMBER#<user>"),
    row(
        "project's slug",
        "ORG#<organization>",
        "PROJECT_SLUG#<slug>",
    ),
    row(
        "project's former slug",
        "ORG#<organization>",
        "FORMER_SLUG#<slug>",
    ),
    row(
        "audit log entry",
        "ORG#<organization>",
        "AUDIT#<milliseconds>#<entry>",
    ),
    row(
        "organization's token name",
        "ORG#<organization>",
        "TOKEN#<name>",
    ),
    row("member's id", "MEMBER_ID#<member>", "MEMBER"),
    row("user", "USER#<user>", "META"),
    row("user's organization", "USER#<user>", "ORG#<organization>"),
    row("user's token name", "USER#<user>", "TOKEN#<name>"),
    row(
        "user's notification setting",
        "USER#<user>",
        "NOTIFICATION#<type>#<scope>",
    ),
    row(
        "notification setting about an organization",
        "ORG#<organization>",
        "NOTIFICATION#<type>#USER#<user>",
    ),
    row(
        "notification setting about a project",
        "PROJECT#<project>",
        "NOTIFICATION#<type>#USER#<user>",
    ),
    row("address's owner", "EMAIL#<address>", "PRIMARY"),
    row("address", "EMAIL#<address>", "USER#<user>"),
    row("username", "USERNAME#<username>", "USER#<user>"),
    row("token", "TOKEN#<sha-256>", "META"),
    row("project", "PROJECT#<project>", "META"),
    row("project's counters", "PROJECT#<project>", "COUNTER"),
    row("client key", "PROJECT#<project>", "KEY#<public key>"),
    row(
        "former slug of a project",
        "PROJECT#<project>",
        "FORMER_SLUG#<slug>",
    ),
    row("alert rule", "PROJECT#<project>", "RULE#<rule>"),
    row("client key's project", "CLIENT_KEY#<public key>", "PROJECT"),
    row("fingerprint", "PROJECT#<project>", "HASH#<sha-256>"),
    row("short id", "PROJECT#<project>", "SHORT_ID#<number>"),
    row(
        "group that waits for a release",
        "PROJECT#<project>",
        "PENDING_RESOLUTION#<group>",
    ),
    row(
        "deletion of a project",
        "ORG#<organization>",
        "DELETION#<project>",
    ),
    row(
        "deletion of an organization",
        "ORG#<organization>",
        "DELETION",
    ),
    row("unfinished deletion", "DELETIONS", "PROJECT#<project>"),
    row(
        "unfinished deletion of an organization",
        "DELETIONS",
        "ORG#<organization>",
    ),
    row("integration", "INTEGRATION#<integration>", "META"),
    row(
        "attached organization",
        "INTEGRATION#<integration>",
        "ORG#<organization>",
    ),
    row(
        "organization's integration",
        "ORG#<organization>",
        "INTEGRATION#<integration>",
    ),
    row(
        "identity at a tracker",
        "INTEGRATION#<integration>",
        "IDENTITY#<organization>",
    ),
    row(
        "pause that a tracker asked for",
        "INTEGRATION#<integration>",
        "PAUSE#<organization>",
    ),
    row(
        "integration by external id",
        "INTEGRATION_KEY#<provider>#<external id>",
        "INTEGRATION",
    ),
    row(
        "group of an external issue",
        "EXTERNAL#<organization>#<integration>#<external issue>",
        "GROUP#<group>",
    ),
    row("group", "GROUP#<group>", "META"),
    row("group's state", "GROUP#<group>", "STATE"),
    row("group's counters", "GROUP#<group>", "STAT#<shard>"),
    row(
        "group's external issue",
        "GROUP#<group>",
        "LINK#<integration>#<external issue>",
    ),
    row(
        "activity and history",
        "GROUP#<group>",
        "ACT#<milliseconds>#<activity>",
    ),
    row("subscription", "GROUP#<group>", "SUB#<actor>#<reason>"),
    row("choice to hear or not", "GROUP#<group>", "CHOICE#<user>"),
    row(
        "group that a release has resolved",
        "GROUP#<group>",
        "DONE#<release>#<change>",
    ),
    row("delivery", "DELIVERY#<delivery>", "META"),
    row(
        "end of a change",
        "GROUP#<group>",
        "SYNC#<delivery>#<facet>#in",
    ),
    row(
        "end of telling a tracker",
        "GROUP#<group>",
        "SYNC#<cause>#<facet>#out#<integration>/<external issue>",
    ),
    row(
        "end of a change without a group",
        "EXTERNAL#<organization>#<integration>#<external issue>",
        "SYNC#<delivery>#<facet>#in",
    ),
    row(
        "end of telling a tracker of a group that is gone",
        "EXTERNAL#<organization>#<integration>#<external issue>",
        "SYNC#<cause>#<facet>#out",
    ),
    row(
        "outbox message",
        "OUT#<shard>",
        "<due milliseconds>#<message>",
    ),
    row(
        "update that waits",
        "UPDATES#<scope>#<shard>",
        "UPDATE#<category>#<object>",
    ),
    row("shard's next try", "UPDATES#<scope>#<shard>", "DUE"),
    row("tombstone", "TOMBSTONE#<category>#<object>", "META"),
    row("cache's endpoint", "CONFIG", "REDIS"),
    row("release", "RELEASE#<organization>#<version>", "META"),
    row("release's id", "RELEASE_ID#<release>", "RELEASE"),
    row("what is left of a release", "RELEASE_ID#<release>", "LEFT"),
    row(
        "release's place in its organization's list",
        "ORG#<organization>",
        "RELEASE#<milliseconds>#<release>",
    ),
    row(
        "release's place in a project's list",
        "PROJECT#<project>",
        "RELEASE#<milliseconds>#<release>",
    ),
    row(
        "a project's activity about a release",
        "PROJECT#<project>",
        "ACT#release#<release>",
    ),
    row(
        "a project's activity about a deploy",
        "PROJECT#<project>",
        "ACT#deploy#<deploy>",
    ),
    row(
        "page of a release's commits",
        "RELEASE_ID#<release>",
        "COMMITS#<generation>#<page>",
    ),
    row("deploy", "RELEASE_ID#<release>", "DEPLOY#<deploy>"),
    row(
        "last deploy to an environment",
        "RELEASE_ID#<release>",
        "LAST_DEPLOY#<project>#<environment>",
    ),
    row(
        "group that was first seen in a release",
        "RELEASE_ID#<release>",
        "FIRST_SEEN#<group>",
    ),
    row("environment", "ORG#<organization>", "ENVIRONMENT#<name>"),
    row("repository", "REPOSITORY#<repository>", "META"),
    row(
        "repository's name",
        "ORG#<organization>",
        "REPOSITORY#<name>",
    ),
    row(
        "trouble with fetching a repository's commits",
        "REPOSITORY#<repository>",
        "FETCH_TROUBLE",
    ),
    row(
        "what of a repository is deployed",
        "REPOSITORY#<repository>",
        "DEPLOYED#<environment>",
    ),
    row("commit", "COMMIT#<repository>#<sha>", "META"),
    row(
        "pull request",
        "REPOSITORY#<repository>",
        "PULL_REQUEST#<key>",
    ),
    row("commit author", "ORG#<organization>", "AUTHOR#<address>"),
    row(
        "mail to a recipient",
        "MAIL#<organization>#<mail>",
        "TO#<user>",
    ),
    row(
        "first mail of a thread",
        "MAIL_THREAD#<thread>",
        "TO#<user>",
    ),
];

/// Every kind of item in the index.
pub const INDEX_CHART: [ChartRow; 1] = [row(
    "group",
    "PROJECT#<project>",
    "<last seen milliseconds>#<group>",
)];

/// The key that an item has in the index, as attributes of the item.
#[derive(Debug, Serialize)]
pub(crate) struct IndexKey {
    #[serde(rename = "GSI1PK")]
    pub(crate) pk: String,
    #[serde(rename = "GSI1SK")]
    pub(crate) sk: String,
}

pub(crate) fn group_by_last_seen(
    project: ProjectId,
    last_seen: Timestamp,
    group: GroupId,
) -> IndexKey {
    IndexKey {
        pk: groups_of_project(project),
        sk: format!("{}#{group}", group_last_seen(last_seen)),
    }
}

pub(crate) fn groups_of_project(project: ProjectId) -> String {
    format!("PROJECT#{project}")
}

pub(crate) fn group_last_seen(at: Timestamp) -> String {
    format!("{:013}", at.millis())
}

pub(crate) fn organization(id: OrganizationId) -> Key {
    Key::new(format!("ORG#{id}"), "META")
}

pub(crate) fn organization_slug(slug: &Slug) -> Key {
    Key::new(format!("ORG_SLUG#{slug}"), "ORG")
}

pub(crate) fn organization_settings(id: OrganizationId) -> Key {
    Key::new(format!("ORG#{id}"), "SETTINGS")
}

pub(crate) const FORMER_ORGANIZATION_SLUGS: &str = "FORMER_ORG_SLUG#";

pub(crate) fn former_organization_slug(slug: &Slug) -> Key {
    Key::new(format!("{FORMER_ORGANIZATION_SLUGS}{slug}"), "ORG")
}

/// The former slugs of an organization, which an item elsewhere leads from.
pub(crate) fn former_slug_of_organization(id: OrganizationId, slug: &Slug) -> Key {
    let sk = format!("{FORMER_ORGANIZATION_SLUGS}{slug}");
    Key::new(format!("ORG#{id}"), sk)
}

pub(crate) const PICTURES: &str = "AVATAR#";

/// The pictures of an organization, shown or not: nothing else leads to their pieces once they are not shown.
pub(crate) fn organization_picture(organization: OrganizationId, picture: PictureId) -> Key {
    let sk = format!("{PICTURES}{picture}");
    Key::new(format!("ORG#{organization}"), sk)
}

pub(crate) const PIECES: &str = "PIECE#";

/// The piece of a picture with this number, counted from 0.
pub(crate) fn picture_piece(picture: PictureId, piece: usize) -> Key {
    let sk = format!("{PIECES}{piece:02}");
    Key::new(format!("{PICTURES}{picture}"), sk)
}

pub(crate) fn team(id: TeamId) -> Key {
    Key::new(format!("TEAM#{id}"), "META")
}

pub(crate) const TEAM_SLUGS: &str = "TEAM_SLUG#";

pub(crate) fn team_slug(organization: OrganizationId, slug: &Slug) -> Key {
    Key::new(format!("ORG#{organization}"), format!("{TEAM_SLUGS}{slug}"))
}

pub(crate) const MEMBERS: &str = "MEMBER#";

pub(crate) fn member(organization: OrganizationId, user: UserId) -> Key {
    Key::new(format!("ORG#{organization}"), format!("{MEMBERS}{user}"))
}

pub(crate) fn member_id(id: MemberId) -> Key {
    Key::new(format!("MEMBER_ID#{id}"), "MEMBER")
}

pub(crate) const PROJECT_SLUGS: &str = "PROJECT_SLUG#";

pub(crate) fn project_slug(organization: OrganizationId, slug: &Slug) -> Key {
    Key::new(
        format!("ORG#{organization}"),
        format!("{PROJECT_SLUGS}{slug}"),
    )
}

/// The projects of a team, each under its slug.
pub(crate) fn team_project(team: TeamId, slug: &Slug) -> Key {
    Key::new(format!("TEAM#{team}"), format!("{PROJECT_SLUGS}{slug}"))
}

pub(crate) fn former_project_slug(organization: OrganizationId, slug: &Slug) -> Key {
    Key::new(format!("ORG#{organization}"), format!("FORMER_SLUG#{slug}"))
}

pub(crate) const FORMER_SLUGS: &str = "FORMER_SLUG#";

/// The former slugs of a project, which an item elsewhere leads from.
pub(crate) fn former_slug_of(project: ProjectId, slug: &Slug) -> Key {
    let sk = format!("{FORMER_SLUGS}{slug}");
    Key::new(format!("PROJECT#{project}"), sk)
}

pub(crate) const AUDIT_ENTRIES: &str = "AUDIT#";

pub(crate) fn audit_entry(entry: &AuditEntry) -> Key {
    let sk = format!("{AUDIT_ENTRIES}{:013}#{}", entry.at.millis(), entry.id);
    Key::new(format!("ORG#{}", entry.organization), sk)
}

pub(crate) const SHORT_IDS: &str = "SHORT_ID#";

/// With its project, so that one of the same slug has short ids of its own. They list its groups.
pub(crate) fn short_id(project: ProjectId, id: &ShortId) -> Key {
    let sk = format!("{SHORT_IDS}{}", id.number());
    Key::new(format!("PROJECT#{project}"), sk)
}

pub(crate) fn user(id: UserId) -> Key {
    Key::new(format!("USER#{id}"), "META")
}

pub(crate) const USER_ORGANIZATIONS: &str = "ORG#";

pub(crate) fn user_organization(user: UserId, organization: OrganizationId) -> Key {
    Key::new(
        format!("USER#{user}"),
        format!("{USER_ORGANIZATIONS}{organization}"),
    )
}

pub(crate) fn email_owner(email: &Email) -> Key {
    Key::new(format!("EMAIL#{email}"), "PRIMARY")
}

pub(crate) const EMAIL_USERS: &str = "USER#";

pub(crate) fn email_user(email: &Email, user: UserId) -> Key {
    Key::new(format!("EMAIL#{email}"), format!("{EMAIL_USERS}{user}"))
}

/// Where those with a username are. Usernames are compared without regard to case.
pub(crate) fn users_named(username: &str) -> String {
    format!("USERNAME#{}", username.to_lowercase())
}

pub(crate) const USERNAME_USERS: &str = "USER#";

pub(crate) fn username(username: &str, user: UserId) -> Key {
    Key::new(users_named(username), format!("{USERNAME_USERS}{user}"))
}

pub(crate) fn token(hash: &TokenHash) -> Key {
    Key::new(format!("TOKEN#{}", hash.as_str()), "META")
}

pub(crate) const TOKEN_NAMES: &str = "TOKEN#";

pub(crate) fn token_name(owner: TokenOwner, name: &str) -> Key {
    let pk = match owner {
        TokenOwner::User(id) => format!("USER#{id}"),
        TokenOwner::Organization(id) => format!("ORG#{id}"),
    };
    Key::new(pk, format!("{TOKEN_NAMES}{name}"))
}

pub(crate) const NOTIFICATIONS: &str = "NOTIFICATION#";

pub(crate) fn notifications_of(kind: NotificationType) -> String {
    format!("{NOTIFICATIONS}{}#", kind.as_str())
}

pub(crate) fn user_notification(user: UserId, id: NotificationId) -> Key {
    let sk = format!("{}{}", notifications_of(id.kind), id.scope);
    Key::new(format!("USER#{user}"), sk)
}

/// The same setting beside what it is about; `None` for one that is about all that the user sees.
pub(crate) fn scope_notification(user: UserId, id: NotificationId) -> Option<Key> {
    let pk = match id.scope {
        NotificationScope::User => return None,
        NotificationScope::Organization(id) => format!("ORG#{id}"),
        NotificationScope::Project(id) => format!("PROJECT#{id}"),
    };
    let sk = format!("{}USER#{user}", notifications_of(id.kind));
    Some(Key::new(pk, sk))
}

pub(crate) fn project(id: ProjectId) -> Key {
    Key::new(format!("PROJECT#{id}"), "META")
}

pub(crate) fn project_counters(id: ProjectId) -> Key {
    Key::new(format!("PROJECT#{id}"), "COUNTER")
}

pub(crate) const CLIENT_KEYS: &str = "KEY#";

pub(crate) fn client_key(project: ProjectId, key: &PublicKey) -> Key {
    Key::new(format!("PROJECT#{project}"), format!("{CLIENT_KEYS}{key}"))
}

pub(crate) fn client_key_project(key: &PublicKey) -> Key {
    Key::new(format!("CLIENT_KEY#{key}"), "PROJECT")
}

pub(crate) const ALERT_RULES: &str = "RULE#";

pub(crate) fn alert_rule(project: ProjectId, id: AlertRuleId) -> Key {
    Key::new(format!("PROJECT#{project}"), format!("{ALERT_RULES}{id}"))
}

pub(crate) const FINGERPRINTS: &str = "HASH#";

pub(crate) fn fingerprint(project: ProjectId, sha256: &str) -> Key {
    let sk = format!("{FINGERPRINTS}{sha256}");
    Key::new(format!("PROJECT#{project}"), sk)
}

pub(crate) const DELETIONS: &str = "DELETION#";

pub(crate) fn deletion(of: DeletionRef) -> Key {
    let sk = match of.project {
        Some(project) => format!("{DELETIONS}{project}"),
        None => "DELETION".to_owned(),
    };
    Key::new(format!("ORG#{}", of.organization), sk)
}

pub(crate) const UNFINISHED_DELETIONS: &str = "DELETIONS";

/// Few at any time, and so one list of all organizations: it is how those that are stuck are found.
pub(crate) fn unfinished_deletion(of: DeletionRef) -> Key {
    let sk = match of.project {
        Some(project) => format!("PROJECT#{project}"),
        None => format!("ORG#{}", of.organization),
    };
    Key::new(UNFINISHED_DELETIONS.into(), sk)
}

pub(crate) fn integration(id: IntegrationId) -> Key {
    Key::new(format!("INTEGRATION#{id}"), "META")
}

pub(crate) const ATTACHED_ORGANIZATIONS: &str = "ORG#";

pub(crate) fn attached_organization(
    integration: IntegrationId,
    organization: OrganizationId,
) -> Key {
    Key::new(
        format!("INTEGRATION#{integration}"),
        format!("{ATTACHED_ORGANIZATIONS}{organization}"),
    )
}

pub(crate) const ORGANIZATION_INTEGRATIONS: &str = "INTEGRATION#";

/// The integrations of an organization, each of which knows the organization as well.
pub(crate) fn organization_integration(
    organization: OrganizationId,
    integration: IntegrationId,
) -> Key {
    let sk = format!("{ORGANIZATION_INTEGRATIONS}{integration}");
    Key::new(format!("ORG#{organization}"), sk)
}

pub(crate) fn identity(integration: IntegrationId, organization: OrganizationId) -> Key {
    Key::new(
        format!("INTEGRATION#{integration}"),
        format!("IDENTITY#{organization}"),
    )
}

pub(crate) fn tracker_pause(integration: IntegrationId, organization: OrganizationId) -> Key {
    Key::new(
        format!("INTEGRATION#{integration}"),
        format!("PAUSE#{organization}"),
    )
}

pub(crate) fn integration_key(provider: Provider, external_id: &str) -> Key {
    Key::new(
        format!("INTEGRATION_KEY#{provider}#{external_id}"),
        "INTEGRATION",
    )
}

pub(crate) const EXTERNAL_GROUPS: &str = "GROUP#";

pub(crate) fn external_group(
    organization: OrganizationId,
    integration: IntegrationId,
    issue: &ExternalKey,
    group: GroupId,
) -> Key {
    Key::new(
        external_issue(Some(organization), integration, issue),
        format!("{EXTERNAL_GROUPS}{group}"),
    )
}

/// The partition of a tracker's issue, for each organization that it serves; one for none.
pub(crate) fn external_issue(
    organization: Option<OrganizationId>,
    integration: IntegrationId,
    issue: &ExternalKey,
) -> String {
    let organization = organization.map_or_else(|| "none".to_owned(), |id| id.to_string());
    format!("EXTERNAL#{organization}#{integration}#{issue}")
}

pub(crate) fn delivery(id: MessageId) -> Key {
    Key::new(format!("DELIVERY#{id}"), META)
}

pub(crate) const SYNC_RECORDS: &str = "SYNC#";

/// Everything that ended because of this cause or of a later one.
pub(crate) fn sync_records_since(cause: MessageId) -> (String, String) {
    // A tilde follows every character of an id.
    (format!("{SYNC_RECORDS}{cause}"), format!("{SYNC_RECORDS}~"))
}

/// An end of what a delivery set off; for a tracker that was to be told of it, with the link.
pub(crate) fn sync_of_group(
    group: GroupId,
    cause: MessageId,
    facet: Facet,
    told: Option<&Link>,
) -> Key {
    let sk = match told {
        None => format!("{SYNC_RECORDS}{cause}#{}#in", facet.as_str()),
        Some(link) => format!("{SYNC_RECORDS}{cause}#{}#out#{link}", facet.as_str()),
    };
    Key::new(format!("GROUP#{group}"), sk)
}

/// The same where no group came into it, or none is there any more.
pub(crate) fn sync_of_issue(
    organization: Option<OrganizationId>,
    link: &Link,
    cause: MessageId,
    facet: Facet,
    told: bool,
) -> Key {
    let way = if told { "out" } else { "in" };
    let sk = format!("{SYNC_RECORDS}{cause}#{}#{way}", facet.as_str());
    let (integration, issue) = (link.integration, &link.external_issue);
    Key::new(external_issue(organization, integration, issue), sk)
}

const META: &str = "META";
const STATE: &str = "STATE";

/// What shows a group lies side by side: META, the STAT shards and STATE are one query.
pub(crate) const GROUP_VIEW: (&str, &str) = (META, STATE);

pub(crate) const GROUPS: &str = "GROUP#";

pub(crate) fn group_meta(id: GroupId) -> Key {
    Key::new(format!("{GROUPS}{id}"), META)
}

/// The group that an item of its partition belongs to.
pub(crate) fn group_of(key: &Key) -> Option<GroupId> {
    key.pk.strip_prefix("GROUP#")?.parse().ok()
}

pub(crate) fn group_state(id: GroupId) -> Key {
    Key::new(format!("GROUP#{id}"), STATE)
}

pub(crate) fn group_stat(id: GroupId, shard: u8) -> Key {
    Key::new(format!("GROUP#{id}"), format!("STAT#{shard}"))
}

pub(crate) const GROUP_LINKS: &str = "LINK#";

pub(crate) fn group_link(group: GroupId, integration: IntegrationId, issue: &ExternalKey) -> Key {
    Key::new(
        format!("GROUP#{group}"),
        format!("{GROUP_LINKS}{integration}#{issue}"),
    )
}

pub(crate) const ACTIVITIES: &str = "ACT#";

pub(crate) fn activity(group: GroupId, activity: &Activity) -> Key {
    let sk = format!("{ACTIVITIES}{:013}#{}", activity.at.millis(), activity.id);
    Key::new(format!("GROUP#{group}"), sk)
}

pub(crate) fn subscription(group: GroupId, actor: Actor, reason: SubscriptionReason) -> Key {
    let sk = format!("{SUBSCRIPTIONS}{actor}#{}", reason.as_str());
    Key::new(format!("GROUP#{group}"), sk)
}

pub(crate) const SUBSCRIPTIONS: &str = "SUB#";

/// Who hears by this item, and why.
pub(crate) fn subscriber(key: &Key) -> Option<(Actor, SubscriptionReason)> {
    let (actor, reason) = key.sk.strip_prefix(SUBSCRIPTIONS)?.rsplit_once('#')?;
    let actor = Actor::try_from(actor.to_owned()).ok()?;
    Some((actor, reason.parse().ok()?))
}

pub(crate) fn subscription_choice(group: GroupId, user: UserId) -> Key {
    Key::new(format!("GROUP#{group}"), format!("{CHOICES}{user}"))
}

pub(crate) const CHOICES: &str = "CHOICE#";

/// Who chose.
pub(crate) fn chooser(key: &Key) -> Option<UserId> {
    key.sk.strip_prefix(CHOICES)?.parse().ok()
}

/// What was done by a release for what referred to the group.
pub(crate) fn resolved_by(group: GroupId, release: ReleaseId, change: &CodeChange) -> Key {
    let sk = format!("DONE#{release}#{change}");
    Key::new(format!("GROUP#{group}"), sk)
}

pub(crate) const PENDING_RESOLUTIONS: &str = "PENDING_RESOLUTION#";

/// The groups of a project that its next release resolves.
pub(crate) fn pending_resolution(project: ProjectId, group: GroupId) -> Key {
    let sk = format!("{PENDING_RESOLUTIONS}{group}");
    Key::new(format!("PROJECT#{project}"), sk)
}

pub(crate) fn outbox(message: MessageId, due: Timestamp) -> Key {
    let shard = message.shard(OUTBOX_SHARDS);
    Key::new(
        outbox_shard(shard),
        format!("{}#{message}", outbox_due(due)),
    )
}

pub(crate) fn outbox_shard(shard: u8) -> String {
    format!("OUT#{shard}")
}

pub(crate) fn outbox_due(due: Timestamp) -> String {
    format!("{:013}", due.millis())
}

/// The schedule of a shard lies before its updates.
pub(crate) const UPDATES: (&str, &str) = ("DUE", "UPDATE$");

pub(crate) fn update_schedule(shard: UpdateShard) -> Key {
    Key::new(format!("UPDATES#{shard}"), "DUE")
}

pub(crate) fn update(update: &Update) -> Key {
    let Update::Organization { category, .. } = update;
    Key::new(
        update_schedule(update.shard()).pk,
        format!("UPDATE#{category}"),
    )
}

pub(crate) fn tombstone(category: OrganizationCategory) -> Key {
    Key::new(format!("TOMBSTONE#{category}"), META)
}

pub(crate) fn cache_endpoint() -> Key {
    Key::new("CONFIG".into(), "REDIS")
}

pub(crate) fn release(organization: OrganizationId, version: &Version) -> Key {
    Key::new(format!("RELEASE#{organization}#{version}"), META)
}

/// What belongs to a release lies under its id, which leads to the release as well.
pub(crate) fn release_id(id: ReleaseId) -> Key {
    Key::new(format!("RELEASE_ID#{id}"), "RELEASE")
}

/// What of a deleted release has still to go.
pub(crate) fn left_of_release(id: ReleaseId) -> Key {
    Key::new(release_id(id).pk, "LEFT")
}

pub(crate) const ORGANIZATION_RELEASES: &str = "RELEASE#";

pub(crate) fn organization_release(release: &Release) -> Key {
    let sk = release_place(release.created, release.id);
    Key::new(format!("ORG#{}", release.organization), sk)
}

pub(crate) const PROJECT_RELEASES: &str = "RELEASE#";

pub(crate) fn project_release(project: ProjectId, release: &Release) -> Key {
    release_in_project(project, release.date(), release.id)
}

pub(crate) fn release_in_project(project: ProjectId, date: Timestamp, id: ReleaseId) -> Key {
    Key::new(format!("PROJECT#{project}"), release_place(date, id))
}

/// Milliseconds from the year 1 to here: a release may bear any date, and numbers below zero do not sort.
const YEAR_ONE: i64 = -62_135_596_800_000;

fn release_place(at: Timestamp, id: ReleaseId) -> String {
    format!("RELEASE#{:015}#{id}", at.millis() - YEAR_ONE)
}

pub(crate) fn release_activity(project: ProjectId, release: ReleaseId) -> Key {
    let sk = format!("{ACTIVITIES}release#{release}");
    Key::new(format!("PROJECT#{project}"), sk)
}

pub(crate) fn deploy_activity(project: ProjectId, deploy: DeployId) -> Key {
    let sk = format!("{ACTIVITIES}deploy#{deploy}");
    Key::new(format!("PROJECT#{project}"), sk)
}

pub(crate) const COMMIT_PAGES: &str = "COMMITS#";

pub(crate) fn commit_page(release: ReleaseId, generation: Generation, page: usize) -> Key {
    let sk = format!("{COMMIT_PAGES}{generation}#{page:04}");
    Key::new(format!("RELEASE_ID#{release}"), sk)
}

/// The generation that a page belongs to; `None` for a key of something else.
pub(crate) fn generation_of(page: &Key) -> Option<Generation> {
    let (generation, _) = page.sk.strip_prefix(COMMIT_PAGES)?.split_once('#')?;
    generation.parse().ok()
}

pub(crate) const DEPLOYS: &str = "DEPLOY#";

pub(crate) fn deploy(release: ReleaseId, deploy: DeployId) -> Key {
    Key::new(
        format!("RELEASE_ID#{release}"),
        format!("{DEPLOYS}{deploy}"),
    )
}

pub(crate) const LAST_DEPLOYS: &str = "LAST_DEPLOY#";

pub(crate) fn last_deploys_of(project: ProjectId) -> String {
    format!("{LAST_DEPLOYS}{project}#")
}

pub(crate) fn last_deploy(
    release: ReleaseId,
    project: ProjectId,
    environment: &EnvironmentName,
) -> Key {
    let sk = format!("{}{environment}", last_deploys_of(project));
    Key::new(format!("RELEASE_ID#{release}"), sk)
}

pub(crate) const FIRST_SEEN: &str = "FIRST_SEEN#";

/// The groups that hold a release.
pub(crate) fn first_seen(release: ReleaseId, group: GroupId) -> Key {
    Key::new(
        format!("RELEASE_ID#{release}"),
        format!("{FIRST_SEEN}{group}"),
    )
}

pub(crate) const ENVIRONMENTS: &str = "ENVIRONMENT#";

pub(crate) fn environment(organization: OrganizationId, name: &EnvironmentName) -> Key {
    let sk = format!("{ENVIRONMENTS}{name}");
    Key::new(format!("ORG#{organization}"), sk)
}

pub(crate) fn repository(id: RepositoryId) -> Key {
    Key::new(format!("REPOSITORY#{id}"), META)
}

pub(crate) fn fetch_trouble(repository: RepositoryId) -> Key {
    Key::new(format!("REPOSITORY#{repository}"), "FETCH_TROUBLE")
}

pub(crate) fn deployed_commit(repository: RepositoryId, environment: &EnvironmentName) -> Key {
    let sk = format!("DEPLOYED#{environment}");
    Key::new(format!("REPOSITORY#{repository}"), sk)
}

pub(crate) const REPOSITORY_NAMES: &str = "REPOSITORY#";

pub(crate) fn repository_name(organization: OrganizationId, name: &RepositoryName) -> Key {
    let sk = format!("{REPOSITORY_NAMES}{}", name.folded());
    Key::new(format!("ORG#{organization}"), sk)
}

pub(crate) fn commit(commit: &CommitRef) -> Key {
    let CommitRef { repository, sha } = commit;
    Key::new(format!("COMMIT#{repository}#{sha}"), META)
}

pub(crate) const COMMIT_AUTHORS: &str = "AUTHOR#";
/// The row of what refers to groups.
pub(crate) fn code_change(change: &CodeChange) -> Key {
    match change {
        CodeChange::Commit(reference) => commit(reference),
        CodeChange::PullRequest(reference) => pull_request(reference),
    }
}

pub(crate) fn pull_request(pull_request: &PullRequestRef) -> Key {
    let PullRequestRef { repository, key } = pull_request;
    let sk = format!("PULL_REQUEST#{key}");
    Key::new(format!("REPOSITORY#{repository}"), sk)
}

pub(crate) fn commit_author(organization: OrganizationId, email: &str) -> Key {
    let sk = format!("{COMMIT_AUTHORS}{email}");
    Key::new(format!("ORG#{organization}"), sk)
}

pub(crate) fn mail(organization: OrganizationId, key: &MailKey, user: UserId) -> Key {
    Key::new(format!("MAIL#{organization}#{key}"), format!("TO#{user}"))
}

pub(crate) fn mail_thread(thread: MailThread, user: UserId) -> Key {
    Key::new(format!("MAIL_THREAD#{thread}"), format!("TO#{user}"))
}
