//! The parts put together: started in the order of their dependencies, and stepped or run.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, TryLockError},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use runtime::{Clock, Env};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::{Mutex, RwLock, Semaphore, oneshot},
    task::JoinSet,
};

use crate::{
    access::{Access, Call},
    dynamodb::{DynamoDb, Faults, StreamPosition},
    elasticache::{ElastiCache, Endpoint},
    environment::{World, key_ring},
    gateway,
    lambdas::Lambdas,
    mapping::{Failed, deliver, deliver_stream, scheduled_event},
    pages,
    redis::Redis,
    ses::Ses,
    sqs::{QueueSpec, Received, Sqs},
    template::{QueueMapping, Template},
    trackers::{self, Trackers},
    wall::Wall,
};

const TEMPLATE: &str = include_str!("../../template.yaml");
/// The clone of the project that this was built in.
const CLONE: &str = env!("CARGO_MANIFEST_DIR");
pub(crate) const TABLE: &str = "picket";
pub(crate) const TABLE_FILE: &str = "table.sqlite";

/// A failed message is back after this long, instead of the queue's own time-out: a developer does not
/// wait three minutes.
const LOCAL_RETRY: Duration = Duration::from_secs(1);
const TTL_SWEEP: Duration = Duration::from_secs(60);

/// How a stack is started.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The port of the front; 0 picks one.
    pub port: u16,
    /// Where the table and the key ring live; in memory without it.
    pub data: Option<PathBuf>,
    /// What DynamoDB does wrong on purpose.
    pub faults: Faults,
    /// Which share of SQS's calls fails.
    pub sqs_failures: f64,
    /// Where a Redis that had to be fetched is kept.
    pub cache: PathBuf,
    /// Values of the template's parameters other than their defaults.
    pub parameters: BTreeMap<String, String>,
    /// The git repository whose commits the simulated hosts show; the project's own clone without it.
    pub repository: Option<PathBuf>,
}

/// A started bundle. Everything answers; messages move only when stepped, or while [`Running`].
#[derive(Debug)]
pub struct Stack {
    template: Template,
    base_url: String,
    sqs: Sqs,
    dynamodb: DynamoDb,
    redis: Mutex<Redis>,
    elasticache: ElastiCache,
    ses: Ses,
    trackers: Trackers,
    access: Arc<Access>,
    environments: BTreeMap<String, BTreeMap<String, String>>,
    lambdas: RwLock<Arc<Lambdas>>,
    clock: Clock,
    wall: Wall,
    stream: Mutex<StreamPosition>,
    _front: oneshot::Sender<()>,
    /// Held as long as the stack is there, and by nobody when its process is not.
    _lock: Option<File>,
}

