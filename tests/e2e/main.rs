//! What the bundle does, seen from outside.

mod api;
mod assignee;
mod client_keys;
mod connections;
mod convergence;
mod costs;
mod events;
mod failures;
mod issue_update;
mod operator;
mod ordering;
mod outbound;
mod owner_caches;
mod project_deletion;
mod projects;
mod roles;
mod snowflakes;
mod sync_trail;
mod table;
mod teams;
mod trackers;
mod updates;
mod webhook;
