//! The DynamoDB table, and the sequences and caches in Redis: the only crate that knows either.
//!
//! Reads that drive an effect are consistent reads of base-table items; writes that belong together
//! are one transaction, which also carries the messages that follow from them. What the items look
//! like is in `keys`; docs/table.md lists who asks for them.

mod audit;
#[cfg(feature = "redis")]
mod cache;
mod cache_endpoint;
mod change;
mod client_keys;
mod commits;
mod conflict;
mod deletion_rows;
mod deletions;
mod deploys;
mod error;
mod fetches;
mod groups;
mod hash;
mod heads;
mod identities;
mod integrations;
mod keys;
mod mails;
mod mentions;
mod notifications;
mod organizations;
mod outbound;
mod outbox;
#[cfg(feature = "redis")]
mod owner_caches;
mod pictures;
mod projects;
mod pull_requests;
mod release_deletion;
mod releases;
mod repositories;
mod secrets;
#[cfg(feature = "redis")]
mod sequences;
mod subscriptions;
mod sync_trail;
mod table;
mod tokens;
mod transaction;
mod updates;
mod users;

pub use audit::AuditFilter;
#[cfg(feature = "redis")]
pub use cache::{Redis, RedisUrlError};
pub use cache_endpoint::{CacheEndpoint, KnownCacheEndpoint};
pub use change::Changed;
pub use commits::CommitView;
pub use deletion_rows::{Budget, PROJECTS_STAGE, deletion_stages};
pub use deletions::{Deleting, NewDeletion, Undone};
pub use error::StoreError;
pub use fetches::{DeployedCommit, FetchEnding, FetchTrouble, FetchWork, ToldOf};
pub use groups::{
    Assignables, GroupView, GroupsCursor, GroupsSeen, Linked, LinkedGroup, MOST_LINKS, NewGroup,
};
pub use hash::TokenHash;
pub use heads::NewFetches;
pub use identities::{KnownIdentity, RenewalError};
pub use integrations::{IntegrationWithSecret, NewIntegration};
pub use keys::{CHART, ChartRow, INDEX_CHART, Key, OUTBOX_SHARDS, PARTITION_KEY, SORT_KEY};
pub use mails::{MailProgress, MailTo};
pub use mentions::Step;
pub use outbound::{Ending, Outbound};
pub use outbox::{OutboxItem, Waiting, outbox_due_at};
#[cfg(feature = "redis")]
pub use owner_caches::{NotCleared, OwnerCache, OwnerCaches};
pub use pictures::StoredPicture;
pub use release_deletion::DeletedRelease;
pub use releases::{Order, ReleaseDetails, ReleaseFilter};
pub use secrets::{KeyRing, KeyRingError};
#[cfg(feature = "redis")]
pub use sequences::{SequenceError, Sequences};
pub use sync_trail::{Cause, LinkedIssue};
pub use table::{Created, Insert, Page, Store};
pub use updates::WaitingShard;
pub use users::{KnownAddress, NewMember, Removed, UserFields};
