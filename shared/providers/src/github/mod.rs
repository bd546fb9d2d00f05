//! GitHub and GitHub Enterprise, whose provider key is `github`.

pub mod client;
