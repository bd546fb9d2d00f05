//! The table of one local world: dynoxide in this process, behind a proxy of ours.
//!
//! The proxy exists for what no emulator has and every deployed table does: reads that lag behind,
//! and transactions that meet. It also refuses the operations that the bundle has no right to. It
//! must not know what is stored: keys are what the table's own schema says they are.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use bytes::Bytes;
use dynoxide::{Database, DynoxideError};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

const REGION: &str = "us-east-1";
const TARGET_PREFIX: &str = "DynamoDB_20120810.";
const ERROR_PREFIX: &str = "com.amazonaws.dynamodb.v20120810#";
/// How many writes the replica is behind at most.
const MAX_LAG: u64 = 8;
const CONFLICT: &str = "Transaction is ongoing for the item";

/// What the table does wrong on purpose, as shares from 0 to 1. Whether it hits is a pure function
/// of the seed, the operation, its keys and how often the same was asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Of the reads that did not ask for consistency: answered from a replica that lags behind.
    pub stale_reads: f64,
    /// Of the transactions and single writes: refused because of a conflict. When it is not zero,
    /// requests that really overlap are refused as well.
    pub conflicts: f64,
    /// Another seed, other requests.
    pub seed: u64,
}

/// Where a reader of the stream is; the default is the oldest record there is. A clone that is kept
/// reads the same records again.
#[derive(Clone, Debug, Default)]
pub struct StreamPosition {
    iterator: Option<String>,
}

/// The table and its servers, which end when the last clone is dropped.
#[derive(Clone)]
pub struct DynamoDb(Arc<Handle>);

impl std::fmt::Debug for DynamoDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DynamoDb({})", self.0.endpoint)
    }
}

struct Handle {
    endpoint: String,
    proxy: Arc<Proxy>,
    accepting: JoinHandle<()>,
    /// Dropped with the handle, which ends dynoxide's own servers.
    _stops: Vec<oneshot::Sender<()>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What the handle and the connections share; kept apart from the handle so that a connection which
/// is still open does not keep the servers alive.
struct Proxy {
    table: Table,
    primary: Node,
    replica: Option<Replica>,
    faults: Faults,
    /// While set, nothing goes wrong on purpose.
    quiet: AtomicBool,
    client: Client<HttpConnector, Full<Bytes>>,
    /// The keys that are being written, while there are conflicts.
    in_flight: Mutex<HashSet<String>>,
    /// How often each thing was asked, while there are faults.
    asked: Mutex<HashMap<u64, u64>>,
    operations: Mutex<BTreeMap<String, u64>>,
    /// Counts the writes.
    bell: watch::Sender<u64>,
}

/// One dynoxide with its own HTTP server.
struct Node {
    database: Database,
    authority: String,
}

struct Table {
    name: String,
    key_attributes: Vec<String>,
}

/// A copy of the table that has not seen the latest writes. It is given states and not requests:
/// whatever order concurrent writes took, the last state recorded of a key is the primary's.
struct Replica {
    node: Node,
    pending: Mutex<VecDeque<Vec<Change>>>,
}

struct Change {
    key: Value,
    /// `None` when the item is gone.
    item: Option<Value>,
}

impl DynamoDb {
    /// Starts the table and its proxy on free loopback ports. `create_table` is the JSON of a
    /// CreateTable request; a `file` may hold the table already.
    ///
    /// # Errors
    /// When the request is not one, the file is not a table, or no port can be opened.
    pub async fn start(
        create_table: Value,
        ttl_attribute: Option<&str>,
        file: Option<&Path>,
        faults: Faults,
    ) -> anyhow::Result<DynamoDb> {
        let table = Table::parse(&create_table)?;
        let database = open(file)?;
        create_if_absent(&database, &table, &create_table)?;
        enable_ttl(&database, &table, ttl_attribute)?;
        let (primary, stop) = serve(database).await?;
        let mut stops = vec![stop];
        let replica = if faults.stale_reads > 0.0 {
            let (node, stop) = serve(copy(&primary.database, &table, &create_table)?).await?;
            stops.push(stop);
            Some(Replica {
                node,
                pending: Mutex::default(),
            })
        } else {
            None
        };
        let proxy = Arc::new(Proxy::new(table, primary, replica, faults));
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("no port for DynamoDB")?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let accepting = tokio::spawn(accept(listener, Arc::clone(&proxy)));
        Ok(DynamoDb(Arc::new(Handle {
            endpoint,
            proxy,
            accepting,
            _stops: stops,
        })))
    }

