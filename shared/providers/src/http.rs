//! Calls to hosts that users name: guarded, bounded in time and size, without redirects or retries.
//!
//! hyper with a connector of its own, because the connector is where the guard belongs: it resolves,
//! judges and connects in one step, so nothing can resolve to something else in between. Redirects are
//! not followed: nothing that is called here needs one, and each would carry credentials elsewhere.
//! Nothing is sent twice either; a call that is signed once must not be.

use std::{
    error::Error,
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use domain::Secret;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, Client},
    rt::{TokioExecutor, TokioIo},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::crypto::ring;
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;
use tokio::net::TcpStream;
use url::Url;

use crate::{
    error::{CallError, message},
    guard::Guard,
};

const USER_AGENT: &str = concat!("picket/", env!("CARGO_PKG_VERSION"));

/// A connection that waits longer may have been closed at the other end while the function was frozen.
const IDLE: Duration = Duration::from_secs(10);

/// No tracker that asks for more means it, and no queue could wait for it.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// All but the unreserved characters of RFC 3986, which is also what OAuth 1.0a encodes.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Percent-encodes a text for use in a query.
pub(crate) fn encode(text: &str) -> impl fmt::Display {
    utf8_percent_encode(text, RESERVED)
}

/// A text as one segment of a path. Two texts cannot be: a URL takes them for directions, however they
/// are encoded, and no issue is called so.
pub(crate) fn segment(text: &str) -> Result<impl fmt::Display, CallError> {
    if text == "." || text == ".." {
        return Err(CallError::Api {
            status: StatusCode::NOT_FOUND.as_u16(),
            message: format!("{text:?} is no key of an issue"),
            retry_after: None,
        });
    }
    Ok(encode(text))
}

/// How calls leave.
#[derive(Debug, Clone, Default)]
pub struct OutsideConfig {
    /// The base URL of a stand-in, on one machine: it is sent every request for `https://HOST/PATH` as
    /// `<via>/HOST/PATH`, and no host is looked up.
    pub via: Option<String>,
    /// Hosts, or `host:port`, that may resolve to anything and be called without TLS.
    pub allowed_hosts: Vec<String>,
    /// How long and how much.
    pub limits: Limits,
}

impl OutsideConfig {
    /// What a function's environment says: the stand-in, hosts separated by commas, and the time that a call
    /// may take.
    pub fn new(via: Option<&str>, allowed_hosts: &str, whole: Duration) -> Self {
        let hosts = allowed_hosts.split(',').map(str::trim);
        let hosts = hosts.filter(|host| !host.is_empty());
        Self {
            via: via.map(str::to_owned),
            allowed_hosts: hosts.map(str::to_owned).collect(),
            limits: Limits {
                whole,
                ..Limits::default()
            },
        }
    }
}

/// How long a call may take, and how much it may bring.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Looking up a host and connecting to it.
    pub connect: Duration,
    /// All of it, the connection included.
    pub whole: Duration,
    /// The longest answer in bytes.
    pub body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            whole: Duration::from_secs(20),
            body: 5 * 1024 * 1024,
        }
    }
}

/// The configuration makes no sense.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum InvalidConfig {
    /// This is no base URL of a stand-in.
    #[error("{0:?} is not an http URL without a query")]
    Via(String),
    /// This is neither a host nor a host with a port.
    #[error("{0:?} is neither a host nor a host and a port")]
    AllowedHost(String),
}

/// HTTP to hosts that users name. Clones share their connections.
#[derive(Clone)]
pub struct Outside {
    client: Client<HttpsConnector<Dial>, Full<Bytes>>,
    guard: Arc<Guard>,
    via: Option<String>,
    limits: Limits,
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut outside = f.debug_struct("Outside");
        outside.field("guard", &self.guard).field("via", &self.via);
        outside.finish_non_exhaustive()
    }
}

impl Outside {
    /// Once for a function: opens nothing yet.
    pub fn new(config: OutsideConfig) -> Result<Self, InvalidConfig> {
        let guard = Guard::new(&config.allowed_hosts).map_err(InvalidConfig::AllowedHost)?;
        let guard = Arc::new(guard);
        let via = config.via.map(stand_in).transpose()?;
        let dial = Dial {
            guard: via.is_none().then(|| guard.clone()),
            limit: config.limits.connect,
        };
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(ring::default_provider())
            .expect("ring speaks the default versions of TLS")
            .https_or_http()
            .enable_http1()
            .wrap_connector(dial);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(2)
            .build(connector);
        Ok(Self {
            client,
            guard,
            via,
            limits: config.limits,
        })
    }

