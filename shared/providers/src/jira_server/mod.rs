//! Jira Server and Data Center, whose provider key is `jira_server`.

pub mod client;
pub mod oauth;