    /// What a client takes as `endpoint_url`.
    pub fn endpoint(&self) -> String {
        self.0.endpoint.clone()
    }

    /// Lets every read see all that was written so far.
    ///
    /// # Panics
    /// When the replica refuses a state of the primary, which would be a mistake in this module.
    pub fn catch_up(&self) {
        if let Some(replica) = &self.0.proxy.replica {
            replica
                .apply_until(0, &self.0.proxy.table)
                .expect("the replica takes any state");
        }
    }

    /// Up to `limit` records after the position, in the shape in which Lambda delivers them.
    ///
    /// # Errors
    /// When the table has no stream.
    pub fn stream_records(
        &self,
        from: &mut StreamPosition,
        limit: usize,
    ) -> anyhow::Result<Vec<Value>> {
        self.0.proxy.stream_records(from, limit)
    }

    /// Like [`DynamoDb::stream_records`], and waits until there is at least one record.
    ///
    /// # Errors
    /// When the table has no stream.
    pub async fn stream_wait(
        &self,
        from: &mut StreamPosition,
        limit: usize,
    ) -> anyhow::Result<Vec<Value>> {
        // Listened to before the first look: a write after the look rings, one before it is seen.
        let mut bell = self.0.proxy.bell.subscribe();
        loop {
            let records = self.stream_records(from, limit)?;
            if !records.is_empty() {
                return Ok(records);
            }
            bell.changed().await?;
        }
    }

    /// Stops or resumes the faults, so that a world can be set up in peace.
    pub fn set_quiet(&self, quiet: bool) {
        self.0.proxy.quiet.store(quiet, Ordering::Relaxed);
    }

    /// Every item of the table, for tests.
    ///
    /// # Errors
    /// When the database fails.
    pub fn items(&self) -> anyhow::Result<Vec<Value>> {
        items(&self.0.proxy.primary.database, &self.0.proxy.table)
    }

    /// Deletes what has expired, and tells how much that was. AWS does it within days.
    ///
    /// # Errors
    /// When the database fails.
    pub fn sweep_ttl(&self) -> anyhow::Result<usize> {
        self.0.proxy.sweep_ttl()
    }