    /// Sends a call and reads its answer to the end, whatever its status.
    pub(crate) async fn send(&self, call: Call) -> Result<Response, CallError> {
        let url = self.url(&call.url)?;
        let host = url.host_str().unwrap_or_default();
        let exchange = self.exchange(call, &url);
        match tokio::time::timeout(self.limits.whole, exchange).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(trouble)) => Err(trouble.of(host)),
            Err(_) => Err(Trouble::Timeout.of(host)),
        }
    }

    /// The URL as it will be called, for whoever signs it.
    pub(crate) fn url(&self, text: &str) -> Result<Url, CallError> {
        self.guard.admits_url(text).ok_or_else(|| {
            let url = Url::parse(text).ok();
            let host = url.as_ref().and_then(Url::host_str).unwrap_or("the host");
            Trouble::Unreachable.of(host)
        })
    }

    async fn exchange(&self, call: Call, url: &Url) -> Result<Response, Trouble> {
        let uri: Uri = match &self.via {
            Some(via) => format!("{via}/{}", &url[url::Position::BeforeHost..]).parse(),
            None => url.as_str().parse(),
        }
        .map_err(|_| Trouble::Unreachable)?;
        let mut request = Request::new(Full::new(call.body));
        *request.method_mut() = call.method;
        *request.uri_mut() = uri;
        *request.headers_mut() = call.headers;
        let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
        if let Ok(authority) = HeaderValue::from_str(authority) {
            request.headers_mut().insert(header::HOST, authority);
        }
        let answer = self.client.request(request).await;
        let (head, body) = answer.map_err(|error| Trouble::from(&error))?.into_parts();
        Ok(Response {
            body: self.read(head.status, body).await?,
            status: head.status,
            headers: head.headers,
            hidden: call.hidden,
        })
    }

    /// Reads no more than the limit: of an error the beginning is enough, anything else is needed whole.
    async fn read(&self, status: StatusCode, mut body: Incoming) -> Result<Bytes, Trouble> {
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Trouble::from(&error as &(dyn Error + 'static)))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            let room = self.limits.body - bytes.len();
            if data.len() > room {
                if status.is_success() {
                    return Err(Trouble::Unreadable);
                }
                bytes.extend_from_slice(&data[..room]);
                break;
            }
            bytes.extend_from_slice(&data);
        }
        Ok(bytes.into())
    }
}

fn stand_in(text: String) -> Result<String, InvalidConfig> {
    let fits =
        |url: &Url| url.scheme() == "http" && url.query().is_none() && url.username().is_empty();
    match Url::parse(&text).ok().filter(fits) {
        Some(url) => Ok(url.as_str().trim_end_matches('/').to_owned()),
        None => Err(InvalidConfig::Via(text)),
    }
}

/// A request in the making. It carries secrets and does not show itself.
pub(crate) struct Call {
    url: String,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
    hidden: Vec<Secret>,
}

impl Call {
    pub(crate) fn new(method: Method, url: impl Into<String>) -> Self {
        let agent = HeaderValue::from_static(USER_AGENT);
        Self {
            url: url.into(),
            method,
            headers: HeaderMap::from_iter([(header::USER_AGENT, agent)]),
            body: Bytes::new(),
            hidden: Vec::new(),
        }
    }

    pub(crate) fn method(&self) -> &Method {
        &self.method
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    /// What does not fit into a header is not sent; the tracker will miss it.
    pub(crate) fn authorization(mut self, text: &str) -> Self {
        if let Ok(mut value) = HeaderValue::from_str(text) {
            value.set_sensitive(true);
            self.headers.insert(header::AUTHORIZATION, value);
        }
        self
    }

    /// A text that is sent and must not be seen in an error, even if the other side repeats it.
    pub(crate) fn hiding(mut self, text: &str) -> Self {
        self.hidden.push(Secret::new(text));
        self
    }

    /// A body in JSON. The content type is the caller's to say.
    pub(crate) fn json(self, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("bodies have only text for keys");
        self.body(body)
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }
}

/// A whole answer. It may hold tokens and does not show itself.
pub(crate) struct Response {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    hidden: Vec<Secret>,
}

impl Response {
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// How long the tracker asks to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let text = self.header("retry-after")?.trim();
        match text.parse().map(Duration::from_secs) {
            Ok(wait) => Some(wait.min(LONGEST_WAIT)),
            Err(_) => self.until(httpdate::parse_http_date(text).ok()?),
        }
    }

    /// How long it is until then. It is measured from the answer's own date: neither clock has to be right.
    pub(crate) fn until(&self, moment: SystemTime) -> Option<Duration> {
        let now = httpdate::parse_http_date(self.header("date")?).ok()?;
        let wait = moment.duration_since(now).unwrap_or_default();
        Some(wait.min(LONGEST_WAIT))
    }

