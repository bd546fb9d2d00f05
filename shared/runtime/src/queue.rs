//! The batch loop of a queue function: one message at a time in its own span, and one message's
//! failure or panic is that message's alone.

use std::{future::Future, panic::AssertUnwindSafe, sync::Arc};

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use domain::{ClientFault, Envelope, Fault, Outcome, Queue, Reason};
use futures_util::{FutureExt, future::join_all};
use serde::Deserialize;
use tracing::{Instrument, Span, field::Empty};

use crate::{Function, Metric};

/// How often a message is received before it goes to the dead-letter queue: `maxReceiveCount` of the template.
pub const MAX_RECEIVES: u32 = 5;

/// A message as it came off its queue.
#[derive(Debug)]
pub struct Delivery {
    /// The message.
    pub envelope: Envelope,
    /// How often it was received, this time included.
    pub attempt: u32,
}

impl Delivery {
    /// Whether it goes to the dead-letter queue if it fails now.
    pub fn is_last(&self) -> bool {
        self.attempt >= MAX_RECEIVES
    }
}

impl Function {
    /// A function that consumes `queue`. The handler sees one message at a time; messages of a batch
    /// run concurrently.
    pub fn queue<H, F>(queue: Queue, handler: H) -> Self
    where
        H: Fn(Delivery) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), Fault>> + Send + 'static,
    {
        let handler = Arc::new(handler);
        Self::new(move |invocation| {
            let handler = handler.clone();
            async move {
                let event: SqsEvent = serde_json::from_str(&invocation.payload)?;
                let failed = batch(queue, &*handler, event).await;
                Ok(serde_json::to_string(&failed)?)
            }
        })
    }
}

/// What tells an event of a schedule from any other.
#[derive(Deserialize)]
struct ScheduledEvent {
    #[serde(rename = "detail-type")]
    detail_type: Option<String>,
}

impl Function {
    /// The same function, which is woken by a schedule as well.
    pub fn on_schedule<H, F>(self, handler: H) -> Self
    where
        H: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), Fault>> + Send + 'static,
    {
        let handler = Arc::new(handler);
        Self::new(move |invocation| {
            let (handler, others) = (handler.clone(), self.clone());
            async move {
                let event: ScheduledEvent = serde_json::from_str(&invocation.payload)?;
                if event.detail_type.is_none() {
                    return others.invoke(invocation).await;
                }
                handler().await?;
                Ok("null".to_owned())
            }
        })
    }
}

async fn batch<H, F>(queue: Queue, handler: &H, event: SqsEvent) -> SqsBatchResponse
where
    H: Fn(Delivery) -> F,
    F: Future<Output = Result<(), Fault>>,
{
    let one = |message: SqsMessage| async move {
        let id = message.message_id.clone().unwrap_or_default();
        (!succeeds(queue, handler, message).await).then_some(id)
    };
    let mut response = SqsBatchResponse::default();
    for id in join_all(event.records.into_iter().map(one))
        .await
        .into_iter()
        .flatten()
    {
        response.add_failure(id);
    }
    response
}

async fn succeeds<H, F>(queue: Queue, handler: &H, message: SqsMessage) -> bool
where
    H: Fn(Delivery) -> F,
    F: Future<Output = Result<(), Fault>>,
{
    let received = message.attributes.get("ApproximateReceiveCount");
    let attempt = received.and_then(|count| count.parse().ok()).unwrap_or(1);
    let span = tracing::info_span!(
        "message",
        queue = queue.as_str(),
        sqs.id = message.message_id,
        message.attempt = attempt,
        message.id = Empty,
        message.type = Empty,
        trace.id = Empty,
        org.id = Empty,
        group.id = Empty,
    );
    let work = async {
        // The future is built inside as well: the handler itself may panic.
        let result = AssertUnwindSafe(async {
            handler(Delivery {
                envelope: parse(queue, &message)?,
                attempt,
            })
            .await
        })
        .catch_unwind()
        .await;
        let fault = match result {
            Ok(Ok(())) => return true,
            Ok(Err(fault)) => fault,
            Err(_) => Fault::Retry("the handler panicked".into()),
        };
        report(&fault);
        if attempt >= MAX_RECEIVES {
            let reason = Reason::HandlingFailed.as_str();
            tracing::error!(
                reason,
                "given up: the message goes to the dead-letter queue"
            );
        }
        Metric::MessageFailed { queue }.emit();
        false
    };
    work.instrument(span).await
}

fn parse(queue: Queue, message: &SqsMessage) -> Result<Envelope, Fault> {
    let body = message.body.as_deref().unwrap_or_default();
    let envelope: Envelope = serde_json::from_str(body)
        .map_err(|e| Fault::Poison(format!("not a message of ours: {e}")))?;
    Span::current()
        .record("message.id", envelope.id.to_string())
        .record("message.type", envelope.message.name())
        .record("trace.id", envelope.trace.as_str());
    if envelope.message.queue() != queue {
        let name = envelope.message.name();
        return Err(Fault::Poison(format!(
            "{name} does not belong on this queue"
        )));
    }
    Ok(envelope)
}

