//! API Gateway on one port: turns HTTP requests into the events that AWS sends, and answers of functions back.
//!
//! `/api/0/**` goes to the REST API (version 1 events, the path as the client encoded it), the rest to the HTTP API
//! (version 2 events, the path decoded), with AWS's limits and refusals, because code that only meets a friendlier
//! gateway breaks on the real one. It must not know what a function does, nor how it is run.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use axum::serve::ListenerExt as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::BoxFuture;
use http_body_util::BodyExt as _;
use serde_json::{Map, Value, json};

use crate::template::{Gateway, Route};

/// Runs a function, given its name and the JSON of an event: the JSON of its answer, or the text of a function error.
pub type Invoke =
    Arc<dyn Fn(&str, String) -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

const LARGEST_BODY: usize = 10 * 1024 * 1024;
const LARGEST_PAYLOAD: usize = 6 * 1024 * 1024;
const LARGEST_HEADERS: usize = 10_240;
const REST_TIMEOUT: Duration = Duration::from_secs(29);
const HTTP_TIMEOUT: Duration = Duration::from_secs(30);

/// About one connection, not about the request: a gateway passes none of them on.
const HOP_BY_HOP: [&str; 7] = [
    "connection",
    "expect",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers of an answer that a REST API sends under `x-amzn-remapped-...` only.
const REMAPPED: [&str; 5] = [
    "connection",
    "content-length",
    "date",
    "server",
    "www-authenticate",
];

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
        let matched = choose(&self.routes, call.kind, &call.path).pick(&call.parts)?;
        let body = body.map_err(|BodyTooLarge| Refusal::TooLarge)?;
        let event = match &matched.route.gateway {
            Gateway::Rest { stage } => rest_event(call, &matched, stage, &body),
            Gateway::Http => http_event(call, &matched, &body),
        };
        let event = event.to_string();
        if event.len() > LARGEST_PAYLOAD {
            return Err(Refusal::TooLarge);
        }
        let payload = self.run(call.kind, &matched.route.function, event).await?;
        let answer = match call.kind {
            Kind::Rest => rest_answer(&payload),
            Kind::Http => http_answer(&payload),
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

#[derive(Clone, Copy, Debug, PartialEq)]
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
#[derive(Clone, Copy, Debug, PartialEq)]
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

// The request -------------------------------------------------------------------------------------------------------

/// A request with everything that both kinds of event tell of it.
struct Call {
    kind: Kind,
    parts: Parts,
    /// As this kind of gateway hands it on.
    path: String,
    query: Vec<(String, String)>,
    source: SocketAddr,
    port: u16,
    request_id: String,
    at: Duration,
}

impl Call {
    fn new(kind: Kind, parts: Parts, port: u16) -> Call {
        let source = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let raw = parts.uri.path();
        Call {
            kind,
            path: match kind {
                Kind::Rest => raw.to_owned(),
                Kind::Http => decoded_path(raw),
            },
            query: query_pairs(parts.uri.query().unwrap_or_default()),
            source: source.map_or(SocketAddr::from(([127, 0, 0, 1], 0)), |info| info.0),
            port,
            request_id: request_id(),
            at: now(),
            parts,
        }
    }

    fn method(&self) -> &str {
        self.parts.method.as_str()
    }

    fn protocol(&self) -> String {
        format!("{:?}", self.parts.version)
    }

    fn header(&self, name: &str) -> Option<String> {
        self.parts.headers.get(name).map(text_of)
    }

    fn domain(&self) -> String {
        let host = self.header("host");
        host.unwrap_or_else(|| format!("localhost:{}", self.port))
    }

    /// What AWS counts: all names and values.
    fn header_bytes(&self) -> usize {
        let headers = self.parts.headers.iter();
        headers
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum()
    }

    /// The headers in their order, with those that every gateway sets, by lower-case names.
    fn headers(&self) -> Vec<(String, String)> {
        let added = ["x-forwarded-for", "x-forwarded-port", "x-forwarded-proto"];
        let came = self.parts.headers.iter();
        let came = came.filter(|(name, _)| {
            !HOP_BY_HOP.contains(&name.as_str()) && !added.contains(&name.as_str())
        });
        let mut headers: Vec<_> = came
            .map(|(name, value)| (name.as_str().to_owned(), text_of(value)))
            .collect();
        let ip = self.source.ip().to_string();
        let forwarded = self.header("x-forwarded-for");
        let forwarded = forwarded.map_or(ip.clone(), |before| format!("{before}, {ip}"));
        let [forwarded_for, forwarded_port, forwarded_proto] = added.map(str::to_owned);
        headers.push((forwarded_for, forwarded));
        headers.push((forwarded_port, self.port.to_string()));
        headers.push((forwarded_proto, "http".to_owned()));
        if !self.parts.headers.contains_key("x-amzn-trace-id") {
            headers.push(("x-amzn-trace-id".to_owned(), self.trace_id()));
        }
        headers
    }

    fn trace_id(&self) -> String {
        let random = self.request_id.replace('-', "");
        format!("Root=1-{:08x}-{}", self.at.as_secs(), &random[..24])
    }
}

fn text_of(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn request_id() -> String {
    let hex = format!("{:032x}", rand::random::<u128>());
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

#[expect(
    clippy::disallowed_methods,
    reason = "a gateway stamps its events with the real time, whatever the functions' clock says"
)]
fn now() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default()
}

/// Like `21/Nov/2026:10:26:22 +0000`.
fn request_time(at: Duration) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let seconds = at.as_secs();
    let (year, month, day) = civil_date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    let month = MONTHS[month];
    format!("{day:02}/{month}/{year}:{hour:02}:{minute:02}:{second:02} +0000")
}

