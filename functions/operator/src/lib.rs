//! `operator`: sets up and looks after an installation. It has no route; whoever may invoke it by IAM
//! is the operator.
//!
//! A command is a JSON object; `{"command":"help"}` lists them all. Every command can be repeated:
//! it finds what is there by its natural key and tells whether it made something.

mod command;
mod explain;
mod fields;
mod identity;
mod issues;
mod organizations;
mod projects;
mod pull_requests;
mod repositories;
mod sync;
mod tokens;
mod undelete;

use std::sync::Arc;

use domain::{ClientFault, Fault, Region, Secret};
use runtime::{Clock, Env, Function, Metric, StartError};
use serde_json::{Value, json};
use store::{KeyRing, OwnerCaches, Redis, Sequences, Store};

pub use command::HELP;

/// What this function may touch.
#[derive(Debug)]
pub struct Context {
    store: Store,
    sequences: Sequences,
    caches: OwnerCaches,
    ring: KeyRing,
    /// Where clients reach the bundle; organization tokens carry it.
    public_url: String,
    /// Where clients send events; a DSN names it.
    ingest_url: String,
    clock: Clock,
}

/// Builds the function from its environment.
pub async fn function(env: Env) -> Result<Function, StartError> {
    let mut reader = env.reader();
    let aws = reader.aws();
    let table = reader.text("TABLE_NAME");
    let public_url = reader.text("PUBLIC_URL").trim_end_matches('/').to_owned();
    let ingest_url = reader.text("INGEST_URL").trim_end_matches('/').to_owned();
    let ring = KeyRing::parse(&reader.secret("KEY_RING"));
    let ring = reader.check("KEY_RING", ring);
    let region = reader.parsed_or("SNOWFLAKE_REGION_ID", Region::default());
    let store = Store::new(&aws.service("DYNAMODB"), table);
    let redis = Redis::new(&reader.secret("REDIS_URL"), store.clone(), || {
        Metric::CacheUnreachable.emit();
    });
    let redis = reader.check("REDIS_URL", redis);
    let clock = reader.clock();
    reader.finish()?;
    let redis = redis.expect("the reader would have said that the URL is not valid");
    let context = Arc::new(Context {
        store,
        sequences: Sequences::new(redis.clone(), region),
        caches: OwnerCaches::new(redis),
        ring: ring.expect("the reader would have said that the ring is not valid"),
        public_url,
        ingest_url,
        clock,
    });
    let connections = async { tokio::join!(aws.open("DYNAMODB"), context.sequences.warm()) };
    env.connect(connections).await;
    Ok(Function::new(move |invocation| {
        let context = context.clone();
        async move {
            let answer = answer(handle(&context, &invocation.payload).await)?;
            Ok(answer.to_string())
        }
    }))
}

/// Carries out one command, given as JSON.
pub async fn handle(context: &Context, payload: &str) -> Result<Value, Fault> {
    command::run(context, payload).await
}

/// What the operator can mend is an answer; what only time can mend is a function error, so that
/// scripts see it.
fn answer(result: Result<Value, Fault>) -> Result<Value, Fault> {
    let fault = match result {
        Ok(value) => return Ok(value),
        Err(Fault::Client(fault)) => fault,
        Err(fault @ (Fault::Retry(_) | Fault::Poison(_))) => {
            tracing::error!(fault = fault.to_string(), "a command failed");
            return Err(fault);
        }
    };
    Ok(match fault {
        ClientFault::Fields(fields) | ClientFault::Taken(fields) => {
            json!({ "error": { "fields": fields } })
        }
        ClientFault::Detail(detail)
        | ClientFault::Conflict(detail)
        | ClientFault::Denied(detail)
        | ClientFault::Parameter(detail) => {
            json!({ "error": { "detail": detail } })
        }
        ClientFault::Unauthenticated
        | ClientFault::InvalidToken
        | ClientFault::Forbidden { .. }
        | ClientFault::Moved { .. }
        | ClientFault::UnsupportedMediaType(_)
        | ClientFault::TooLarge
        | ClientFault::NotFound => json!({ "error": { "detail": format!("{fault:?}") } }),
    })
}

fn random_hex(bytes: &[u8]) -> Secret {
    Secret::new(
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>(),
    )
}
