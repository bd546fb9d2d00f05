//! Azure DevOps, whose provider key is `vsts`.

pub mod webhook;
