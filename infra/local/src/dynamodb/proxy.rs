//! What stands between the clients and dynoxide, request by request.
//!
//! It exists to pass on what the bundle may call, as it came, and to decide which read is stale, which write
//! meets another and what is throttled. It must not know how a replica keeps up, nor what an item holds.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::call::{Call, Operation, TakenOut, operation_name};
use super::conflicts::{Claim, ERROR_PREFIX, claim, conflict};
use super::node::Node;
use super::replica::{MAX_LAG, Replica};
use super::throttling::{left_out, refused};
use super::usage::{Used, ask, deletes};
use super::{Faults, lock};
use crate::access::{Access, caller};
use crate::faults::Draws;

/// The table's name in the roles.
const RESOURCE: &str = "table";

type Answer = Response<Full<Bytes>>;

/// What the handle and the connections share; kept apart from the handle so that a connection which
/// is still open does not keep the servers alive.
pub(super) struct Proxy {
    pub(super) primary: Node,
    pub(super) replica: Option<Replica>,
    faults: Faults,
    access: Arc<Access>,
    draws: Mutex<Draws>,
    /// While set, nothing goes wrong on purpose.
    pub(super) quiet: AtomicBool,
    client: Client<HttpConnector, Full<Bytes>>,
    /// The keys that are being written, while there are conflicts.
    pub(super) in_flight: Mutex<HashSet<String>>,
    /// How often each was asked for.
    pub(super) operations: Mutex<BTreeMap<String, u64>>,
    /// What was used since somebody began to measure.
    pub(super) usage: Mutex<Option<Vec<Used>>>,
    /// Whose answer is to be lost, and how many calls before that one.
    pub(super) lost: Mutex<Option<(String, u64)>>,
    /// Counts the writes.
    pub(super) bell: watch::Sender<u64>,
}

pub(super) async fn accept(listener: TcpListener, proxy: Arc<Proxy>) {
    // Dropped with this task, and the connections with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve_connection(stream, Arc::clone(&proxy)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve_connection(stream: TcpStream, proxy: Arc<Proxy>) {
    // Small answers would wait for an acknowledgement otherwise.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answer(Arc::clone(&proxy), request));
    // A client that hangs up is no event.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(proxy: Arc<Proxy>, request: Request<Incoming>) -> anyhow::Result<Answer> {
    let (head, body) = request.into_parts();
    if head.method == Method::GET {
        return Ok(Response::new(Full::new("healthy".into())));
    }
    let body = body.collect().await?.to_bytes();
    let name = operation_name(&head.headers).to_owned();
    *lock(&proxy.operations).entry(name.clone()).or_default() += 1;
    let Some(operation) = Operation::parse(&name) else {
        return Ok(access_denied(&format!(
            "the bundle has no right to call {name}, nor does cargo local give it"
        )));
    };
    let resource = match operation.index(&body) {
        Some(index) => format!("{RESOURCE}/index/{index}"),
        None => RESOURCE.to_owned(),
    };
    for action in operation.actions(&body) {
        if let Err(text) = proxy.access.check(&head.headers, action, &resource) {
            return Ok(access_denied(&text));
        }
    }
    if let Some(name) = empty_map(&body) {
        return Ok(refusal(&json!({
            "__type": format!("{ERROR_PREFIX}ValidationException"),
            "message": format!("{name} must not be empty"),
        })));
    }
    let metered = lock(&proxy.usage).is_some();
    let deleted = if metered { deletes(&body) } else { 0 };
    let body = metered.then(|| ask(&body)).flatten().unwrap_or(body);
    let caller = caller(&head.headers).unwrap_or_default().to_owned();
    let json = proxy.parse_if_needed(&body);
    let call = Call {
        operation,
        headers: head.headers,
        body,
        json,
    };
    // A task of its own: a client that hangs up must not leave a write that nobody recorded.
    tokio::spawn(async move {
        let started = Instant::now();
        let answer = proxy.carry_out(call).await?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        if let Some(usage) = lock(&proxy.usage).as_mut() {
            let writes = !operation.is_read();
            usage.push(Used::new(
                caller.clone(),
                name,
                writes,
                deleted,
                started,
                &body,
            ));
        }
        if proxy.loses(&caller) {
            return Ok(access_denied("the answer is lost, and the caller with it"));
        }
        Ok(Response::from_parts(head, Full::new(body)))
    })
    .await?
}

