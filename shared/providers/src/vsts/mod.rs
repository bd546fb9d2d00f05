//! Azure DevOps, whose provider key is `vsts`.

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "client")]
pub mod commits;
#[cfg(feature = "client")]
pub mod tokens;
pub mod webhook;
