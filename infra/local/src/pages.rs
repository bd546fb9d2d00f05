//! The stack's own pages, beside the gateways: its queues, the mails that were sent, what the trackers were sent
//! and how they behave, and Lambda's invoke call.

use axum::{
    Json, Router,
    extract::{Path as Segment, State},
    http::{HeaderMap, StatusCode},
    response::{Html, IntoResponse},
    routing::{get, post, put},
};
use bytes::Bytes;

use crate::{Stack, ses, trackers::Order};

type Weak = std::sync::Weak<Stack>;

/// The pages of a stack, which they hold weakly.
pub(crate) fn router(stack: Weak) -> Router {
    Router::new()
        .route("/_local/queues", get(show_queues))
        .route("/_local/queues/{queue}/dead", get(show_dead))
        .route(
            "/_local/requests",
            get(show_requests).delete(forget_requests),
        )
        .route("/_local/trackers/{provider}/mode", put(set_mode))
        .route("/_local/mail", get(show_mails).delete(forget_mails))
        .route("/_local/mail/mode", put(set_mail_mode))
        .route(
            "/2015-03-31/functions/{function}/invocations",
            post(invoke_function),
        )
        .with_state(stack)
}

/// `GET /_local/queues`: each queue's counts.
async fn show_queues(State(stack): State<Weak>) -> impl IntoResponse {
    match stack.upgrade() {
        Some(stack) => Json(stack.sqs().stats()).into_response(),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// `GET /_local/queues/<queue>/dead`: the bodies in its dead-letter queue, the oldest first.
async fn show_dead(
    State(stack): State<Weak>,
    Segment(queue): Segment<String>,
) -> impl IntoResponse {
    let Some(stack) = stack.upgrade() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    match stack.dead_letter_queue(&queue) {
        Some(dead) => Json(stack.sqs().messages(dead)).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// `GET /_local/requests`: what was sent to the simulated trackers, the oldest first.
async fn show_requests(State(stack): State<Weak>) -> impl IntoResponse {
    match stack.upgrade() {
        Some(stack) => Json(stack.trackers().requests()).into_response(),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// `DELETE /_local/requests`: begins that list anew.
async fn forget_requests(State(stack): State<Weak>) -> StatusCode {
    match stack.upgrade() {
        Some(stack) => {
            stack.trackers().forget_requests();
            StatusCode::NO_CONTENT
        }
        None => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// `PUT /_local/trackers/<provider>/mode`: how a simulated tracker behaves, like `{"mode":"failing","calls":2}`.
async fn set_mode(
    State(stack): State<Weak>,
    Segment(provider): Segment<String>,
    body: Bytes,
) -> impl IntoResponse {
    let Some(stack) = stack.upgrade() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let Ok(provider) = provider.parse() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let order = match Order::parse(&body) {
        Ok(order) => order,
        Err(error) => return (StatusCode::BAD_REQUEST, error).into_response(),
    };
    match order.calls {
        Some(calls) => stack.trackers().set_mode_for(provider, order.mode, calls),
        None => stack.trackers().set_mode(provider, order.mode),
    }
    StatusCode::NO_CONTENT.into_response()
}

/// `GET /_local/mail`: the mails that were sent, the oldest first; for a browser a page with the newest first.
async fn show_mails(State(stack): State<Weak>, headers: HeaderMap) -> impl IntoResponse {
    let Some(stack) = stack.upgrade() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let mails = stack.ses().mails();
    let accepted = headers.get("accept").and_then(|value| value.to_str().ok());
    match accepted.is_some_and(|accepted| accepted.contains("text/html")) {
        true => Html(ses::page(&mails)).into_response(),
        false => Json(mails).into_response(),
    }
}

/// `DELETE /_local/mail`: begins that list anew.
async fn forget_mails(State(stack): State<Weak>) -> StatusCode {
    match stack.upgrade() {
        Some(stack) => {
            stack.ses().forget();
            StatusCode::NO_CONTENT
        }
        None => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// `PUT /_local/mail/mode`: how SES behaves, like `{"mode":"throttled","calls":2}`.
async fn set_mail_mode(State(stack): State<Weak>, body: Bytes) -> impl IntoResponse {
    let Some(stack) = stack.upgrade() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    match serde_json::from_slice::<ses::Order>(&body) {
        Ok(order) => {
            stack.ses().set_mode(order.mode, order.calls);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

/// Lambda's invoke API, so that `aws lambda invoke --endpoint-url` and `cargo lambda invoke` work too.
async fn invoke_function(
    State(stack): State<Weak>,
    Segment(function): Segment<String>,
    headers: HeaderMap,
    body: String,
) -> impl IntoResponse {
    // A page in a browser must not command the stack of whoever looks at it.
    if headers.contains_key("origin") {
        return StatusCode::FORBIDDEN.into_response();
    }
    let Some(stack) = stack.upgrade() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    if !stack.has_function(&function) {
        let body = serde_json::json!({ "Message": format!("Function not found: {function}") });
        let kind = [("x-amzn-errortype", "ResourceNotFoundException")];
        return (StatusCode::NOT_FOUND, kind, Json(body)).into_response();
    }
    match stack.invoke(&function, body).await {
        Ok(answer) => answer.into_response(),
        Err(error) => {
            let body = serde_json::json!({ "errorType": "Error", "errorMessage": error });
            ([("x-amz-function-error", "Unhandled")], Json(body)).into_response()
        }
    }
}
