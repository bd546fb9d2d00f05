//! The functions of the bundle, built from the environments that the template gives them.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use anyhow::{Context, bail};
use runtime::{Env, Function, Invocation};

/// Every function by name, with its time-out.
#[derive(Debug, Default)]
pub(crate) struct Lambdas {
    functions: BTreeMap<String, (Function, Duration)>,
    calls: AtomicU64,
}

impl Lambdas {
    /// Builds the function of this name from its environment.
    pub(crate) async fn add(
        &mut self,
        name: &str,
        timeout: Duration,
        env: Env,
    ) -> anyhow::Result<()> {
        let function = match name {
            "api" => api::function(env).await,
            "deassign" => deassign::function(env).await,
            "fetch-commits" => fetch_commits::function(env).await,
            "issue-sync" => issue_sync::function(env).await,
            "jobs" => jobs::function(env).await,
            "operator" => operator::function(env).await,
            "outbound-sync" => outbound_sync::function(env).await,
            "outbox-relay" => outbox_relay::function(env).await,
            "project-delete" => project_delete::function(env).await,
            "send-email" => send_email::function(env).await,
            "webhook-ingest" => webhook_ingest::function(env).await,
            other => bail!("the template has a function {other} that infra/local does not know"),
        };
        let function = function.with_context(|| format!("function {name}"))?;
        self.functions.insert(name.to_owned(), (function, timeout));
        Ok(())
    }

    /// Calls a function with an event and gives its answer, or the text of its error. A panic and a
    /// time-out are errors of this one call.
    pub(crate) async fn invoke(&self, name: &str, payload: String) -> Result<String, String> {
        let Some((function, timeout)) = self.functions.get(name) else {
            return Err(format!("there is no function {name}"));
        };
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let invocation = Invocation {
            payload,
            request_id: format!("00000000-0000-4000-8000-{call:012x}"),
            xray_trace_id: None,
        };
        let work = tokio::spawn(function.invoke(invocation));
        match tokio::time::timeout(*timeout, work).await {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(error))) => Err(error.to_string()),
            Ok(Err(_)) => Err(format!("{name} panicked")),
            Err(_) => Err(format!("{name} timed out after {} s", timeout.as_secs())),
        }
    }
}
