//! Reads infra/template.yaml, so that `cargo local` runs what is deployed and not a second description of it.
//!
//! It knows CloudFormation and no more: not where a server listens, not which crate implements a function. What
//! one machine does not emulate is listed for the reader; a trigger that it does not know is an error, because the
//! function behind it would silently never run.

mod emulated;
mod intrinsics;
mod parameters;
mod references;
mod resources;
mod roles;
mod routes;
mod source;
mod triggers;
mod types;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use intrinsics::Scope;
use resources::Resources;

/// What `cargo local` needs to know of the template. Functions and queues go by their names in kebab-case.
#[derive(Clone, Debug)]
pub struct Template {
    /// Every Lambda function.
    pub functions: Vec<Function>,
    /// Every queue, dead-letter queues among them.
    pub queues: Vec<Queue>,
    /// The one table.
    pub table: Table,
    /// Which function receives from which queue.
    pub queue_mappings: Vec<QueueMapping>,
    /// Which function the table's stream wakes.
    pub stream_mappings: Vec<StreamMapping>,
    /// Which function runs at which interval.
    pub schedules: Vec<Schedule>,
    /// The routes of both gateways.
    pub routes: Vec<Route>,
    /// One line for each kind of thing that one machine does not emulate.
    pub not_emulated: Vec<String>,
    scope: Scope,
}

/// A Lambda function.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its key under `Resources`.
    pub logical_id: String,
    /// The crate's name: the logical id in kebab-case.
    pub name: String,
    /// When Lambda ends an invocation.
    pub timeout: Duration,
    /// Whether it lives where Redis is, and reaches nothing else but the table.
    pub in_vpc: bool,
    /// What its role allows: actions, each with the name of the resource it is allowed on.
    pub role: BTreeSet<(String, String)>,
    /// Long-form JSON, not resolved; see [`resolve_environment`].
    pub environment: BTreeMap<String, Value>,
}

/// An SQS queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Queue {
    /// Its key under `Resources`.
    pub logical_id: String,
    /// The logical id in kebab-case, without a `-queue` at its end.
    pub name: String,
    /// How long a received message stays hidden.
    pub visibility_timeout: Duration,
    /// After how many receives a message moves to the dead-letter queue.
    pub max_receive_count: Option<u32>,
    /// The name of the dead-letter queue.
    pub dead_letter_queue: Option<String>,
}

/// The DynamoDB table.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Its key under `Resources`.
    pub logical_id: String,
    /// A CreateTable request that lacks only its `TableName`.
    pub create_table: Value,
    /// The attribute that items expire by.
    pub ttl_attribute: Option<String>,
}

/// An event source mapping from a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueMapping {
    /// The queue's name.
    pub queue: String,
    /// The function's name.
    pub function: String,
    /// The most messages in one invocation.
    pub batch_size: u32,
    /// Whether the function's answer names the messages that failed.
    pub report_batch_item_failures: bool,
    /// The most invocations at the same time.
    pub maximum_concurrency: Option<u32>,
}

/// An event source mapping from the table's stream.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamMapping {
    /// The function's name.
    pub function: String,
    /// The most records in one invocation.
    pub batch_size: u32,
    /// How often a batch is tried in all, the first time included.
    pub maximum_attempts: u32,
    /// A record passes if any of them matches, or if there is none.
    pub filters: Vec<StreamFilter>,
    /// Whether the function's answer names the first record that failed.
    pub report_batch_item_failures: bool,
}

/// One filter of a stream mapping. A record must satisfy both parts.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamFilter {
    /// INSERT, MODIFY, REMOVE. Empty admits all.
    pub event_names: Vec<String>,
    /// A key attribute of type S, and what it must begin with.
    pub key_prefix: Option<(String, String)>,
}

/// A function that runs at an interval.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// The function's name.
    pub function: String,
    /// From `rate(...)`.
    pub every: Duration,
}

/// A route of a gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Which gateway, and so which kind of event.
    pub gateway: Gateway,
    /// `None` is ANY.
    pub method: Option<String>,
    /// Like `/api/0/{proxy+}`, or `$default` at an HTTP API.
    pub path: String,
    /// The function's name.
    pub function: String,
}

/// The two kinds of API Gateway.
#[derive(Clone, Debug, PartialEq)]
pub enum Gateway {
    /// A REST API: version 1 events, the path as the client encoded it.
    Rest {
        /// The name of the stage, the first segment of the deployed URL.
        stage: String,
    },
    /// An HTTP API with the stage `$default`: version 2 events, the path decoded.
    Http,
}

/// A function that answers references: logical id and attribute, `None` for `Ref`.
pub type Lookup<'a> = &'a dyn Fn(&str, Option<&str>) -> Option<String>;

impl Template {
    /// Reads the text of a template.
    ///
    /// # Errors
    /// Names the logical id and its line where a trigger is unknown or a reference leads nowhere.
    pub fn parse(text: &str) -> Result<Template> {
        let resources = Resources::read(text)?;
        resources.check_references()?;
        resources.check_triggers()?;
        let (queue_mappings, stream_mappings) = resources.mappings()?;
        Ok(Template {
            functions: resources.functions()?,
            queues: resources.queues()?,
            table: resources.table()?,
            queue_mappings,
            stream_mappings,
            schedules: resources.schedules()?,
            routes: resources.routes()?,
            not_emulated: resources.not_emulated(),
            scope: resources.scope,
        })
    }
}

/// Resolves the environment of a function.
///
/// `lookup` is asked first for every reference, parameters included (so a caller can set `PublicUrl`), then come
/// the parameters' defaults. `{{resolve:secretsmanager:${X}}}` asks it for `("X", Some("SecretString"))`. A variable
/// that resolves to `AWS::NoValue` is left out.
///
/// # Errors
/// Names the function and the variable that cannot be resolved.
pub fn resolve_environment(
    template: &Template,
    function: &Function,
    lookup: Lookup<'_>,
) -> Result<BTreeMap<String, String>> {
    let mut environment = BTreeMap::new();
    for (name, value) in &function.environment {
        let resolved = template
            .scope
            .evaluate(value, lookup)
            .with_context(|| format!("{name} of function {}", function.name))?;
        environment.extend(resolved.map(|text| (name.clone(), text)));
    }
    Ok(environment)
}

#[cfg(test)]
mod tests;