/// DynamoDB refuses an empty map of names or values; dynoxide takes one inside a transaction.
fn empty_map(body: &[u8]) -> Option<&'static str> {
    let body = str::from_utf8(body).ok()?;
    let maps = ["ExpressionAttributeNames", "ExpressionAttributeValues"];
    maps.into_iter()
        .find(|name| body.contains(&format!("\"{name}\":{{}}")))
}

impl Proxy {
    pub(super) fn new(
        primary: Node,
        replica: Option<Replica>,
        faults: Faults,
        access: Arc<Access>,
    ) -> Proxy {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Proxy {
            primary,
            replica,
            faults,
            access,
            draws: Mutex::new(Draws::new(faults.seed)),
            quiet: AtomicBool::new(false),
            client: Client::builder(TokioExecutor::new()).build(connector),
            in_flight: Mutex::default(),
            operations: Mutex::default(),
            usage: Mutex::default(),
            lost: Mutex::default(),
            bell: watch::Sender::default(),
        }
    }

    /// Whether this is the call after which the caller ends.
    fn loses(&self, caller: &str) -> bool {
        let mut lost = lock(&self.lost);
        match lost.as_mut().filter(|(whose, _)| whose == caller) {
            None => false,
            Some((_, 0)) => {
                *lost = None;
                true
            }
            Some((_, before)) => {
                *before -= 1;
                false
            }
        }
    }

    /// Quiet worlds do not pay for looking. What is no JSON is for dynoxide to refuse.
    fn parse_if_needed(&self, body: &[u8]) -> Value {
        let Faults {
            stale_reads,
            conflicts,
            throttled,
            seed: _,
        } = self.faults;
        if [stale_reads, conflicts, throttled]
            .iter()
            .any(|rate| *rate > 0.0)
        {
            serde_json::from_slice(body).unwrap_or_default()
        } else {
            Value::Null
        }
    }

    async fn carry_out(&self, mut call: Call) -> anyhow::Result<Answer> {
        let operation = call.operation;
        let out = match self.throttle(&mut call) {
            Ok(out) => out,
            Err(refused) => return Ok(refusal(&refused)),
        };
        let answer = if operation.is_read() {
            self.read(call).await?
        } else {
            self.write(call).await?
        };
        match (operation.left_out(), out) {
            (Some(name), Some(out)) => left_out(answer, name, out, &self.primary.table.name).await,
            (None, _) | (_, None) => Ok(answer),
        }
    }

    /// What of a batch is left out, and taken out of it; or the refusal of the whole request.
    fn throttle(&self, call: &mut Call) -> Result<Option<Value>, Value> {
        let rate = self.faults.throttled;
        if rate <= 0.0 {
            return Ok(None);
        }
        let (operation, table) = (call.operation, &self.primary.table);
        // Another kind of fault than a conflict of the same request.
        let what = format!("throttled {}", operation_name(&call.headers));
        if operation.left_out().is_none() {
            let identity = call.identity(table);
            let Some(drawn) = self.drawn(rate, &what, &identity) else {
                return Ok(None);
            };
            let count = call.keys(table).len();
            return Err(refused(operation, count, drawn as usize % count.max(1)));
        }
        match call.take_out(table, |key| self.drawn(rate, &what, key).is_some()) {
            TakenOut::Nothing => Ok(None),
            TakenOut::Part(out) => Ok(Some(out)),
            TakenOut::All => Err(refused(operation, 0, 0)),
        }
    }

