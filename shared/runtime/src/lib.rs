//! What every Lambda needs and no business code: environment, telemetry, AWS clients, the batch loop of
//! a queue, and how faults become answers.
//!
//! A function crate hands a [`Function`] to [`main`]; `cargo local` and the tests build the same value
//! from another [`Env`] and invoke it with the same JSON that AWS would send.

mod aws;
mod clock;
mod connector;
mod env;
mod function;
#[cfg(feature = "http")]
mod http;
mod metrics;
mod queue;
mod telemetry;

pub use aws::{Aws, QueueUrls};
pub use clock::Clock;
pub use env::{Env, EnvReader, StartError};
pub use function::{Function, Invocation, main};
#[cfg(feature = "http")]
pub use http::{Answer, HttpFault, client_address, json, trace_of};
pub use metrics::Metric;
pub use queue::{Delivery, MAX_RECEIVES, record_outcome};
pub use telemetry::{Format, LogWriter, init as init_telemetry};
