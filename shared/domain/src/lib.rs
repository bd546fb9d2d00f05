//! The rules and types of Picket: ids, entities, decisions, messages, faults.
//!
//! Pure on purpose: no I/O, no clock, no randomness, no async. Whatever a rule needs to know about
//! the world is an argument, so every decision can be tested with a value and replayed from a log.

mod activity;
mod assignment;
mod fault;
mod group;
mod ids;
mod message;
mod organization;
mod outbound;
mod outcome;
mod owner_caches;
mod secret;
mod snowflake;
mod status;
mod subscription;
mod time;
mod token;
mod tracker;

pub use activity::{Activity, ActivityKind};
pub use assignment::{
    AssigneeWrite, Assignment, Decision, Existing, GroupWrite, PositionGuard, assign,
    clear_assignee, deassign, unassign,
};
pub use fault::{ClientFault, Fault, FieldErrors};
pub use group::{
    Actor, Group, GroupState, GroupStats, GroupStatus, Level, Position, PositionKey, ShortId,
    Substatus,
};
pub use ids::{
    ActivityId, GroupId, IntegrationId, InvalidId, MemberId, MessageId, OrganizationId, ProjectId,
    TeamId, UserId,
};
pub use message::{
    Deassign, Envelope, GroupCursor, Message, MessageTooLarge, Queue, SyncIssue, TraceId,
};
pub use organization::{
    Email, Feature, Member, Organization, Project, Role, Slug, Team, User, names,
};
pub use outbound::{
    Failing, Lease, Link, LinkState, Push, PushAssignee, Sent, Settled, Told, TrackerAssignee,
    echo, push, settle,
};
pub use outcome::{AssigneeMove, Direction, Outcome, Reason, Rule, SyncRecord};
pub use owner_caches::{ClearOwnerCaches, leaves_caches_stale};
pub use secret::Secret;
pub use snowflake::{Snowflake, SnowflakeError, SnowflakeModel};
pub use status::{StatusWish, set_status};
pub use subscription::{SubscriptionReason, SubscriptionWrite};
pub use time::Timestamp;
pub use token::{Scope, Token, TokenOwner};
pub use tracker::{
    ApiOrigin, AssigneeChange, AttachedOrganization, ExternalKey, Facet, Identity, Integration,
    IntegrationStatus, JiraServerIdentity, Origin, Provider, StatusChange, SyncSwitches,
    TrackerOrigin, VstsIdentity,
};
