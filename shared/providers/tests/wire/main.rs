//! What goes over the wire to trackers, and what every kind of answer becomes.

mod github;
mod jira_server;
mod outside;
mod server;
mod tokens;
mod vsts;
mod vsts_commits;
