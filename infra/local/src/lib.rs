//! The whole bundle on one machine: the real functions and the real AWS clients, between small servers
//! for what AWS provides. `infra/template.yaml` says which functions, queues, routes and environments
//! there are, here as deployed.
//!
//! It is what `cargo local` starts and what the end-to-end tests run on.

mod access;
pub mod client;
pub mod demo;
pub mod dynamodb;
pub mod elasticache;
mod environment;
mod faults;
pub mod gateway;
mod lambdas;
mod mapping;
mod pages;
pub mod redis;
pub mod seed;
pub mod ses;
pub mod sqs;
mod stack;
pub mod template;
pub mod trackers;
mod wall;

pub use access::Call;
pub use environment::write_env_files;
pub use mapping::Failed;
pub use stack::{Options, Running, Stack};

/// Where a Redis that had to be fetched is kept: in the target directory that the running binary is in.
pub fn cache() -> std::path::PathBuf {
    let binary = std::env::current_exe().unwrap_or_default();
    let target = binary
        .ancestors()
        .find(|directory| directory.join("CACHEDIR.TAG").exists());
    target
        .unwrap_or(std::path::Path::new("target"))
        .join("redis")
}
