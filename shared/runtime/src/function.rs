//! A Lambda function as a value: JSON in, JSON out. `main` serves it to Lambda's runtime API; on one
//! machine the same value is invoked directly.

use std::{future::Future, process::ExitCode, sync::Arc};

use futures_util::future::BoxFuture;
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::value::RawValue;
use tracing_subscriber::filter::LevelFilter;

use crate::{Env, Format, StartError, telemetry};

/// One call of a function.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The event, as JSON.
    pub payload: String,
    /// AWS's id of the call.
    pub request_id: String,
    /// X-Ray's header, where tracing is on.
    pub xray_trace_id: Option<String>,
}

type Error = lambda_runtime::Error;
type Handler = dyn Fn(Invocation) -> BoxFuture<'static, Result<String, Error>> + Send + Sync;

/// A function, whatever triggers it.
#[derive(Clone)]
pub struct Function(Arc<Handler>);

impl Function {
    /// A function of raw JSON. Use the constructor of the trigger's kind where there is one.
    pub fn new<H, F>(handler: H) -> Self
    where
        H: Fn(Invocation) -> F + Send + Sync + 'static,
        F: Future<Output = Result<String, Error>> + Send + 'static,
    {
        Self(Arc::new(move |invocation| Box::pin(handler(invocation))))
    }

    /// Calls the function.
    pub fn invoke(&self, invocation: Invocation) -> BoxFuture<'static, Result<String, Error>> {
        (self.0)(invocation)
    }
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Function")
    }
}

/// The `main` of every function: builds it from the process's environment and serves it to Lambda.
pub fn main<B>(build: impl FnOnce(Env) -> B) -> ExitCode
where
    B: Future<Output = Result<Function, StartError>>,
{
    let env = Env::of_process();
    let level = env
        .optional("LOG_LEVEL")
        .and_then(|level| level.parse().ok());
    telemetry::init(
        level.unwrap_or(LevelFilter::INFO),
        Format::Json,
        std::io::stdout,
    );
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let tokio = tokio.expect("a runtime of one thread needs nothing that can be missing");
    let result = tokio.block_on(async { serve(build(env).await?).await });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = error.to_string(), "the function cannot start");
            ExitCode::FAILURE
        }
    }
}

async fn serve(function: Function) -> Result<(), Error> {
    let service = service_fn(move |event: LambdaEvent<Box<RawValue>>| {
        let answer = function.invoke(Invocation {
            payload: event.payload.get().to_owned(),
            request_id: event.context.request_id,
            xray_trace_id: event.context.xray_trace_id,
        });
        async move { Ok::<_, Error>(RawValue::from_string(answer.await?)?) }
    });
    lambda_runtime::run(service).await
}
