//! `POST /extensions/vsts/issue-updated/`: Azure DevOps says that a work item changed.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use domain::{ClientFault, Fault, Message, MessageId, Provider, Reason, SyncIssue, TrackerOrigin};
use providers::vsts::webhook::{Claim, Malformed, WorkItemUpdate, claim, work_item_update};
use runtime::{HttpFault, Metric, trace_of};
use store::IntegrationWithSecret;

use crate::{
    Context, enqueue,
    known::{KnownIntegrations, Sender, same_secret},
    raw_body,
};

const SECRET_HEADER: &str = "shared-secret";
const PROVIDER: Provider = Provider::Vsts;

/// Why a delivery is not taken. Azure treats every 4xx as a failure of its own making.
enum Refusal {
    TooLarge,
    Malformed,
    UnknownIntegration,
    WrongSecret,
    Fault(Fault),
}

pub(crate) async fn issue_updated(
    State(context): State<Arc<Context>>,
    request: Request,
) -> Response {
    match receive(&context, request).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(refusal) => {
            let reason = refusal.reason();
            let answer = refusal.into_response();
            let status = answer.status().as_u16();
            tracing::warn!(
                provider = PROVIDER.as_str(),
                status,
                reason,
                "refused a delivery"
            );
            Metric::DeliveryRefused {
                provider: PROVIDER.as_str(),
                status,
            }
            .emit();
            answer
        }
    }
}

async fn receive(context: &Context, request: Request) -> Result<(), Refusal> {
    let trace = trace_of(&request);
    let (parts, body) = request.into_parts();
    let body = raw_body(body).await.ok_or(Refusal::TooLarge)?;
    let (collection, subscription) = match claim(&body)? {
        Claim::OtherEvent => return ignore(Reason::EventNotHandled),
        Claim::WorkItemUpdated {
            collection,
            subscription,
        } => (collection, subscription),
    };
    let proof =
        |found: &IntegrationWithSecret| proves(&parts.headers, subscription.as_deref(), found);
    let sender = KnownIntegrations::verify(context, PROVIDER, &collection, proof).await?;
    let found = match sender {
        Sender::Verified(found) => found,
        Sender::Impostor => return Err(Refusal::WrongSecret),
        Sender::Unknown => return Err(Refusal::UnknownIntegration),
    };

    let delivery = MessageId::new(context.clock.now(), rand::random());
    match message(work_item_update(&body)?, &found, delivery) {
        Ok(message) => {
            enqueue(context, delivery, trace, message).await?;
            tracing::info!(
                provider = PROVIDER.as_str(),
                delivery.id = delivery.to_string(),
                integration.id = found.integration.id.number(),
                "accepted a delivery"
            );
            Metric::DeliveryAccepted {
                provider: PROVIDER.as_str(),
            }
            .emit();
            Ok(())
        }
        Err(reason) => ignore(reason),
    }
}

/// The header must hold the stored secret; a subscription that names itself must be the known one.
fn proves(headers: &HeaderMap, subscription: Option<&str>, found: &IntegrationWithSecret) -> bool {
    let given = headers
        .get(SECRET_HEADER)
        .map(|value| value.as_bytes())
        .unwrap_or_default();
    let known = found.integration.subscription_id.as_deref();
    let expected_subscription = match (subscription, known) {
        (Some(given), Some(known)) => given == known,
        (None, _) | (_, None) => true,
    };
    same_secret(given, found.secret.as_ref()) && expected_subscription
}

/// What to put on the queue, or why nothing.
fn message(
    update: WorkItemUpdate,
    found: &IntegrationWithSecret,
    delivery: MessageId,
) -> Result<Message, Reason> {
    let external_issue = update.work_item.ok_or(Reason::NoExternalIssue)?;
    let unreadable = update.status.as_ref().err().copied();
    let (assignee, status) = (update.assignee, update.status.unwrap_or_else(note));
    if assignee.is_none() && status.is_none() {
        return Err(unreadable.unwrap_or(Reason::NoHandledField));
    }
    let origin = TrackerOrigin {
        provider: PROVIDER,
        integration: found.integration.id,
        external_issue,
        revision: update.revision,
        delivery,
        author: update.author,
    };
    Ok(Message::SyncIssue(SyncIssue {
        origin,
        assignee,
        status,
        after: None,
    }))
}

/// One part that cannot be read does not keep the other from being handled.
fn note<T>(reason: Reason) -> Option<T> {
    tracing::info!(
        reason = reason.as_str(),
        "a part of the delivery says nothing"
    );
    None
}

/// Accepts a delivery that has no consequence.
fn ignore(reason: Reason) -> Result<(), Refusal> {
    tracing::info!(reason = reason.as_str(), "nothing to do for a delivery");
    Metric::DeliveryIgnored {
        provider: PROVIDER.as_str(),
        reason,
    }
    .emit();
    Ok(())
}

impl From<Malformed> for Refusal {
    fn from(Malformed: Malformed) -> Self {
        Self::Malformed
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Refusal {
    /// For the log. The sender is not told more than the status says.
    fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::UnknownIntegration => "unknown_integration",
            Self::WrongSecret => "wrong_secret",
            Self::Fault(_) => "fault",
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE.into_response(),
            Self::Malformed => StatusCode::BAD_REQUEST.into_response(),
            Self::UnknownIntegration => {
                let text = "There is no integration for this Azure DevOps collection.".to_owned();
                HttpFault(Fault::Client(ClientFault::Detail(text))).into_response()
            }
            Self::WrongSecret => StatusCode::UNAUTHORIZED.into_response(),
            Self::Fault(fault) => HttpFault(fault).into_response(),
        }
    }
}