impl Stack {
    /// Starts everything, and returns when it answers.
    ///
    /// # Errors
    /// When the template cannot be carried out, a port is taken, or there is no Redis to be had.
    pub async fn start(options: &Options) -> anyhow::Result<Arc<Self>> {
        let template = Template::parse(TEMPLATE).context("infra/template.yaml")?;
        template.check_parameters(&options.parameters)?;
        if let Some(directory) = &options.repository {
            trackers::check_repository(directory)?;
        }
        let lock = options.data.as_deref().map(lock).transpose()?;
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], options.port)))
            .await
            .with_context(|| format!("port {} on 127.0.0.1", options.port))?;
        let base_url = format!("http://{}", listener.local_addr()?);
        let ring = key_ring(options.data.as_deref())?;
        let roles = template.functions.iter();
        let roles = roles.map(|function| (function.name.clone(), function.role.clone()));
        let access = Arc::new(Access::new(roles.collect()));
        let sqs = Sqs::start(queues(&template), access.clone()).await?;
        if options.sqs_failures > 0.0 {
            sqs.set_failure_rate(options.sqs_failures, options.faults.seed);
        }
        let dynamodb = start_table(&template, options, access.clone()).await?;
        let redis = Redis::start(&options.cache).await?;
        let elasticache = ElastiCache::start(endpoint(&redis), access.clone()).await?;
        let ses = Ses::start(access.clone()).await?;
        let wall = Wall::start().await?;
        let clock = Clock::default();
        let repository = options.repository.as_deref().unwrap_or(Path::new(CLONE));
        let trackers = Trackers::start(clock.clone(), &base_url, repository).await?;
        let world = World {
            base_url: &base_url,
            sqs: &sqs,
            dynamodb: &dynamodb,
            redis: &redis,
            elasticache: &elasticache,
            ses: &ses,
            trackers: &trackers,
            wall: &wall,
            ring: &ring,
            parameters: &options.parameters,
        };
        let mut environments = BTreeMap::new();
        for function in &template.functions {
            let variables = world.environment(&template, function)?;
            environments.insert(function.name.clone(), variables);
        }
        let (stop, stopped) = oneshot::channel::<()>();
        let stack = Arc::new(Self {
            template,
            base_url,
            sqs,
            dynamodb,
            redis: Mutex::new(redis),
            elasticache,
            ses,
            trackers,
            access,
            environments,
            lambdas: RwLock::default(),
            clock,
            wall,
            stream: Mutex::default(),
            _front: stop,
            _lock: lock,
        });
        stack.start_functions().await?;
        stack.serve(listener, stopped);
        Ok(stack)
    }

    /// Builds every function from its environment, as Lambda does in a new sandbox; what runs, runs on in
    /// the old one.
    ///
    /// # Errors
    /// When a function does not start.
    pub async fn start_functions(&self) -> anyhow::Result<()> {
        let mut lambdas = Lambdas::default();
        for function in &self.template.functions {
            let variables = self.environments[&function.name].clone();
            let env = Env::new(variables, self.clock.clone());
            // Boxed: every function's start lies in this future, and callers nest it deeply.
            Box::pin(lambdas.add(&function.name, function.timeout, env)).await?;
        }
        *self.lambdas.write().await = Arc::new(lambdas);
        Ok(())
    }

    async fn lambdas(&self) -> Arc<Lambdas> {
        self.lambdas.read().await.clone()
    }

    /// The gateways and the stack's own pages, on one port. They hold the stack weakly: it ends when
    /// whoever started it lets go.
    fn serve(self: &Arc<Self>, listener: TcpListener, stopped: oneshot::Receiver<()>) {
        let weak = Arc::downgrade(self);
        let invoke: gateway::Invoke = Arc::new(move |function: &str, event: String| {
            let (stack, function) = (weak.upgrade(), function.to_owned());
            Box::pin(async move {
                match stack {
                    Some(stack) => stack.lambdas().await.invoke(&function, event).await,
                    None => Err("the stack is ending".to_owned()),
                }
            })
        });
        let local = pages::router(Arc::downgrade(self));
        let routes = self.template.routes.clone();
        let shutdown = async {
            // An error is the drop of the sender, which is the signal.
            let _ = stopped.await;
        };
        tokio::spawn(gateway::serve(listener, routes, invoke, local, shutdown));
    }

    /// Where the gateways answer, without a trailing slash.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The queues.
    pub fn sqs(&self) -> &Sqs {
        &self.sqs
    }

    /// The table.
    pub fn dynamodb(&self) -> &DynamoDb {
        &self.dynamodb
    }

    /// The clock of all functions.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// ElastiCache, which says where Redis is.
    pub fn elasticache(&self) -> &ElastiCache {
        &self.elasticache
    }

    /// SES, and the mails that it was given.
    pub fn ses(&self) -> &Ses {
        &self.ses
    }

    /// The trackers that the functions call.
    pub fn trackers(&self) -> &Trackers {
        &self.trackers
    }

    /// What each function called of AWS so far.
    pub fn calls(&self) -> BTreeMap<String, BTreeSet<Call>> {
        self.access.calls()
    }

    /// What the template says.
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// The environment of each function by its name, for whoever runs its bootstrap as a process.
    pub fn environments(&self) -> &BTreeMap<String, BTreeMap<String, String>> {
        &self.environments
    }

    /// What the template asks for and one machine does not have.
    pub fn not_emulated(&self) -> &[String] {
        &self.template.not_emulated
    }

    /// The dead-letter queue of a queue.
    pub(crate) fn dead_letter_queue(&self, queue: &str) -> Option<&str> {
        let found = self
            .template
            .queues
            .iter()
            .find(|known| known.name == queue);
        found.and_then(|known| known.dead_letter_queue.as_deref())
    }

    pub(crate) fn has_function(&self, name: &str) -> bool {
        self.template
            .functions
            .iter()
            .any(|known| known.name == name)
    }

    /// How often a function reached for the other side of the VPC's border.
    pub fn border_violations(&self) -> u64 {
        self.wall.hits()
    }

    /// Ends Redis as if its machine had died.
    pub async fn kill_redis(&self) {
        self.redis.lock().await.stop().await;
    }

    /// Ends Redis and starts an empty one elsewhere, which ElastiCache knows of.
    ///
    /// # Errors
    /// When there is no Redis to be had.
    pub async fn move_redis(&self, cache: &Path) -> anyhow::Result<()> {
        let mut redis = self.redis.lock().await;
        redis.stop().await;
        *redis = Redis::start(cache).await?;
        self.elasticache.set(endpoint(&redis));
        Ok(())
    }

    /// Where Redis answers.
    pub async fn redis_url(&self) -> String {
        self.redis.lock().await.url()
    }

    /// Calls a function with an event, as `aws lambda invoke` does.
    ///
    /// # Errors
    /// The text of the function's error.
    pub async fn invoke(&self, function: &str, event: String) -> Result<String, String> {
        self.lambdas().await.invoke(function, event).await
    }

    /// The queues that have a consumer, in the template's order.
    pub fn consumed_queues(&self) -> impl Iterator<Item = &str> {
        self.template
            .queue_mappings
            .iter()
            .map(|mapping| mapping.queue.as_str())
    }

    /// Receives one batch of a queue and hands it to its function `times` times over. Gives the
    /// batch, and what of it failed and stays in flight.
    ///
    /// # Errors
    /// When nothing consumes the queue.
    pub async fn step(
        &self,
        queue: &str,
        times: u32,
    ) -> anyhow::Result<(Vec<Received>, Vec<Failed>)> {
        let mapping = self.mapping(queue)?;
        let batch = self.sqs.receive(queue, mapping.batch_size as usize);
        if batch.is_empty() {
            return Ok((batch, Vec::new()));
        }
        let failed = deliver(
            mapping,
            &self.sqs,
            &*self.lambdas().await,
            batch.clone(),
            times,
        )
        .await;
        Ok((batch, failed))
    }

    /// Hands messages that were received before to their function once more, as a queue that delivers
    /// at least once may do at any later time.
    ///
    /// # Errors
    /// When nothing consumes the queue.
    pub async fn deliver_again(
        &self,
        queue: &str,
        batch: Vec<Received>,
    ) -> anyhow::Result<Vec<Failed>> {
        Ok(deliver(
            self.mapping(queue)?,
            &self.sqs,
            &*self.lambdas().await,
            batch,
            1,
        )
        .await)
    }

    fn mapping(&self, queue: &str) -> anyhow::Result<&QueueMapping> {
        let found = self
            .template
            .queue_mappings
            .iter()
            .find(|mapping| mapping.queue == queue);
        found.with_context(|| format!("nothing consumes the queue {queue}"))
    }

    /// Hands what is new in the table's stream to its functions, `times` times over. Gives the number
    /// of records.
    ///
    /// # Errors
    /// When the stream cannot be read.
    pub async fn step_stream(&self, times: u32) -> anyhow::Result<usize> {
        let mut position = self.stream.lock().await;
        let records = self.dynamodb.stream_records(&mut position, STREAM_BATCH)?;
        let count = records.len();
        self.hand_out(records, times).await;
        Ok(count)
    }

    async fn hand_out(&self, records: Vec<Value>, times: u32) {
        for mapping in &self.template.stream_mappings {
            deliver_stream(mapping, &*self.lambdas().await, records.clone(), times).await;
        }
    }

    /// Runs everything that is on a schedule, once.
    ///
    /// # Errors
    /// When a function fails.
    pub async fn step_schedules(&self) -> anyhow::Result<()> {
        for schedule in &self.template.schedules {
            let lambdas = self.lambdas().await;
            let result = lambdas.invoke(&schedule.function, scheduled_event()).await;
            if let Err(error) = result {
                bail!("the schedule of {}: {error}", schedule.function);
            }
        }
        Ok(())
    }

    /// Lets messages move by themselves until the result is dropped.
    pub fn run(self: &Arc<Self>) -> Running {
        let mut tasks = JoinSet::new();
        for mapping in self.template.queue_mappings.clone() {
            tasks.spawn(self.clone().poll(mapping));
        }
        tasks.spawn(self.clone().follow_stream());
        tasks.spawn(self.trackers.clone().deliver_hooks_always());
        for schedule in self.template.schedules.clone() {
            let stack = self.clone();
            tasks.spawn(async move {
                let mut timer = tokio::time::interval(schedule.every);
                loop {
                    timer.tick().await;
                    let event = scheduled_event();
                    if let Err(error) = stack.invoke(&schedule.function, event).await {
                        tracing::error!(function = schedule.function, error, "a schedule failed");
                    }
                }
            });
        }
        let stack = self.clone();
        tasks.spawn(async move {
            let mut timer = tokio::time::interval(TTL_SWEEP);
            loop {
                timer.tick().await;
                if let Err(error) = stack.dynamodb.sweep_ttl() {
                    tracing::error!(error = error.to_string(), "the TTL sweep failed");
                }
            }
        });
        Running { _tasks: tasks }
    }

    async fn poll(self: Arc<Self>, mapping: QueueMapping) {
        let most = mapping.maximum_concurrency.unwrap_or(10) as usize;
        let slots = Arc::new(Semaphore::new(most));
        loop {
            let Ok(slot) = slots.clone().acquire_owned().await else {
                return;
            };
            let batch = self
                .sqs
                .receive_wait(&mapping.queue, mapping.batch_size as usize)
                .await;
            let (stack, mapping) = (self.clone(), mapping.clone());
            tokio::spawn(async move {
                let failed = deliver(&mapping, &stack.sqs, &*stack.lambdas().await, batch, 1).await;
                for Failed { message } in failed {
                    let (queue, receipt) = (&mapping.queue, &message.receipt_handle);
                    stack.sqs.change_visibility(queue, receipt, LOCAL_RETRY);
                    tracing::warn!(
                        queue,
                        receive = message.receive_count,
                        "a message failed and is back after {} s (deployed: after the queue's visibility time-out)",
                        LOCAL_RETRY.as_secs()
                    );
                }
                drop(slot);
            });
        }
    }

    async fn follow_stream(self: Arc<Self>) {
        let mut position = StreamPosition::default();
        loop {
            match self.dynamodb.stream_wait(&mut position, STREAM_BATCH).await {
                Ok(records) => self.hand_out(records, 1).await,
                Err(error) => {
                    tracing::error!(error = error.to_string(), "the stream cannot be read");
                    return;
                }
            }
        }
    }
}

