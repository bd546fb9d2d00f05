//! What the bundle does, seen from outside.

mod api;
mod assignee;
mod events;
mod failures;
mod operator;
mod ordering;
mod snowflakes;
mod table;
mod webhook;
