//! What the bundle does, seen from outside.

mod api;
mod assignee;
mod clients;
mod commits;
mod connections;
mod convergence;
mod costs;
mod deploys;
mod events;
mod failures;
mod issue_update;
mod list_costs;
mod operator;
mod ordering;
mod outbound;
mod releases;
mod roles;
mod snowflakes;
mod sync_trail;
mod table;
mod trackers;
mod webhook;
