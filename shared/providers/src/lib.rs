//! The trackers and services that Picket talks to, one directory per provider, all of the same shape:
//! `webhook` turns a delivery's bytes into facts or a refusal, `client` calls the tracker. Nothing behind
//! them sees a provider's JSON.
//!
//! What calls out is behind the feature `client`: a function that only reads deliveries does not link it.

#[cfg(feature = "client")]
mod commits;
#[cfg(feature = "client")]
mod error;
#[cfg(feature = "client")]
pub mod github;
#[cfg(feature = "client")]
mod guard;
#[cfg(feature = "client")]
mod http;
#[cfg(feature = "client")]
pub mod jira_server;
pub mod vsts;

#[cfg(feature = "client")]
pub use crate::commits::HostedCommit;
#[cfg(feature = "client")]
pub use crate::error::{CallError, Remedy};
#[cfg(feature = "client")]
pub use crate::http::{InvalidConfig, Limits, Outside, OutsideConfig};