    async fn read(&self, call: Call) -> anyhow::Result<Answer> {
        let Some(replica) = self.replica.as_ref().filter(|_| !call.is_consistent()) else {
            return self.forward(&self.primary, call).await;
        };
        let Some(drawn) = self.draw(self.faults.stale_reads, &call) else {
            return self.forward(&self.primary, call).await;
        };
        replica.apply_until(1 + drawn % MAX_LAG)?;
        self.forward(&replica.node, call).await
    }

    async fn write(&self, call: Call) -> anyhow::Result<Answer> {
        let keys = call.keys(&self.primary.table);
        let claim = match self.claim(&call, &keys) {
            Ok(claim) => claim,
            Err(conflict) => return Ok(refusal(&conflict)),
        };
        let response = self.forward(&self.primary, call).await?;
        drop(claim);
        if response.status().is_success() {
            let keys: Vec<Value> = keys.into_iter().flatten().collect();
            self.written(&keys)?;
        }
        Ok(response)
    }

    /// Tells those who listen, and the replica, that these keys may have changed.
    fn written(&self, keys: &[Value]) -> anyhow::Result<()> {
        if let Some(replica) = &self.replica {
            replica.record(&self.primary, keys)?;
        }
        self.bell.send_modify(|writes| *writes += 1);
        Ok(())
    }

    /// The claim to these keys, or the conflict that was drawn or met.
    fn claim(&self, call: &Call, keys: &[Option<Value>]) -> Result<Option<Claim<'_>>, Value> {
        if self.faults.conflicts <= 0.0 {
            return Ok(None);
        }
        if call.operation.can_conflict()
            && let Some(drawn) = self.draw(self.faults.conflicts, call)
            && !keys.is_empty()
        {
            let index = drawn as usize % keys.len();
            return Err(conflict(call.operation, keys.len(), |i| i == index));
        }
        claim(&self.in_flight, call.operation, keys).map(Some)
    }

    /// A number if this try of this request is one of those that go wrong.
    fn draw(&self, rate: f64, call: &Call) -> Option<u64> {
        let identity = call.identity(&self.primary.table);
        self.drawn(rate, operation_name(&call.headers), &identity)
    }

    fn drawn(&self, rate: f64, what: &str, request: &str) -> Option<u64> {
        if self.quiet.load(Ordering::Relaxed) {
            return None;
        }
        lock(&self.draws).draw(rate, what, request)
    }

    async fn forward(&self, to: &Node, call: Call) -> anyhow::Result<Answer> {
        let uri = Uri::builder()
            .scheme("http")
            .authority(to.authority.as_str());
        let mut request = Request::post(uri.path_and_query("/").build()?);
        if let Some(headers) = request.headers_mut() {
            *headers = call.headers;
            // The client writes its own, for the body and the host it really sends to.
            headers.remove(CONTENT_LENGTH);
            headers.remove(HOST);
        }
        let response = self
            .client
            .request(request.body(Full::new(call.body))?)
            .await?;
        let (head, body) = response.into_parts();
        Ok(Response::from_parts(
            head,
            Full::new(body.collect().await?.to_bytes()),
        ))
    }

    /// Deletes what has expired, and tells how much that was.
    pub(super) fn sweep_ttl(&self) -> anyhow::Result<usize> {
        // dynoxide does not tell which items it deletes; only the replica needs to know.
        let items = || match &self.replica {
            Some(_) => self.primary.items(),
            None => Ok(Vec::new()),
        };
        let before = items()?;
        let deleted = self.primary.database.sweep_ttl()?;
        if deleted > 0 {
            let left: HashSet<Value> = items()?.into_iter().collect();
            let gone = before.iter().filter(|item| !left.contains(item));
            let keys = gone.filter_map(|item| self.primary.table.key_of(item));
            self.written(&keys.collect::<Vec<_>>())?;
        }
        Ok(deleted)
    }
}

fn access_denied(text: &str) -> Answer {
    refusal(&json!({
        "__type": "com.amazon.coral.service#AccessDeniedException",
        "message": text,
    }))
}

/// Without a checksum header: the SDK looks at none.
fn refusal(body: &Value) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let kind = HeaderValue::from_static("application/x-amz-json-1.0");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
