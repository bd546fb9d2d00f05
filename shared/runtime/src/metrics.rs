//! Metrics, as CloudWatch embedded-metric lines in the log: no call leaves the function for them.
//!
//! One enum names every metric; a dashboard or an alarm can be grepped for here.

use domain::{Outcome, Queue, Reason};
use serde_json::{Map, Value, json};

const NAMESPACE: &str = "Picket";

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub enum Metric {
    /// A webhook that was accepted. `provider`.
    DeliveryAccepted {
        /// From which tracker.
        provider: &'static str,
    },
    /// A webhook that was accepted and has no consequence. `provider`, `reason`.
    DeliveryIgnored {
        /// From which tracker.
        provider: &'static str,
        /// Why.
        reason: Reason,
    },
    /// A webhook that was refused. `provider`, `status`.
    DeliveryRefused {
        /// From which tracker.
        provider: &'static str,
        /// The answer.
        status: u16,
    },
    /// A change to one group that came to its end. `outcome`, `reason`.
    SyncOutcome {
        /// How.
        outcome: Outcome,
    },
    /// A change to one group that was given up: it cannot be made, or could not for a day. Beside its outcome,
    /// whose reasons one alarm cannot watch all.
    SyncGivenUp,
    /// A message that failed and will come back. `queue`.
    MessageFailed {
        /// From which queue.
        queue: Queue,
    },
    /// Messages handed to SQS from the outbox.
    OutboxSent {
        /// How many.
        count: u64,
    },
    /// How late the oldest of them was, in milliseconds after it was due.
    OutboxDelay {
        /// How late.
        milliseconds: u64,
    },
    /// How long the oldest message that a sweep found had been due, in milliseconds; 0 if it found none.
    /// Each sweep says it, so its absence means that nothing sweeps.
    OutboxAge {
        /// How long.
        milliseconds: u64,
    },
    /// A mail to one recipient that is to be sent. `type`.
    EmailQueued {
        /// Its kind.
        kind: &'static str,
    },
    /// A mail to one recipient that was taken over, or was given up. `success`.
    EmailSent {
        /// Whether it was taken over.
        success: bool,
    },
    /// A group that something other than a person's wish resolved. `instance`.
    GroupResolved {
        /// What.
        instance: &'static str,
    },
    /// A release that was made.
    ReleaseCreated,
    /// How long it took to store a list of commits, in milliseconds.
    SetCommits {
        /// How long.
        milliseconds: u64,
    },
    /// Redis neither answered nor could be reached anew.
    CacheUnreachable,
}

impl Metric {
    /// Every metric's name with its unit, in the order of the enum.
    pub const NAMES: [(&'static str, &'static str); 15] = [
        ("DeliveryAccepted", "Count"),
        ("DeliveryIgnored", "Count"),
        ("DeliveryRefused", "Count"),
        ("SyncOutcome", "Count"),
        ("SyncGivenUp", "Count"),
        ("MessageFailed", "Count"),
        ("OutboxSent", "Count"),
        ("OutboxDelay", "Milliseconds"),
        ("OutboxAge", "Milliseconds"),
        ("email.queued", "Count"),
        ("email.sent", "Count"),
        ("group.resolved", "Count"),
        ("release.create", "Count"),
        ("release.set_commits.duration", "Milliseconds"),
        ("CacheUnreachable", "Count"),
    ];

    /// Writes the line.
    pub fn emit(self) {
        let (index, value, dimensions) = self.parts();
        let (name, unit) = Self::NAMES[index];
        let names: Vec<_> = dimensions.iter().map(|(name, _)| *name).collect();
        let mut line = Map::new();
        line.insert(
            "_aws".into(),
            json!({
                "Timestamp": crate::Clock::default().now().millis(),
                "CloudWatchMetrics": [{
                    "Namespace": NAMESPACE,
                    "Dimensions": [names],
                    "Metrics": [{ "Name": name, "Unit": unit }],
                }],
            }),
        );
        line.insert(name.into(), value.into());
        line.extend(
            dimensions
                .into_iter()
                .map(|(name, text)| (name.into(), Value::from(text))),
        );
        crate::telemetry::write_metric(&Value::Object(line).to_string());
    }

    fn parts(self) -> (usize, u64, Vec<(&'static str, String)>) {
        match self {
            Self::DeliveryAccepted { provider } => (0, 1, vec![("provider", provider.into())]),
            Self::DeliveryIgnored { provider, reason } => (
                1,
                1,
                vec![
                    ("provider", provider.into()),
                    ("reason", reason.as_str().into()),
                ],
            ),
            Self::DeliveryRefused { provider, status } => (
                2,
                1,
                vec![
                    ("provider", provider.into()),
                    ("status", status.to_string()),
                ],
            ),
            Self::SyncOutcome { outcome } => {
                let reason = outcome.reason().map_or("none", Reason::as_str);
                (
                    3,
                    1,
                    vec![
                        ("outcome", outcome.as_str().into()),
                        ("reason", reason.into()),
                    ],
                )
            }
            Self::SyncGivenUp => (4, 1, Vec::new()),
            Self::MessageFailed { queue } => (5, 1, vec![("queue", queue.as_str().into())]),
            Self::OutboxSent { count } => (6, count, Vec::new()),
            Self::OutboxDelay { milliseconds } => (7, milliseconds, Vec::new()),
            Self::OutboxAge { milliseconds } => (8, milliseconds, Vec::new()),
            Self::EmailQueued { kind } => (9, 1, vec![("type", kind.into())]),
            Self::EmailSent { success } => (10, 1, vec![("success", success.to_string())]),
            Self::GroupResolved { instance } => (11, 1, vec![("instance", instance.into())]),
            Self::ReleaseCreated => (12, 1, Vec::new()),
            Self::SetCommits { milliseconds } => (13, milliseconds, Vec::new()),
            Self::CacheUnreachable => (14, 1, Vec::new()),
        }
    }
}
