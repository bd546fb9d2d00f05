//! Routers as functions, and faults as HTTP answers.

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, StatusCode, Uri, header},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
};
use domain::{ClientFault, Fault, Scope, TraceId};
use lambda_http::{Adapter, LambdaEvent, RequestExt, Service, request::LambdaRequest};
use serde::Serialize;
use serde_json::json;
use tower::ServiceExt;
use tracing::Instrument;

use crate::{Function, Invocation};

/// How long a caller is asked to wait after a 503.
const RETRY_AFTER: &str = "1";

/// What handlers of HTTP functions return.
pub type Answer = Result<Response, HttpFault>;

/// A [`Fault`] on its way to becoming an answer.
#[derive(Debug)]
pub struct HttpFault(pub Fault);

impl<F: Into<Fault>> From<F> for HttpFault {
    fn from(fault: F) -> Self {
        Self(fault.into())
    }
}

impl Function {
    /// A function behind a gateway.
    pub fn http(router: Router) -> Self {
        // Paths are put right before routing, so that goes around the router, not into it.
        let service = router.layer(from_fn(in_span)).map_request(exact_path);
        Self::new(move |invocation: Invocation| {
            let event = serde_json::from_str::<LambdaRequest>(&invocation.payload);
            let answer = event.map(|event| {
                let mut context = lambda_runtime::Context::default();
                context.request_id = invocation.request_id;
                context.xray_trace_id = invocation.xray_trace_id;
                Adapter::from(service.clone()).call(LambdaEvent::new(event, context))
            });
            async move {
                let answer = answer?.await?;
                Ok(serde_json::to_string(&answer)?)
            }
        })
    }
}

/// What is logged while a request is handled names its trace.
async fn in_span(request: Request, next: Next) -> Response {
    let span = tracing::info_span!("request", trace.id = trace_of(&request).as_str());
    next.run(request).instrument(span).await
}

/// Takes the path as the gateway got it. `lambda_http` puts a named stage in front of it and lets a
/// URL parser tidy it up, which swallows dots and empty segments; the router decodes each segment once.
fn exact_path(mut request: lambda_http::Request) -> lambda_http::Request {
    let mut path: String = request.raw_http_path().chars().map(escape).collect();
    // Every route ends in a slash. Who leaves it out is not redirected: a POST would lose its body.
    if !path.ends_with('/') {
        path.push('/');
    }
    let target = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    if let Ok(uri) = Uri::try_from(target) {
        *request.uri_mut() = uri;
    }
    request
}

/// What may not stand in a URI is percent-encoded; an encoding that is there already stays.
fn escape(c: char) -> String {
    let legal = c.is_ascii_alphanumeric() || "%/-._~!$&'()*+,;=:@".contains(c);
    if legal {
        return c.to_string();
    }
    let mut buffer = [0; 4];
    c.encode_utf8(&mut buffer)
        .bytes()
        .map(|byte| format!("%{byte:02X}"))
        .collect()
}

/// The trace that a request belongs to: X-Ray's, or the request's own id.
pub fn trace_of(request: &Request) -> TraceId {
    let context = request.extensions().get::<lambda_http::Context>();
    let header = request
        .headers()
        .get("x-amzn-trace-id")
        .and_then(|value| value.to_str().ok());
    let root = header.and_then(|text| text.split(';').find_map(|part| part.strip_prefix("Root=")));
    let own = context.map(|context| context.request_id.as_str());
    TraceId::new(root.or(own).unwrap_or_default())
}

/// An answer with a JSON body.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_string(body) {
        Ok(text) => (status, [(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(error) => HttpFault(Fault::Poison(error.to_string())).into_response(),
    }
}

fn detail(status: StatusCode, text: impl Into<String>) -> Response {
    json(status, &json!({ "detail": text.into() }))
}

impl IntoResponse for HttpFault {
    fn into_response(self) -> Response {
        match self.0 {
            Fault::Client(fault) => refused(fault),
            Fault::Retry(reason) => {
                tracing::warn!(fault = "retry", reason, "answered 503");
                let text = "The service is busy, try again shortly.";
                let mut answer = detail(StatusCode::SERVICE_UNAVAILABLE, text);
                let after = HeaderValue::from_static(RETRY_AFTER);
                answer.headers_mut().insert(header::RETRY_AFTER, after);
                answer
            }
            Fault::Poison(reason) => {
                tracing::error!(fault = "poison", reason, "answered 500");
                detail(StatusCode::INTERNAL_SERVER_ERROR, "Internal Error")
            }
        }
    }
}

fn refused(fault: ClientFault) -> Response {
    match fault {
        ClientFault::Unauthenticated => {
            let text = "Authentication credentials were not provided.";
            detail(StatusCode::UNAUTHORIZED, text)
        }
        ClientFault::InvalidToken => detail(StatusCode::UNAUTHORIZED, "Invalid token"),
        ClientFault::Forbidden { required, has } => {
            let text = "You do not have permission to perform this action.";
            let (required, has) = (names(&required), names(&has));
            let text = format!("{text} Required: one of {required}. This token has: {has}.");
            detail(StatusCode::FORBIDDEN, text)
        }
        ClientFault::NotFound => detail(
            StatusCode::NOT_FOUND,
            "The requested resource does not exist",
        ),
        ClientFault::Conflict(text) => detail(StatusCode::CONFLICT, text),
        ClientFault::Detail(text) => detail(StatusCode::BAD_REQUEST, text),
        ClientFault::Fields(fields) => json(StatusCode::BAD_REQUEST, &fields),
    }
}

fn names(scopes: &[Scope]) -> String {
    match scopes {
        [] => "none".into(),
        scopes => scopes
            .iter()
            .map(|scope| scope.as_str())
            .collect::<Vec<_>>()
            .join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_stays_and_what_may_not_stand_is_encoded() {
        let escaped = |path: &str| path.chars().map(escape).collect::<String>();
        assert_eq!(escaped("/api/0/web%401.0%2B/"), "/api/0/web%401.0%2B/");
        assert_eq!(escaped("/a b/ü#?/"), "/a%20b/%C3%BC%23%3F/");
    }
}