    /// How many requests of each operation reached the proxy, the refused ones included.
    pub fn operations(&self) -> BTreeMap<String, u64> {
        lock(&self.0.proxy.operations).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No invariant spans a panic here, and the counts of a failed test are still worth reading.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// dynoxide's requests can be had from JSON only.
fn typed<T: DeserializeOwned>(request: Value) -> anyhow::Result<T> {
    serde_json::from_value(request).context("dynoxide does not take this request")
}

fn member<T: Serialize>(response: &T, name: &str) -> anyhow::Result<Value> {
    Ok(serde_json::to_value(response)?[name].take())
}

impl Table {
    fn parse(create_table: &Value) -> anyhow::Result<Table> {
        let name = create_table["TableName"]
            .as_str()
            .context("no TableName")?
            .to_owned();
        let schema = create_table["KeySchema"]
            .as_array()
            .context("no KeySchema")?;
        let attributes = schema
            .iter()
            .map(|element| element["AttributeName"].as_str());
        let key_attributes = attributes.map(|name| name.map(str::to_owned)).collect();
        let key_attributes: Option<Vec<String>> = key_attributes;
        Ok(Table {
            name,
            key_attributes: key_attributes.context("a key without a name")?,
        })
    }

    /// The key of an item, or of a key with more to it; `None` if it is not whole.
    fn key_of(&self, item: &Value) -> Option<Value> {
        let mut key = Map::new();
        for name in &self.key_attributes {
            key.insert(name.clone(), item.get(name)?.clone());
        }
        Some(Value::Object(key))
    }
}

fn open(file: Option<&Path>) -> anyhow::Result<Database> {
    match file {
        Some(path) => {
            let name = path
                .to_str()
                .context("the path of the table is not UTF-8")?;
            Database::new(name).with_context(|| format!("cannot open the table in {name}"))
        }
        None => Ok(Database::memory()?),
    }
}

fn create_if_absent(database: &Database, table: &Table, request: &Value) -> anyhow::Result<()> {
    match database.describe_table(typed(json!({ "TableName": table.name }))?) {
        Ok(_) => Ok(()),
        Err(DynoxideError::ResourceNotFoundException(_)) => {
            database.create_table(typed(request.clone())?)?;
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

fn enable_ttl(database: &Database, table: &Table, attribute: Option<&str>) -> anyhow::Result<()> {
    if let Some(attribute) = attribute {
        database.update_time_to_live(typed(json!({
            "TableName": table.name,
            "TimeToLiveSpecification": { "AttributeName": attribute, "Enabled": true },
        }))?)?;
    }
    Ok(())
}

async fn serve(database: Database) -> anyhow::Result<(Node, oneshot::Sender<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .context("no port for dynoxide")?;
    let authority = listener.local_addr()?.to_string();
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(dynoxide::server::serve_with_shutdown(
        listener,
        database.clone(),
        async {
            // An error is the drop of the sender, which is the signal.
            let _ = stopped.await;
        },
    ));
    Ok((
        Node {
            database,
            authority,
        },
        stop,
    ))
}

/// A second table in memory that holds what the first one holds.
fn copy(from: &Database, table: &Table, create_table: &Value) -> anyhow::Result<Database> {
    let database = Database::memory()?;
    database.create_table(typed(create_table.clone())?)?;
    for item in items(from, table)? {
        database.put_item(typed(json!({ "TableName": table.name, "Item": item }))?)?;
    }
    Ok(database)
}

fn items(database: &Database, table: &Table) -> anyhow::Result<Vec<Value>> {
    let mut items = Vec::new();
    let mut request = json!({ "TableName": table.name });
    loop {
        let page = serde_json::to_value(database.scan(typed(request.clone())?)?)?;
        items.extend(page["Items"].as_array().cloned().unwrap_or_default());
        match page.get("LastEvaluatedKey") {
            Some(last) => request["ExclusiveStartKey"] = last.clone(),
            None => return Ok(items),
        }
    }
}

fn state_of(database: &Database, table: &Table, key: Value) -> anyhow::Result<Change> {
    let request = json!({ "TableName": table.name, "Key": key, "ConsistentRead": true });
    let response = database.get_item(typed(request)?)?;
    let item = Some(member(&response, "Item")?).filter(|item| !item.is_null());
    Ok(Change { key, item })
}

impl Replica {
    /// Remembers what these keys hold now, for the replica to learn later.
    fn record(&self, primary: &Database, table: &Table, keys: &[Value]) -> anyhow::Result<()> {
        // Held while the states are read: otherwise an older state could be recorded last.
        let mut pending = lock(&self.pending);
        let states = keys.iter().map(|key| state_of(primary, table, key.clone()));
        pending.push_back(states.collect::<anyhow::Result<_>>()?);
        self.apply(&mut pending, MAX_LAG, table)
    }

    /// Never moves backwards: what it has learned it does not forget.
    fn apply_until(&self, lag: u64, table: &Table) -> anyhow::Result<()> {
        self.apply(&mut lock(&self.pending), lag, table)
    }

    fn apply(
        &self,
        pending: &mut VecDeque<Vec<Change>>,
        lag: u64,
        table: &Table,
    ) -> anyhow::Result<()> {
        while pending.len() as u64 > lag {
            for Change { key, item } in pending.pop_front().unwrap_or_default() {
                self.take(table, key, item)?;
            }
        }
        Ok(())
    }

    fn take(&self, table: &Table, key: Value, item: Option<Value>) -> anyhow::Result<()> {
        let database = &self.node.database;
        match item {
            Some(item) => {
                database.put_item(typed(json!({ "TableName": table.name, "Item": item }))?)?;
            }
            None => {
                database.delete_item(typed(json!({ "TableName": table.name, "Key": key }))?)?;
            }
        }
        Ok(())
    }
}

/// What the bundle is allowed to call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    GetItem,
    BatchGetItem,
    Query,
    PutItem,
    UpdateItem,
    DeleteItem,
    BatchWriteItem,
    TransactWriteItems,
}

impl Operation {
    fn parse(name: &str) -> Option<Operation> {
        Some(match name {
            "GetItem" => Operation::GetItem,
            "BatchGetItem" => Operation::BatchGetItem,
            "Query" => Operation::Query,
            "PutItem" => Operation::PutItem,
            "UpdateItem" => Operation::UpdateItem,
            "DeleteItem" => Operation::DeleteItem,
            "BatchWriteItem" => Operation::BatchWriteItem,
            "TransactWriteItems" => Operation::TransactWriteItems,
            _ => return None,
        })
    }

    fn is_read(self) -> bool {
        match self {
            Operation::GetItem | Operation::BatchGetItem | Operation::Query => true,
            Operation::PutItem
            | Operation::UpdateItem
            | Operation::DeleteItem
            | Operation::BatchWriteItem
            | Operation::TransactWriteItems => false,
        }
    }

    /// What a conflict does to it: nothing to a batch, which AWS would answer in part.
    fn can_conflict(self) -> bool {
        !self.is_read() && self != Operation::BatchWriteItem
    }
}

/// A request with its JSON, which stays `Null` where nobody has to look into it.
struct Call {
    operation: Operation,
    headers: HeaderMap,
    body: Bytes,
    json: Value,
}

impl Call {
    fn is_consistent(&self) -> bool {
        let asks = |request: &Value| request["ConsistentRead"].as_bool().unwrap_or(false);
        match self.json["RequestItems"].as_object() {
            Some(tables) => tables.values().any(asks),
            None => asks(&self.json),
        }
    }

    /// The keys of this request, in its order; the drawn conflict names one by its index.
    fn keys(&self, table: &Table) -> Vec<Option<Value>> {
        match self.operation {
            Operation::GetItem | Operation::UpdateItem | Operation::DeleteItem => {
                vec![table.key_of(&self.json["Key"])]
            }
            Operation::PutItem => vec![table.key_of(&self.json["Item"])],
            Operation::BatchGetItem => {
                let keys = elements(&self.json["RequestItems"][&table.name]["Keys"]);
                keys.map(|key| table.key_of(key)).collect()
            }
            Operation::BatchWriteItem => {
                let writes = elements(&self.json["RequestItems"][&table.name]);
                writes.map(|write| key_of_action(table, write)).collect()
            }
            Operation::TransactWriteItems => {
                let actions = elements(&self.json["TransactItems"]);
                actions.map(|action| key_of_action(table, action)).collect()
            }
            Operation::Query => Vec::new(),
        }
    }

    /// What makes it the same request: its keys in any order, and of a query all of it.
    fn identity(&self, table: &Table) -> String {
        if self.operation == Operation::Query {
            let mut query = self.json.clone();
            // Clients write maps in any order.
            query.sort_all_objects();
            return query.to_string();
        }
        let mut keys: Vec<String> = texts(&self.keys(table)).flatten().collect();
        keys.sort_unstable();
        keys.concat()
    }
}

fn elements(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// One action of a transaction or a batch: an object whose only member says what to do with which.
fn key_of_action(table: &Table, action: &Value) -> Option<Value> {
    let action = action.as_object()?.values().next()?;
    table.key_of(action.get("Item").or_else(|| action.get("Key"))?)
}

fn texts(keys: &[Option<Value>]) -> impl Iterator<Item = Option<String>> {
    keys.iter().map(|key| key.as_ref().map(Value::to_string))
}

async fn accept(listener: TcpListener, proxy: Arc<Proxy>) {
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

async fn answer(
    proxy: Arc<Proxy>,
    request: Request<Incoming>,
) -> anyhow::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let name = operation_name(&head.headers).to_owned();
    *lock(&proxy.operations).entry(name.clone()).or_default() += 1;
    let Some(operation) = Operation::parse(&name) else {
        return Ok(access_denied(&name));
    };
    let json = proxy.parse_if_needed(&body);
    let call = Call {
        operation,
        headers: head.headers,
        body,
        json,
    };
    // A task of its own: a client that hangs up must not leave a write that nobody recorded.
    tokio::spawn(async move { proxy.carry_out(call).await }).await?
}

fn operation_name(headers: &HeaderMap) -> &str {
    let target = headers
        .get("x-amz-target")
        .and_then(|value| value.to_str().ok());
    target
        .and_then(|target| target.strip_prefix(TARGET_PREFIX))
        .unwrap_or("an unknown operation")
}

impl Proxy {
    fn new(table: Table, primary: Node, replica: Option<Replica>, faults: Faults) -> Proxy {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Proxy {
            table,
            primary,
            replica,
            faults,
            quiet: AtomicBool::new(false),
            client: Client::builder(TokioExecutor::new()).build(connector),
            in_flight: Mutex::default(),
            asked: Mutex::default(),
            operations: Mutex::default(),
            bell: watch::Sender::default(),
        }
    }

    /// Quiet worlds do not pay for looking. What is no JSON is for dynoxide to refuse.
    fn parse_if_needed(&self, body: &[u8]) -> Value {
        if self.faults.stale_reads > 0.0 || self.faults.conflicts > 0.0 {
            serde_json::from_slice(body).unwrap_or_default()
        } else {
            Value::Null
        }
    }

    async fn carry_out(&self, call: Call) -> anyhow::Result<Response<Full<Bytes>>> {
        if call.operation.is_read() {
            self.read(call).await
        } else {
            self.write(call).await
        }
    }

    async fn read(&self, call: Call) -> anyhow::Result<Response<Full<Bytes>>> {
        let Some(replica) = self.replica.as_ref().filter(|_| !call.is_consistent()) else {
            return self.forward(&self.primary, call).await;
        };
        let Some(drawn) = self.draw(self.faults.stale_reads, &call) else {
            return self.forward(&self.primary, call).await;
        };
        replica.apply_until(1 + drawn % MAX_LAG, &self.table)?;
        self.forward(&replica.node, call).await
    }

    async fn write(&self, call: Call) -> anyhow::Result<Response<Full<Bytes>>> {
        let keys = call.keys(&self.table);
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
            replica.record(&self.primary.database, &self.table, keys)?;
        }
        self.bell.send_modify(|writes| *writes += 1);
        Ok(())
    }

    /// Claims the keys of a write while it is on its way, or says which conflict it meets.
    fn claim(&self, call: &Call, keys: &[Option<Value>]) -> Result<Option<Claim<'_>>, Value> {
        if self.faults.conflicts <= 0.0 {
            return Ok(None);
        }
        let drawn = Some(call).filter(|call| call.operation.can_conflict());
        let drawn = drawn.and_then(|call| self.draw(self.faults.conflicts, call));
        if let (Some(drawn), false) = (drawn, keys.is_empty()) {
            let index = drawn as usize % keys.len();
            return Err(conflict(call.operation, keys.len(), |i| i == index));
        }
        let mut in_flight = lock(&self.in_flight);
        let keys: Vec<Option<String>> = texts(keys).collect();
        let met = |i: usize| keys[i].as_ref().is_some_and(|key| in_flight.contains(key));
        if call.operation.can_conflict() && (0..keys.len()).any(met) {
            return Err(conflict(call.operation, keys.len(), met));
        }
        // A key that is claimed already stays with its first owner.
        let new = keys
            .into_iter()
            .flatten()
            .filter(|key| in_flight.insert(key.clone()));
        Ok(Some(Claim {
            keys: new.collect(),
            in_flight: &self.in_flight,
        }))
    }

    /// A number if this try of this request is one of those that go wrong.
    fn draw(&self, rate: f64, call: &Call) -> Option<u64> {
        if self.quiet.load(Ordering::Relaxed) {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        let operation = operation_name(&call.headers);
        (self.faults.seed, operation, call.identity(&self.table)).hash(&mut hasher);
        let request = hasher.finish();
        let mut asked = lock(&self.asked);
        let times = asked.entry(request).or_default();
        *times += 1;
        let hash = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            (request, *times, salt).hash(&mut hasher);
            hasher.finish()
        };
        // The upper 53 bits fit a float exactly and make it a number from 0 to 1.
        let hit = ((hash(0) >> 11) as f64) < rate * (1_u64 << 53) as f64;
        hit.then(|| hash(1))
    }

    async fn forward(&self, to: &Node, call: Call) -> anyhow::Result<Response<Full<Bytes>>> {
        let uri = Uri::builder()
            .scheme("http")
            .authority(to.authority.as_str());
        let mut request = Request::post(uri.path_and_query("/").build()?);
        if let Some(headers) = request.headers_mut() {
            *headers = call.headers;
            // The client writes its own, for the body and the host it really sends to.
            headers.remove(CONTENT_LENGTH);
            headers.remove(hyper::header::HOST);
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

    fn stream_records(
        &self,
        from: &mut StreamPosition,
        limit: usize,
    ) -> anyhow::Result<Vec<Value>> {
        let (arn, iterator) = self.stream_iterator(from)?;
        let request = json!({ "ShardIterator": iterator, "Limit": limit });
        let mut response =
            serde_json::to_value(self.primary.database.get_records(typed(request)?)?)?;
        from.iterator = response["NextShardIterator"].as_str().map(str::to_owned);
        let Value::Array(mut records) = response["Records"].take() else {
            return Ok(Vec::new());
        };
        for record in &mut records {
            record["awsRegion"] = REGION.into();
            record["eventSourceARN"] = arn.as_str().into();
        }
        Ok(records)
    }

    /// The ARN of the stream as Lambda would tell it, and where to read on.
    fn stream_iterator(&self, from: &StreamPosition) -> anyhow::Result<(String, String)> {
        let database = &self.primary.database;
        let request = typed(json!({ "TableName": self.table.name }))?;
        let described = member(&database.describe_table(request)?, "Table")?;
        let arn = described["LatestStreamArn"]
            .as_str()
            .context("the table has no stream")?;
        let told = arn.replacen(dynoxide::streams::LOCAL_REGION, REGION, 1);
        if let Some(iterator) = &from.iterator {
            return Ok((told, iterator.clone()));
        }
        let request = json!({
            "StreamArn": arn,
            "ShardId": dynoxide::streams::shard_id(&self.table.name),
            "ShardIteratorType": "TRIM_HORIZON",
        });
        let response = database.get_shard_iterator(typed(request)?)?;
        Ok((told, response.shard_iterator.context("no iterator")?))
    }

    fn sweep_ttl(&self) -> anyhow::Result<usize> {
        let database = &self.primary.database;
        // dynoxide does not tell which items it deletes; only the replica needs to know.
        let before = match &self.replica {
            Some(_) => items(database, &self.table)?,
            None => Vec::new(),
        };
        let deleted = database.sweep_ttl()?;
        if deleted > 0 {
            let left: HashSet<Value> = match &self.replica {
                Some(_) => items(database, &self.table)?.into_iter().collect(),
                None => HashSet::new(),
            };
            let gone = before.iter().filter(|item| !left.contains(item));
            self.written(
                &gone
                    .filter_map(|item| self.table.key_of(item))
                    .collect::<Vec<_>>(),
            )?;
        }
        Ok(deleted)
    }
}

/// The keys of one write on its way; freed however it ends.
struct Claim<'a> {
    keys: Vec<String>,
    in_flight: &'a Mutex<HashSet<String>>,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut in_flight = lock(self.in_flight);
        for key in &self.keys {
            in_flight.remove(key);
        }
    }
}

/// The refusal that AWS gives for a conflict at those of the `count` keys that `met` picks.
fn conflict(operation: Operation, count: usize, met: impl Fn(usize) -> bool) -> Value {
    if operation != Operation::TransactWriteItems {
        return json!({
            "__type": format!("{ERROR_PREFIX}TransactionConflictException"),
            "message": CONFLICT,
        });
    }
    let codes = (0..count).map(|i| {
        if met(i) {
            "TransactionConflict"
        } else {
            "None"
        }
    });
    let codes: Vec<&str> = codes.collect();
    let reasons = codes.iter().map(|code| match *code {
        "None" => json!({ "Code": code }),
        _ => json!({ "Code": code, "Message": CONFLICT }),
    });
    json!({
        "__type": format!("{ERROR_PREFIX}TransactionCanceledException"),
        "Message": format!(
            "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
            codes.join(", ")
        ),
        "CancellationReasons": reasons.collect::<Vec<_>>(),
    })
}

fn access_denied(name: &str) -> Response<Full<Bytes>> {
    refusal(&json!({
        "__type": "com.amazon.coral.service#AccessDeniedException",
        "message": format!("the bundle has no right to call {name}, nor does cargo local give it"),
    }))
}

/// Without a checksum header: the SDK looks at none.
fn refusal(body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let kind = HeaderValue::from_static("application/x-amz-json-1.0");
    response
        .headers_mut()
        .insert(hyper::header::CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests;