const STREAM_BATCH: usize = 100;

/// Messages move while this lives.
#[derive(Debug)]
pub struct Running {
    _tasks: JoinSet<()>,
}

/// Two stacks would write over one another's table.
fn lock(directory: &Path) -> anyhow::Result<File> {
    std::fs::create_dir_all(directory).context("the data directory")?;
    let file = File::create(directory.join("lock")).context("the lock of the data directory")?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("another stack works on {}", directory.display())
        }
        Err(TryLockError::Error(error)) => Err(error).context("the lock of the data directory"),
    }
}

fn queues(template: &Template) -> Vec<QueueSpec> {
    let spec = |queue: &crate::template::Queue| QueueSpec {
        name: queue.name.clone(),
        visibility_timeout: queue.visibility_timeout,
        max_receive_count: queue.max_receive_count,
        dead_letter_queue: queue.dead_letter_queue.clone(),
    };
    template.queues.iter().map(spec).collect()
}

fn endpoint(redis: &Redis) -> Endpoint {
    Endpoint {
        host: "127.0.0.1".to_owned(),
        port: redis.port(),
        status: "available".to_owned(),
    }
}

async fn start_table(
    template: &Template,
    options: &Options,
    access: Arc<Access>,
) -> anyhow::Result<DynamoDb> {
    let mut request = template.table.create_table.clone();
    request["TableName"] = TABLE.into();
    let file = options
        .data
        .as_ref()
        .map(|directory| directory.join(TABLE_FILE));
    let ttl = template.table.ttl_attribute.as_deref();
    DynamoDb::start(request, ttl, file.as_deref(), options.faults, access).await
}
