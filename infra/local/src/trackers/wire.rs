//! The trackers' side of the wire: what came in, what goes out, and what the mode makes of it. It must not
//! know what any tracker means by either.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, Method, Response, StatusCode, Uri, header},
};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::BodyExt;
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{Mode, Provider, World};

const DRIP: Duration = Duration::from_millis(100);
const HUGE: usize = 5 * 1024 * 1024 + 1;

/// A request, read to its end.
#[derive(Debug)]
pub(super) struct Asked {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Asked {
    pub(super) fn method(&self) -> &str {
        self.method.as_str()
    }

    /// Host, path and query.
    pub(super) fn target(&self) -> String {
        self.uri.to_string().trim_start_matches('/').to_owned()
    }

    /// The host and the segments of the path, as they came.
    pub(super) fn segments(&self) -> Vec<&str> {
        self.uri.path().split('/').skip(1).collect()
    }

    /// The URL that was meant, without its query.
    pub(super) fn url(&self) -> String {
        format!("https:/{}", self.uri.path())
    }

    pub(super) fn query(&self) -> impl Iterator<Item = (String, String)> {
        let pairs = form_urlencoded::parse(self.uri.query().unwrap_or_default().as_bytes());
        pairs.into_owned()
    }

    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        let mut query = self.query();
        query.find_map(|(found, value)| (found == name).then_some(value))
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Without its parameters.
    pub(super) fn content_type(&self) -> Option<&str> {
        self.header("content-type")?.split(';').next()
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }
}

/// An answer in the making.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Answer {
    pub(super) fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub(super) fn json(status: StatusCode, body: &Value) -> Self {
        let answer = Self {
            body: body.to_string().into_bytes(),
            ..Self::empty(status)
        };
        answer.with("content-type", "application/json; charset=utf-8")
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// To a call that the bundle does not make, so that a new one is noticed.
    pub(super) fn not_emulated(asked: &Asked) -> Self {
        let (method, target) = (asked.method(), asked.target());
        tracing::error!(method, target, "no simulated tracker knows this call");
        let text = format!("cargo local does not emulate {method} {target}");
        Self::json(StatusCode::NOT_FOUND, &json!({ "message": text }))
    }

    /// What every call gets in this mode; `None`: it is looked at.
    fn refusal(provider: Provider, mode: Mode) -> Option<Self> {
        let refusal = |status, text| Some(provider.refusal(status, text));
        match mode {
            Mode::RateLimited { retry_after } => {
                let answer = provider.refusal(StatusCode::TOO_MANY_REQUESTS, "too many requests");
                Some(answer.with("retry-after", retry_after.to_string()))
            }
            Mode::Failing => refusal(StatusCode::INTERNAL_SERVER_ERROR, "it is broken"),
            Mode::RefusedToken => refusal(StatusCode::UNAUTHORIZED, "the token is refused"),
            Mode::Forbidden => refusal(StatusCode::FORBIDDEN, "the token may not read this"),
            Mode::Ok
            | Mode::UnknownCommit
            | Mode::Slow { .. }
            | Mode::Hang
            | Mode::SlowDrip
            | Mode::HugeBody
            | Mode::LostAnswer
            | Mode::LostWrite
            | Mode::Faults { .. } => None,
        }
    }

    /// White space after JSON is right: only its length is wrong.
    fn swollen(mut self) -> Self {
        self.body.resize(HUGE, b' ');
        if self.status == StatusCode::NO_CONTENT {
            self.status = StatusCode::OK;
        }
        self
    }

    fn response(self, mode: Mode) -> Response<Body> {
        let length = self.body.len();
        let slow = mode == Mode::SlowDrip && length > 0;
        let bytes = Bytes::from(self.body);
        let body = if slow { drip(bytes) } else { Body::from(bytes) };
        let mut response = Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        if slow {
            response = response.header(header::CONTENT_LENGTH, length);
        }
        response.body(body).expect("headers of our own making")
    }
}

fn drip(bytes: Bytes) -> Body {
    let drops = stream::unfold(bytes, |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(DRIP).await;
        let byte = rest.split_to(1);
        Some((Ok::<_, Infallible>(byte), rest))
    });
    Body::from_stream(drops)
}

/// Serves until it is dropped, and its connections with it.
///
/// Not axum's own server: a connection that breaks without an answer is none that it knows.
pub(super) async fn serve(listener: TcpListener, world: Arc<World>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(connection(stream, world.clone()));
        // Those that have ended.
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, world: Arc<World>) {
    let service = service_fn(move |request| answer(world.clone(), request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // An error is a connection that the client has broken, or we have.
    let _ = connection.await;
}

/// An error breaks the connection.
async fn answer(world: Arc<World>, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let asked = Asked {
        method: head.method,
        uri: head.uri,
        headers: head.headers,
        body,
    };
    let (number, provider, mode, held) = world.received(&asked);
    if let Some(held) = held {
        held.wait().await;
    }
    if mode == Mode::Hang {
        return std::future::pending().await;
    }
    let refusal = provider.and_then(|provider| Answer::refusal(provider, mode));
    let answer = refusal.unwrap_or_else(|| world.carry_out(provider, &asked, mode));
    if [Mode::LostAnswer, Mode::LostWrite].contains(&mode) {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    let answer = match mode == Mode::HugeBody {
        true => answer.swollen(),
        false => answer,
    };
    world.answered(number, answer.status);
    Ok(answer.response(mode))
}