/// Year, month from 0 and day of a day since 1970, by counting years from March, so that a leap day comes last.
fn civil_date(days: u64) -> (u64, usize, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let year = era * 400 + year_of_era + u64::from(from_march >= 10);
    (year, (from_march as usize + 2) % 12, day)
}

/// Replaces each %XX that `decodes` admits.
fn percent_decode(text: &str, decodes: impl Fn(u8) -> bool) -> String {
    let (bytes, mut decoded, mut at) = (text.as_bytes(), Vec::new(), 0);
    while let Some(&byte) = bytes.get(at) {
        match encoded_byte(&bytes[at..]).filter(|byte| decodes(*byte)) {
            Some(value) => {
                decoded.push(value);
                at += 3;
            }
            None => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn encoded_byte(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else {
        return None;
    };
    let digit = |hex: &u8| char::from(*hex).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// The path as an HTTP API hands it on: decoded, but for `%25`, and cut at a question mark that was encoded.
fn decoded_path(raw: &str) -> String {
    let decoded = percent_decode(raw, |byte| byte != b'%');
    let path = decoded.split('?').next();
    path.unwrap_or_default().to_owned()
}

fn query_pairs(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| percent_decode(&text.replace('+', " "), |_| true);
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

// The route -------------------------------------------------------------------------------------------------------

#[derive(Debug)]
struct Matched<'r> {
    route: &'r Route,
    parameters: Map<String, Value>,
}

/// All routes whose paths fit, the most specific path first.
struct Candidates<'r> {
    kind: Kind,
    ranked: Vec<(Vec<u8>, Matched<'r>)>,
}

fn choose<'r>(routes: &'r [Route], kind: Kind, path: &str) -> Candidates<'r> {
    let mut ranked: Vec<_> = routes
        .iter()
        .filter(|route| kind.has(route))
        .filter_map(|route| {
            let (rank, parameters) = fit(&route.path, path, kind)?;
            Some((rank, Matched { route, parameters }))
        })
        .collect();
    ranked.sort_by(|(left, _), (right, _)| left.cmp(right));
    Candidates { kind, ranked }
}

impl<'r> Candidates<'r> {
    /// A REST API settles on the path first and then wants the method there; an HTTP API goes on to wider paths.
    fn pick(self, parts: &Parts) -> Result<Matched<'r>, Refusal> {
        let best = self.ranked.first().map(|(rank, _)| rank.clone());
        let admitted = self.ranked.into_iter().filter(|(rank, matched)| {
            let method = matched.route.method.as_deref();
            let path = self.kind == Kind::Http || Some(rank) == best.as_ref();
            path && method.is_none_or(|method| method == parts.method.as_str())
        });
        let chosen = admitted.min_by_key(|(rank, it)| (rank.clone(), it.route.method.is_none()));
        chosen.map(|(_, matched)| matched).ok_or(Refusal::NoRoute)
    }
}

/// How well a path fits (one number a segment: literal before `{parameter}` before `{proxy+}`), and its parameters.
fn fit(pattern: &str, path: &str, kind: Kind) -> Option<(Vec<u8>, Map<String, Value>)> {
    if pattern == "$default" {
        return Some((vec![3], Map::new()));
    }
    // A REST API ignores a slash at the end when it looks for the resource.
    let path = match kind {
        Kind::Rest => path.strip_suffix('/').unwrap_or(path),
        Kind::Http => path,
    };
    let (mut rank, mut parameters) = (Vec::new(), Map::new());
    let mut rest = Some(path);
    for part in pattern.split('/') {
        let (segment, tail) = match rest? {
            text if part.ends_with("+}") => (text, None),
            text => text
                .split_once('/')
                .map_or((text, None), |(one, tail)| (one, Some(tail))),
        };
        rest = tail;
        rank.push(fit_segment(part, segment, &mut parameters)?);
    }
    rest.is_none().then_some((rank, parameters))
}

fn fit_segment(part: &str, segment: &str, parameters: &mut Map<String, Value>) -> Option<u8> {
    let Some(name) = part
        .strip_prefix('{')
        .and_then(|part| part.strip_suffix('}'))
    else {
        return (part == segment).then_some(0);
    };
    if segment.is_empty() {
        return None;
    }
    let (name, rank) = match name.strip_suffix('+') {
        Some(name) => (name, 2),
        None => (name, 1),
    };
    parameters.insert(name.to_owned(), segment.into());
    Some(rank)
}

// The events ------------------------------------------------------------------------------------------------------

fn rest_event(call: &Call, matched: &Matched<'_>, stage: &str, body: &[u8]) -> Value {
    let headers = call
        .headers()
        .into_iter()
        .map(|(name, value)| (as_rest_writes(name), value));
    let (headers, multi_headers) = single_and_multi(headers);
    let (query, multi_query) = single_and_multi(call.query.iter().cloned());
    json!({
        "resource": matched.route.path,
        "path": call.path,
        "httpMethod": call.method(),
        "headers": headers,
        "multiValueHeaders": multi_headers,
        "queryStringParameters": null_if_empty(query),
        "multiValueQueryStringParameters": null_if_empty(multi_query),
        "pathParameters": null_if_empty(matched.parameters.clone()),
        "stageVariables": null,
        "requestContext": rest_context(call, matched, stage),
        // Without binary media types a REST API takes every body for text, and ruins what is not.
        "body": (!body.is_empty()).then(|| String::from_utf8_lossy(body)),
        "isBase64Encoded": false,
    })
}

fn rest_context(call: &Call, matched: &Matched<'_>, stage: &str) -> Value {
    json!({
        "resourceId": "local",
        "resourcePath": matched.route.path,
        "httpMethod": call.method(),
        "extendedRequestId": call.request_id,
        "requestTime": request_time(call.at),
        "path": format!("/{stage}{}", call.path),
        "accountId": "000000000000",
        "protocol": call.protocol(),
        "stage": stage,
        "domainPrefix": "local",
        "requestTimeEpoch": call.at.as_millis() as u64,
        "requestId": call.request_id,
        "identity": {
            "cognitoIdentityPoolId": null,
            "accountId": null,
            "cognitoIdentityId": null,
            "caller": null,
            "sourceIp": call.source.ip().to_string(),
            "principalOrgId": null,
            "accessKey": null,
            "cognitoAuthenticationType": null,
            "cognitoAuthenticationProvider": null,
            "userArn": null,
            "userAgent": call.header("user-agent"),
            "user": null,
        },
        "domainName": call.domain(),
        "deploymentId": "local",
        "apiId": "local",
    })
}

/// A REST API passes names on as they came, in lower case over HTTP/2, and writes its own with capitals.
fn as_rest_writes(name: String) -> String {
    let own = match name.as_str() {
        "host" => "Host",
        "user-agent" => "User-Agent",
        "x-amzn-trace-id" => "X-Amzn-Trace-Id",
        "x-forwarded-for" => "X-Forwarded-For",
        "x-forwarded-port" => "X-Forwarded-Port",
        "x-forwarded-proto" => "X-Forwarded-Proto",
        _ => return name,
    };
    own.to_owned()
}

/// Each name with its last value, and with all its values.
fn single_and_multi(
    pairs: impl Iterator<Item = (String, String)>,
) -> (Map<String, Value>, Map<String, Value>) {
    let mut multi: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in pairs {
        multi.entry(name).or_default().push(value);
    }
    let single = multi
        .iter()
        .map(|(name, values)| (name.clone(), json!(values.last())));
    let single = single.collect();
    let multi = multi
        .into_iter()
        .map(|(name, values)| (name, json!(values)));
    (single, multi.collect())
}

fn null_if_empty(map: Map<String, Value>) -> Value {
    if map.is_empty() {
        Value::Null
    } else {
        Value::Object(map)
    }
}

/// Unlike version 1, version 2 leaves out what is empty.
fn http_event(call: &Call, matched: &Matched<'_>, body: &[u8]) -> Value {
    let (cookies, headers): (Vec<_>, Vec<_>) = call
        .headers()
        .into_iter()
        .partition(|(name, _)| name == "cookie");
    let route_key = route_key(matched.route);
    let mut event = json!({
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": call.path,
        "rawQueryString": call.parts.uri.query().unwrap_or_default(),
        "headers": joined(headers),
        "requestContext": http_context(call, &route_key),
        "isBase64Encoded": false,
    });
    let cookies = cookies.iter().flat_map(|(_, value)| value.split("; "));
    let cookies: Vec<_> = cookies.filter(|cookie| !cookie.is_empty()).collect();
    if !cookies.is_empty() {
        event["cookies"] = json!(cookies);
    }
    if !call.query.is_empty() {
        event["queryStringParameters"] = joined(call.query.clone()).into();
    }
    if !matched.parameters.is_empty() {
        event["pathParameters"] = matched.parameters.clone().into();
    }
    match std::str::from_utf8(body) {
        _ if body.is_empty() => {}
        Ok(text) if is_text(call.header("content-type").as_deref()) => event["body"] = text.into(),
        Ok(_) | Err(_) => {
            event["body"] = STANDARD.encode(body).into();
            event["isBase64Encoded"] = true.into();
        }
    }
    event
}

fn http_context(call: &Call, route_key: &str) -> Value {
    json!({
        "accountId": "000000000000",
        "apiId": "local",
        "domainName": call.domain(),
        "domainPrefix": "local",
        "http": {
            "method": call.method(),
            "path": call.path,
            "protocol": call.protocol(),
            "sourceIp": call.source.ip().to_string(),
            "userAgent": call.header("user-agent").unwrap_or_default(),
        },
        "requestId": call.request_id,
        "routeKey": route_key,
        "stage": "$default",
        "time": request_time(call.at),
        "timeEpoch": call.at.as_millis() as u64,
    })
}

fn route_key(route: &Route) -> String {
    match route.path.as_str() {
        "$default" => "$default".to_owned(),
        path => format!("{} {path}", route.method.as_deref().unwrap_or("ANY")),
    }
}

/// Version 2 has one value a name: several are joined by commas.
fn joined(pairs: Vec<(String, String)>) -> Map<String, Value> {
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in pairs {
        joined
            .entry(name)
            .and_modify(|before| {
                before.push(',');
                before.push_str(&value);
            })
            .or_insert(value);
    }
    joined
        .into_iter()
        .map(|(name, value)| (name, value.into()))
        .collect()
}

/// What an HTTP API does not encode. A form or a body without a type is not in the list.
fn is_text(content_type: Option<&str>) -> bool {
    let content_type = content_type.unwrap_or_default().to_ascii_lowercase();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.starts_with("text/")
        || [
            "application/json",
            "application/javascript",
            "application/xml",
        ]
        .contains(&essence)
}

// The answers -----------------------------------------------------------------------------------------------------

/// `None` where a REST API would find the answer malformed: it admits these five fields and no others.
fn rest_answer(payload: &str) -> Option<Response<Body>> {
    let answer: Map<String, Value> = serde_json::from_str(payload).ok()?;
    let fields = [
        "statusCode",
        "headers",
        "multiValueHeaders",
        "body",
        "isBase64Encoded",
    ];
    if !answer.keys().all(|key| fields.contains(&key.as_str())) {
        return None;
    }
    let mut pairs = multi_value_headers(answer.get("multiValueHeaders"))?;
    for pair in single_headers(answer.get("headers"))? {
        if !pairs.contains(&pair) {
            pairs.push(pair);
        }
    }
    for (name, _) in &mut pairs {
        if REMAPPED.contains(&name.as_str()) {
            *name = HeaderName::try_from(format!("x-amzn-remapped-{name}")).ok()?;
        }
    }
    // Without binary media types a REST API does not decode base64: the client gets it as it is.
    let body = text_body(answer.get("body"))?;
    let status = status_code(answer.get("statusCode")?)?;
    Some(response(status, pairs, body.into(), "application/json"))
}

/// `None` where an HTTP API would answer 500.
fn http_answer(payload: &str) -> Option<Response<Body>> {
    let answer: Value = serde_json::from_str(payload).ok()?;
    // An answer without a status is taken for the body itself.
    let Some(status) = answer.get("statusCode") else {
        let body = answer.as_str().map_or(payload, |text| text).to_owned();
        return Some(response(
            StatusCode::OK,
            Vec::new(),
            body.into(),
            "application/json",
        ));
    };
    let mut pairs = single_headers(answer.get("headers"))?;
    pairs.retain(|(name, _)| {
        ![
            header::CONTENT_LENGTH,
            header::TRANSFER_ENCODING,
            header::CONNECTION,
        ]
        .contains(name)
    });
    for cookie in answer["cookies"].as_array().into_iter().flatten() {
        pairs.push((header::SET_COOKIE, header_value(cookie)?));
    }
    let body = text_body(answer.get("body"))?;
    let body = match answer["isBase64Encoded"].as_bool() {
        Some(true) => STANDARD.decode(body).ok()?,
        Some(false) | None => body.into_bytes(),
    };
    let default = "text/plain;charset=UTF-8";
    Some(response(status_code(status)?, pairs, body, default))
}

fn response(
    status: StatusCode,
    pairs: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
    default_type: &'static str,
) -> Response<Body> {
    let mut headers: HeaderMap = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(name, value);
    }
    headers
        .entry(header::CONTENT_TYPE)
        .or_insert(HeaderValue::from_static(default_type));
    let has_body = status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED;
    let mut response = Response::new(if has_body { body.into() } else { Body::empty() });
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn status_code(value: &Value) -> Option<StatusCode> {
    let number = match value.as_str() {
        Some(text) => text.parse().ok()?,
        None => u16::try_from(value.as_u64()?).ok()?,
    };
    // Anything below would be an interim answer.
    let status = StatusCode::from_u16(number).ok()?;
    (200..600).contains(&number).then_some(status)
}

fn text_body(value: Option<&Value>) -> Option<String> {
    match value {
        None | Some(Value::Null) => Some(String::new()),
        Some(value) => value.as_str().map(str::to_owned),
    }
}

fn single_headers(value: Option<&Value>) -> Option<Vec<(HeaderName, HeaderValue)>> {
    header_entries(value)?
        .map(|(name, value)| Some((header_name(name)?, header_value(value)?)))
        .collect()
}

fn multi_value_headers(value: Option<&Value>) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let mut pairs = Vec::new();
    for (name, values) in header_entries(value)? {
        for value in values.as_array()? {
            pairs.push((header_name(name)?, header_value(value)?));
        }
    }
    Some(pairs)
}

fn header_entries(value: Option<&Value>) -> Option<impl Iterator<Item = (&String, &Value)>> {
    let object = match value {
        None | Some(Value::Null) => None,
        Some(value) => Some(value.as_object()?),
    };
    Some(object.into_iter().flatten())
}

fn header_name(name: &str) -> Option<HeaderName> {
    HeaderName::try_from(name).ok()
}

fn header_value(value: &Value) -> Option<HeaderValue> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests;