    /// The answer, if it is a success.
    pub(crate) fn accepted(self) -> Result<Self, CallError> {
        match self.status {
            status if status.is_success() => Ok(self),
            StatusCode::UNAUTHORIZED => Err(CallError::Unauthorized),
            StatusCode::CONFLICT => Err(CallError::Conflict),
            StatusCode::TOO_MANY_REQUESTS => Err(CallError::RateLimited {
                retry_after: self.retry_after(),
            }),
            status => Err(CallError::Api {
                status: status.as_u16(),
                message: message(&self.body, &self.hidden),
                retry_after: self.retry_after(),
            }),
        }
    }

    /// The body of a success. No content is an empty object.
    pub(crate) fn json<T: DeserializeOwned>(self) -> Result<T, CallError> {
        let accepted = self.accepted()?;
        let body = match accepted.status {
            StatusCode::NO_CONTENT => b"{}".as_slice(),
            _ => accepted.body(),
        };
        serde_json::from_slice(body).map_err(|_| CallError::Unsupported)
    }
}

/// A failed exchange, before it is said with whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Unreachable,
    Timeout,
    Reset,
    Unreadable,
}

impl Trouble {
    fn of(self, host: &str) -> CallError {
        let host = host.to_owned();
        match self {
            Self::Unreachable => CallError::Host { host },
            Self::Timeout => CallError::Timeout { host },
            Self::Reset => CallError::Reset,
            Self::Unreadable => CallError::Unsupported,
        }
    }

    fn of_io(error: &io::Error) -> Option<Self> {
        use io::ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof,
        };
        let broken = [
            BrokenPipe,
            ConnectionAborted,
            ConnectionReset,
            UnexpectedEof,
        ];
        let kind = error.kind();
        let timeout = (kind == TimedOut).then_some(Self::Timeout);
        timeout.or_else(|| broken.contains(&kind).then_some(Self::Reset))
    }

    fn of_hyper(error: &hyper::Error) -> Option<Self> {
        if error.is_parse() {
            Some(Self::Unreadable)
        } else if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
            Some(Self::Reset)
        } else {
            None
        }
    }
}

impl From<&(dyn Error + 'static)> for Trouble {
    /// The innermost error that says something.
    fn from(error: &(dyn Error + 'static)) -> Self {
        let (mut cause, mut known) = (Some(error), None);
        while let Some(error) = cause {
            let dial = error.downcast_ref().map(|DialError(trouble)| *trouble);
            let io = || error.downcast_ref().and_then(Self::of_io);
            let hyper = || error.downcast_ref().and_then(Self::of_hyper);
            known = dial.or_else(io).or_else(hyper).or(known);
            cause = error.source();
        }
        known.unwrap_or(Self::Unreachable)
    }
}

impl From<&legacy::Error> for Trouble {
    fn from(error: &legacy::Error) -> Self {
        Self::from(error as &(dyn Error + 'static))
    }
}

/// Looks a host up, judges what it finds, and connects to one of those addresses.
#[derive(Clone)]
struct Dial {
    /// `None`: what is dialled is the stand-in.
    guard: Option<Arc<Guard>>,
    limit: Duration,
}

#[derive(Debug, PartialEq, Eq, Error)]
#[error("no connection")]
struct DialError(Trouble);

impl Dial {
    async fn connect(self, uri: Uri) -> Result<TcpStream, DialError> {
        let limit = self.limit;
        let connecting = tokio::time::timeout(limit, self.try_connect(uri));
        let connected = connecting.await.unwrap_or(Err(Trouble::Timeout));
        connected.map_err(DialError)
    }

    async fn try_connect(self, uri: Uri) -> Result<TcpStream, Trouble> {
        let unreachable = |_| Trouble::Unreachable;
        let host = uri.host().ok_or(Trouble::Unreachable)?;
        let port = match uri.scheme_str() {
            Some("https") => uri.port_u16().unwrap_or(443),
            _ => uri.port_u16().unwrap_or(80),
        };
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let addresses: Vec<_> = tokio::net::lookup_host((name, port))
            .await
            .map_err(unreachable)?
            .collect();
        if let Some(guard) = &self.guard
            && !guard.admits_addresses(host, port, &addresses)
        {
            return Err(Trouble::Unreachable);
        }
        let stream = TcpStream::connect(addresses.as_slice());
        let stream = stream
            .await
            .map_err(|error| Trouble::of_io(&error).unwrap_or(Trouble::Unreachable))?;
        stream.set_nodelay(true).map_err(unreachable)?;
        Ok(stream)
    }
}

impl tower_service::Service<Uri> for Dial {
    type Response = TokioIo<TcpStream>;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, DialError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dial = self.clone();
        Box::pin(async move { dial.connect(uri).await.map(TokioIo::new) })
    }
}

#[cfg(test)]
mod tests;
