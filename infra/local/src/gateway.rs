//! API Gateway on one port: turns HTTP requests into the events that AWS sends, and answers of functions back.
//!
//! `/api/0/**` goes to the REST API (version 1 events, the path as the client encoded it), the rest to the HTTP API
//! (version 2 events, the path decoded), with AWS's limits and refusals, because code that only meets a friendlier
//! gateway breaks on the real one. It must not know what a function does, nor how it is run.

mod answer;
mod http;
mod request;
mod rest;
mod routes;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::serve::ListenerExt as _;
use futures_util::future::BoxFuture;
use http_body_util::BodyExt as _;
use serde_json::json;

use crate::template::{Gateway, Route};
use request::Call;

/// Runs a function, given its name and the JSON of an event: the JSON of its answer, or the text of a function error.
pub type Invoke =
    Arc<dyn Fn(&str, String) -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

const LARGEST_BODY: usize = 10 * 1024 * 1024;
const LARGEST_PAYLOAD: usize = 6 * 1024 * 1024;
const LARGEST_HEADERS: usize = 10_240;
const REST_TIMEOUT: Duration = Duration::from_secs(29);
const HTTP_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves both gateways, and `local` for the paths that it has routes for, until `shutdown` ends.
///
/// # Errors
/// Fails only where the listener cannot tell its address.
pub async fn serve(
    listener: tokio::net::TcpListener,
    routes: Vec<Route>,
    invoke: Invoke,
    local: axum::Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let front = Front {
        port: listener
            .local_addr()
            .context("the listener's address")?
            .port(),
        routes,
        invoke,
        rest_timeout: REST_TIMEOUT,
        http_timeout: HTTP_TIMEOUT,
    };
    front.serve(listener, local, shutdown).await
}

struct Front {
    port: u16,
    routes: Vec<Route>,
    invoke: Invoke,
    rest_timeout: Duration,
    http_timeout: Duration,
}

impl Front {
    async fn serve(
        self,
        listener: tokio::net::TcpListener,
        local: axum::Router,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let front = Arc::new(self);
        let app = local.fallback(move |request: Request| {
            let front = Arc::clone(&front);
            async move { front.answer(request).await }
        });
        // An answer is often smaller than a segment, and would wait for the client's acknowledgment.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        axum::serve(
            listener,
            app.into_make_service_with_connect_info::<SocketAddr>(),
        )
        .with_graceful_shutdown(shutdown)
        .await
        .context("the HTTP front stopped")
    }

    async fn answer(&self, request: Request) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let kind = Kind::of(parts.uri.path());
        let call = Call::new(kind, parts, self.port);
        let mut response = match self.try_answer(&call, body).await {
            Ok(response) => response,
            Err(refusal) => refusal.response(kind),
        };
        if let Ok(id) = HeaderValue::from_str(&call.request_id) {
            response.headers_mut().insert(kind.id_header(), id);
        }
        response
    }

    async fn try_answer(&self, call: &Call, body: Body) -> Result<Response<Body>, Refusal> {
        // Read in any case: a client that is still sending would see a broken connection and not the answer.
        let body = read_body(body).await;
        if call.header_bytes() > LARGEST_HEADERS {
            return Err(Refusal::HeadersTooLarge);
        }
        let matched = routes::choose(&self.routes, call.kind, &call.path, call.method());
        let matched = matched.ok_or(Refusal::NoRoute)?;
        let body = body.map_err(|BodyTooLarge| Refusal::TooLarge)?;
        let event = match &matched.route.gateway {
            Gateway::Rest { stage } => rest::event(call, &matched, stage, &body),
            Gateway::Http => http::event(call, &matched, &body),
        };
        let event = event.to_string();
        if event.len() > LARGEST_PAYLOAD {
            return Err(Refusal::TooLarge);
        }
        let payload = self.run(call.kind, &matched.route.function, event).await?;
        let answer = match call.kind {
            Kind::Rest => rest::answer(&payload),
            Kind::Http => http::answer(&payload),
        };
        answer.ok_or_else(|| {
            tracing::warn!(function = %matched.route.function, "the answer is not one that API Gateway understands");
            Refusal::FunctionFailed
        })
    }

    /// The invocation is a task of its own: on AWS, too, a function runs on when its gateway or client has given up.
    async fn run(&self, kind: Kind, function: &str, event: String) -> Result<String, Refusal> {
        let timeout = match kind {
            Kind::Rest => self.rest_timeout,
            Kind::Http => self.http_timeout,
        };
        let invocation = tokio::spawn((self.invoke)(function, event));
        let outcome = tokio::time::timeout(timeout, invocation).await;
        let error = match outcome.map_err(|_| Refusal::TimedOut)? {
            Ok(Ok(payload)) if payload.len() <= LARGEST_PAYLOAD => return Ok(payload),
            Ok(Ok(_)) => "the answer exceeds 6 MB".to_owned(),
            Ok(Err(error)) => error,
            Err(panic) => panic.to_string(),
        };
        tracing::warn!(%function, error, "the function failed");
        Err(Refusal::FunctionFailed)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Rest,
    Http,
}

impl Kind {
    fn of(path: &str) -> Kind {
        match path.strip_prefix("/api/0") {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => Kind::Rest,
            Some(_) | None => Kind::Http,
        }
    }

    fn has(self, route: &Route) -> bool {
        matches!(
            (self, &route.gateway),
            (Kind::Rest, Gateway::Rest { .. }) | (Kind::Http, Gateway::Http)
        )
    }

    fn id_header(self) -> &'static str {
        match self {
            Kind::Rest => "x-amzn-requestid",
            Kind::Http => "apigw-requestid",
        }
    }
}

/// What a gateway answers by itself.
#[derive(Clone, Copy)]
enum Refusal {
    NoRoute,
    HeadersTooLarge,
    TooLarge,
    FunctionFailed,
    TimedOut,
}

impl Refusal {
    fn response(self, kind: Kind) -> Response<Body> {
        let (status, message) = match (self, kind) {
            (Refusal::NoRoute, Kind::Rest) => (403, "Missing Authentication Token"),
            (Refusal::NoRoute, Kind::Http) => (404, "Not Found"),
            (Refusal::HeadersTooLarge, _) => (431, "Request Header Fields Too Large"),
            (Refusal::TooLarge, Kind::Rest) => (413, "Request Too Long"),
            (Refusal::TooLarge, Kind::Http) => (413, "Request Entity Too Large"),
            (Refusal::FunctionFailed, Kind::Rest) => (502, "Internal server error"),
            (Refusal::FunctionFailed, Kind::Http) => (500, "Internal Server Error"),
            (Refusal::TimedOut, Kind::Rest) => (504, "Endpoint request timed out"),
            (Refusal::TimedOut, Kind::Http) => (503, "Service Unavailable"),
        };
        let mut response = Response::new(Body::from(json!({ "message": message }).to_string()));
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }
}

struct BodyTooLarge;

async fn read_body(mut body: Body) -> Result<Vec<u8>, BodyTooLarge> {
    let (mut kept, mut size) = (Vec::new(), 0);
    // A frame that fails is a client that has gone; nobody reads the answer.
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else {
            continue;
        };
        size += data.len();
        if size <= LARGEST_BODY {
            kept.extend_from_slice(&data);
        }
    }
    if size <= LARGEST_BODY {
        Ok(kept)
    } else {
        Err(BodyTooLarge)
    }
}

#[cfg(test)]
mod tests;
