//! The environment of a function, read once at the start. Nothing else reads it.

use std::{collections::BTreeMap, fmt::Display, future::Future, str::FromStr, time::Duration};

use domain::{Queue, Secret};

use crate::{Aws, Clock, QueueUrls};

/// How long a cold start waits for its connections.
const CONNECT: Duration = Duration::from_millis(300);

/// The variables of one function, and its clock. On Lambda it is the process's environment; on one
/// machine every function has its own.
#[derive(Clone, Default)]
pub struct Env {
    variables: BTreeMap<String, String>,
    clock: Clock,
}

/// Why a function cannot start: every variable that is missing or wrong, not only the first.
#[derive(Debug, thiserror::Error)]
#[error("the environment is not complete: {}", problems.join("; "))]
pub struct StartError {
    problems: Vec<String>,
}

impl Env {
    /// The environment of the process.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where the environment is read"
    )]
    pub fn of_process() -> Self {
        Self {
            variables: std::env::vars().collect(),
            clock: Clock::default(),
        }
    }

    /// A made-up environment.
    pub fn new(variables: BTreeMap<String, String>, clock: Clock) -> Self {
        Self { variables, clock }
    }

    /// Opens connections during a cold start: waits a moment for the calls that do, and does not mind how
    /// they end. `CONNECT_IN_INIT=off` leaves it to the first invocation, for those who measure.
    pub async fn connect(&self, calls: impl Future) {
        if self.optional("CONNECT_IN_INIT") != Some("off") {
            let _ = tokio::time::timeout(CONNECT, calls).await;
        }
    }

    /// Starts reading.
    pub fn reader(&self) -> EnvReader<'_> {
        EnvReader {
            env: self,
            problems: Vec::new(),
        }
    }

    /// A variable that need not be there. An empty one counts as absent.
    pub fn optional(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

/// Reads variables and remembers what is wrong with them until [`EnvReader::finish`].
#[derive(Debug)]
pub struct EnvReader<'a> {
    env: &'a Env,
    problems: Vec<String>,
}

impl EnvReader<'_> {
    /// A text.
    pub fn text(&mut self, name: &str) -> String {
        let value = self.env.optional(name).map(str::to_owned);
        value.unwrap_or_else(|| {
            self.problems.push(format!("{name} is missing"));
            String::new()
        })
    }

    /// A text that must not be seen.
    pub fn secret(&mut self, name: &str) -> Secret {
        Secret::new(self.text(name))
    }

    /// A value of another type, or `default` where the variable is absent.
    pub fn parsed_or<T: FromStr<Err: Display>>(&mut self, name: &str, default: T) -> T {
        let Some(text) = self.env.optional(name) else {
            return default;
        };
        text.parse().unwrap_or_else(|error| {
            self.problems.push(format!("{name} is not valid: {error}"));
            default
        })
    }

    /// What a value made of several variables says of itself.
    pub fn check<T, E: Display>(&mut self, name: &str, result: Result<T, E>) -> Option<T> {
        result
            .map_err(|error| self.problems.push(format!("{name} is not valid: {error}")))
            .ok()
    }

    /// What the AWS clients need.
    pub fn aws(&mut self) -> Aws {
        Aws::read(self)
    }

    /// The URLs of the queues that this function sends to.
    pub fn queue_urls(&mut self, queues: &[Queue]) -> QueueUrls {
        queues
            .iter()
            .map(|queue| (*queue, self.text(queue.variable())))
            .collect()
    }

    /// The clock that this environment goes by.
    pub fn clock(&self) -> Clock {
        self.env.clock.clone()
    }

    pub(crate) fn optional(&self, name: &str) -> Option<String> {
        self.env.optional(name).map(str::to_owned)
    }

    /// Everything that was wrong, at once.
    pub fn finish(self) -> Result<(), StartError> {
        match self.problems.is_empty() {
            true => Ok(()),
            false => Err(StartError {
                problems: self.problems,
            }),
        }
    }
}

impl std::fmt::Debug for Env {
    /// Names only: values may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let variables = [("REGION", "x"), ("EMPTY", "")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let env = Env::new(variables.into(), Clock::default());
        let mut reader = env.reader();
        reader.text("TABLE_NAME");
        reader.text("EMPTY");
        assert_eq!(reader.parsed_or("REGION", 7_u16), 7);
        let error = reader.finish().unwrap_err().to_string();
        for part in [
            "TABLE_NAME is missing",
            "EMPTY is missing",
            "REGION is not valid",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }
}
