//! The rules and types of Picket: ids, entities, decisions, messages, faults.
//!
//! Pure on purpose: no I/O, no clock, no randomness, no async. Whatever a rule needs to know about
//! the world is an argument, so every decision can be tested with a value and replayed from a log.

mod activity;
mod alert_rule;
mod assignment;
mod audit;
mod client_key;
mod deletion;
mod fault;
mod group;
mod ids;
mod mail;
mod mention;
mod message;
mod notification;
mod organization;
mod outbound;
mod outcome;
mod owner_caches;
mod picture;
mod platform;
mod project;
mod reference;
mod release;
mod secret;
mod settings;
mod slugs;
mod snowflake;
mod status;
mod subscription;
mod time;
mod token;
mod tracker;
mod update;

pub use activity::{Activity, ActivityKind};
pub use alert_rule::{AlertAction, AlertCondition, AlertRule};
pub use assignment::{
    AssigneeWrite, Assignment, Decision, Existing, GroupWrite, PositionGuard, assign,
    clear_assignee, deassign, unassign,
};
pub use audit::{
    AuditActor, AuditEntry, AuditEvent, KeyFacts, MemberFacts, MemberTeam, OrganizationFacts,
    ProjectEdit, ProjectFacts, ProjectRemoval, TeamFacts,
};
pub use client_key::{ClientKey, ClientKeyUpdate, PublicKey, RateLimit};
pub use deletion::{DeletedRows, Deletion, DeletionRef, DeletionStatus, Next, QUIET};
pub use fault::{ClientFault, Fault, FieldError, FieldErrors};
pub use group::{
    Actor, Group, GroupState, GroupStats, GroupStatus, InboxReason, Level, Position, PositionKey,
    ShortId, Substatus,
};
pub use ids::{
    ActivityId, AlertRuleId, AuditEntryId, DeployId, GroupId, IntegrationId, InvalidId, MemberId,
    MessageId, OrganizationId, ProjectId, ReleaseId, RepositoryId, TeamId, UserId,
};
pub use mail::{
    IdentityUse, MOST_RECIPIENTS, Mail, MailFailure, MailKey, MailState, MailThread, NotifyDeploy,
    Recipients, SendEmail, Sending, sending,
};
pub use mention::{LinkStep, Mention, refer, resolve_in_release, settle_resolution, unrefer};
pub use message::{
    ClearExpiredResolutions, Deassign, DeleteOrganization, DeleteProject, DeleteRelease,
    DrainUpdates, Envelope, FetchCommits, FetchStep, GroupCursor, LinkGroups, Message,
    MessageTooLarge, Queue, RecordDeploys, ResolveGroups, SweepDeletions, SyncIssue, TraceId,
};
pub use notification::{
    MOST_NOTIFICATION_SETTINGS, NotificationId, NotificationScope, NotificationScopeType,
    NotificationSetting, NotificationSettings, NotificationType, NotificationValue,
};
pub use organization::{
    Email, Feature, Member, Organization, OrganizationFlags, OrganizationStatus, ResolveCommitsOn,
    Role, Slug, Team, TeamUpdate, User, names,
};
pub use outbound::{
    FacetState, Failing, Lease, Link, LinkState, Push, Sent, Settled, Told, TrackerAssignee,
    TrackerPush, TrackerStatus, TrackerValue, echo, push, settle,
};
pub use outcome::{Direction, FacetMove, Outcome, Reason, Rule, SyncRecord};
pub use owner_caches::{ClearOwnerCaches, leaves_caches_stale};
pub use picture::{AvatarType, Picture, PictureId, PictureKind};
pub use platform::{INVALID_PLATFORM, is_platform};
pub use project::{InboundFilter, NewProject, Project, ProjectFlags, ProjectStatus, ProjectUpdate};
pub use reference::{MOST_REFERENCES, references};
pub use release::{
    CodeChange, Commit, CommitAuthor, CommitFields, CommitList, CommitRef, CommitWrite, Deploy,
    EnvironmentName, Fetch, FetchAnswer, FetchCause, FetchEnd, FetchStart, FileChange, Generation,
    GivenAuthor, GivenCommit, InvalidQuery, InvalidVersion, ListedCommit, Listing, MOST_AUTHORS,
    PullRequest, PullRequestRef, Readiness, Ref, Release, ReleaseQuery, ReleaseStatus, Repository,
    RepositoryList, RepositoryName, RepositoryProvider, Semver, Version, end_fetch, write_author,
    write_commit,
};
pub use secret::Secret;
pub use settings::{
    GivenRelay, OptionKind, OptionValue, OrganizationChange, OrganizationFlag, OrganizationOption,
    OrganizationSettings, OrganizationUpdate, RESERVED_ORGANIZATION_SLUGS, TrustedRelay,
    is_rule_document, is_selector, organization_slug,
};
pub use slugs::{RESERVED_PROJECT_SLUGS, SlugRandom, slug_candidates};
pub use snowflake::{Region, Snowflake, SnowflakeError, SnowflakeId, SnowflakeModel};
pub use status::{Resolution, StatusWish, StatusWrite, set_status};
pub use subscription::{
    Subscribers, Subscription, SubscriptionReason, SubscriptionWrite, TeamHearing,
};
pub use time::Timestamp;
pub use token::{Scope, Token, TokenOwner};
pub use tracker::{
    ApiOrigin, AssigneeChange, AttachedOrganization, CodeOrigin, ExternalKey, Facet,
    GithubIdentity, Identity, Integration, IntegrationStatus, JiraServerIdentity, Origin, Provider,
    StatusChange, SyncSwitches, TrackerOrigin, TrackerStates, VstsIdentity,
};
pub use update::{OrganizationCategory, Update, UpdateSchedule, UpdateShard, WaitingUpdate};
