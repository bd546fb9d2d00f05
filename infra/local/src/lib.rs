//! The whole bundle on one machine: the real functions and the real AWS clients, between small servers
//! for what AWS provides. `infra/template.yaml` says which functions, queues, routes and environments
//! there are, here as deployed.
//!
//! It is what `cargo local` starts and what the end-to-end tests run on.

pub mod client;
pub mod demo;
pub mod dynamodb;
pub mod gateway;
mod lambdas;
mod mapping;
pub mod redis;
pub mod seed;
pub mod sqs;
mod stack;
pub mod template;
mod wall;

pub use mapping::Failed;
pub use stack::{Options, Running, Stack};
