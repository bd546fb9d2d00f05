//! The trackers and services that Picket talks to, one directory per provider, all of the same shape:
//! `webhook` turns a delivery's bytes into facts or a refusal. Nothing behind it sees a provider's JSON.

pub mod vsts;