/// Once, here: handlers return their faults and do not log them.
fn report(fault: &Fault) {
    match fault {
        Fault::Retry(reason) => {
            tracing::warn!(fault = "retry", reason, "the message comes back");
        }
        Fault::Poison(reason) => {
            tracing::error!(fault = "poison", reason, "the message can never be handled");
        }
        Fault::Client(client) => {
            let reason = match client {
                ClientFault::Detail(detail)
                | ClientFault::Conflict(detail)
                | ClientFault::Denied(detail)
                | ClientFault::Parameter(detail) => detail.clone(),
                ClientFault::Fields(fields) | ClientFault::Taken(fields) => format!("{fields:?}"),
                ClientFault::Unauthenticated
                | ClientFault::InvalidToken
                | ClientFault::Forbidden { .. }
                | ClientFault::Moved { .. }
                | ClientFault::UnsupportedMediaType(_)
                | ClientFault::TooLarge
                | ClientFault::NotFound => format!("{client:?}"),
            };
            tracing::error!(fault = "poison", reason, "the message can never be handled");
        }
    }
}

/// Logs and counts how a change to one group ended; every change ends here.
pub fn record_outcome(outcome: Outcome) {
    Metric::SyncOutcome { outcome }.emit();
    let name = outcome.as_str();
    match outcome {
        Outcome::Applied | Outcome::HandedOver => tracing::info!(outcome = name, "done"),
        Outcome::Superseded(reason) | Outcome::Suppressed(reason) => {
            tracing::info!(outcome = name, reason = reason.as_str(), "nothing to do");
        }
        Outcome::Deferred(reason) => {
            tracing::info!(
                outcome = name,
                reason = reason.as_str(),
                "tried again later"
            );
        }
        Outcome::Refused(reason) | Outcome::Dead(reason) => {
            Metric::SyncGivenUp.emit();
            tracing::error!(outcome = name, reason = reason.as_str(), "given up");
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::{Message, MessageId, Timestamp};
    use serde_json::{Value, json};

    use super::*;
    use crate::Invocation;

    fn message(n: i64) -> Value {
        let id = MessageId::new(Timestamp::from_millis(n), 0);
        let origin = json!({ "tracker": {
            "provider": "vsts", "integration": "1", "external_issue": "31", "revision": n,
            "delivery": id,
        } });
        let body = json!({ "id": id, "trace": "t", "message": {
            "type": "Deassign.v1", "organization": "1", "group": "2", "seen_version": n,
            "acting_user": null, "origin": origin,
        } });
        json!({ "messageId": format!("m{n}"), "body": body.to_string(),
            "attributes": { "ApproximateReceiveCount": "3" } })
    }

    async fn failures(event: Value) -> Vec<String> {
        let function = Function::queue(Queue::Deassign, |delivery| {
            // The version says what happens to the message.
            let version = match delivery.envelope.message {
                Message::Deassign(message) => message.seen_version,
                Message::SyncIssue(_)
                | Message::PushAssignee(_)
                | Message::PushStatus(_)
                | Message::FetchCommits(_)
                | Message::RecordDeploys(_)
                | Message::LinkGroups(_)
                | Message::ResolveGroups(_)
                | Message::DeleteRelease(_)
                | Message::ClearExpiredResolutions(_)
                | Message::DrainUpdates(_)
                | Message::DeleteProject(_)
                | Message::DeleteOrganization(_)
                | Message::ClearOwnerCaches(_)
                | Message::SendEmail(_)
                | Message::NotifyDeploy(_)
                | Message::SweepDeletions(_) => 0,
            };
            assert_ne!(version, 2, "panics when called");
            async move {
                assert_eq!(delivery.attempt, 3);
                match version {
                    3 => panic!("panics when polled"),
                    4 => Err(Fault::Retry("later".into())),
                    _ => Ok(()),
                }
            }
        });
        let invocation = Invocation {
            payload: event.to_string(),
            request_id: "r".into(),
            xray_trace_id: None,
        };
        let answer = function.invoke(invocation).await.expect("an answer");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let ids = answer["batchItemFailures"]
            .as_array()
            .expect("a list")
            .iter();
        ids.map(|failure| {
            failure["itemIdentifier"]
                .as_str()
                .expect("an id")
                .to_owned()
        })
        .collect()
    }

    #[tokio::test]
    async fn a_panic_and_a_fault_fail_their_own_message_and_no_other() {
        let mut event =
            json!({ "Records": [message(1), message(2), message(3), message(4), message(5)] });
        event["Records"][4]["body"] = "not JSON".into();
        assert_eq!(failures(event).await, ["m2", "m3", "m4", "m5"]);
        assert_eq!(
            failures(json!({ "Records": [message(1)] })).await,
            Vec::<String>::new()
        );
    }
}
