//! Reads infra/template.yaml, so that `cargo local` runs what is deployed and not a second description of it.
//!
//! It knows CloudFormation and no more: not where a server listens, not which crate implements a function. What
//! one machine does not emulate is listed for the reader; a trigger that it does not know is an error, because the
//! function behind it would silently never run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value, json};

const FUNCTION: &str = "AWS::Serverless::Function";
const QUEUE: &str = "AWS::SQS::Queue";
const TABLE: &str = "AWS::DynamoDB::Table";
const MAPPING: &str = "AWS::Lambda::EventSourceMapping";
const RULE: &str = "AWS::Events::Rule";
const REST_RESOURCE: &str = "AWS::ApiGateway::Resource";
const REST_METHOD: &str = "AWS::ApiGateway::Method";
const REST_STAGE: &str = "AWS::ApiGateway::Stage";
const HTTP_INTEGRATION: &str = "AWS::ApiGatewayV2::Integration";
const HTTP_ROUTE: &str = "AWS::ApiGatewayV2::Route";

/// What one machine emulates of each resource type. Other properties of it end up in [`Template::not_emulated`].
const EMULATED: &[(&str, &str, &[&str])] = &[
    (
        FUNCTION,
        "functions",
        &[
            "Architectures",
            "CodeUri",
            "Environment",
            "Handler",
            "Runtime",
            "Timeout",
            "VpcConfig",
        ],
    ),
    (
        QUEUE,
        "queues",
        &[
            "MessageRetentionPeriod",
            "RedrivePolicy",
            "VisibilityTimeout",
        ],
    ),
    (
        TABLE,
        "table",
        &[
            "AttributeDefinitions",
            "BillingMode",
            "GlobalSecondaryIndexes",
            "KeySchema",
            "LocalSecondaryIndexes",
            "ProvisionedThroughput",
            "StreamSpecification",
            "TimeToLiveSpecification",
        ],
    ),
    (
        MAPPING,
        "event source mappings",
        &[
            "BatchSize",
            "EventSourceArn",
            "FilterCriteria",
            "FunctionName",
            "FunctionResponseTypes",
            "MaximumRetryAttempts",
            "ScalingConfig",
            "StartingPosition",
        ],
    ),
    (
        RULE,
        "schedules",
        &["Description", "ScheduleExpression", "State", "Targets"],
    ),
    (
        "AWS::ApiGateway::RestApi",
        "REST APIs",
        &["Description", "EndpointConfiguration", "Name"],
    ),
    (
        REST_RESOURCE,
        "REST resources",
        &["ParentId", "PathPart", "RestApiId"],
    ),
    (
        REST_METHOD,
        "REST methods",
        &[
            "AuthorizationType",
            "HttpMethod",
            "Integration",
            "ResourceId",
            "RestApiId",
        ],
    ),
    (
        "AWS::ApiGateway::Deployment",
        "REST deployments",
        &["Description", "RestApiId"],
    ),
    (
        REST_STAGE,
        "REST stages",
        &["DeploymentId", "Description", "RestApiId", "StageName"],
    ),
    (
        "AWS::ApiGatewayV2::Api",
        "HTTP APIs",
        &["Description", "Name", "ProtocolType"],
    ),
    (
        HTTP_INTEGRATION,
        "HTTP integrations",
        &[
            "ApiId",
            "IntegrationType",
            "IntegrationUri",
            "PayloadFormatVersion",
        ],
    ),
    (
        HTTP_ROUTE,
        "HTTP routes",
        &["ApiId", "AuthorizationType", "RouteKey", "Target"],
    ),
    (
        "AWS::ApiGatewayV2::Stage",
        "HTTP stages",
        &["ApiId", "AutoDeploy", "Description", "StageName"],
    ),
];

/// How types without an emulation are called in [`Template::not_emulated`], by the beginning of their names.
const UNEMULATED_TYPES: &[(&str, &str)] = &[
    ("AWS::ApiGateway::Account", "API Gateway account settings"),
    ("AWS::CloudWatch::", "CloudWatch alarms"),
    ("AWS::EC2::", "VPC, subnets and security groups"),
    (
        "AWS::ElastiCache::",
        "ElastiCache; a local Redis stands in for it",
    ),
    ("AWS::IAM::", "IAM roles"),
    ("AWS::Lambda::Permission", "Lambda permissions"),
    ("AWS::Logs::", "log groups"),
    (
        "AWS::SecretsManager::",
        "Secrets Manager; made-up secrets stand in for it",
    ),
];

/// Types that may name a function without being a trigger that is missing here.
const MAY_NAME_A_FUNCTION: &[&str] = &[
    FUNCTION,
    MAPPING,
    RULE,
    REST_METHOD,
    HTTP_INTEGRATION,
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Policy",
    "AWS::IAM::Role",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::Permission",
    "AWS::Logs::LogGroup",
    "AWS::Logs::MetricFilter",
];

/// What `cargo local` needs to know of the template. Functions and queues go by their names in kebab-case.
#[derive(Clone, Debug)]
pub struct Template {
    /// Every Lambda function.
    pub functions: Vec<Function>,
    /// Every queue, dead-letter queues among them.
    pub queues: Vec<Queue>,
    /// The one table.
    pub table: Table,
    /// Which function receives from which queue.
    pub queue_mappings: Vec<QueueMapping>,
    /// Which function the table's stream wakes.
    pub stream_mappings: Vec<StreamMapping>,
    /// Which function runs at which interval.
    pub schedules: Vec<Schedule>,
    /// The routes of both gateways.
    pub routes: Vec<Route>,
    /// One line for each kind of thing that one machine does not emulate.
    pub not_emulated: Vec<String>,
    scope: Scope,
}

/// A Lambda function.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its key under `Resources`.
    pub logical_id: String,
    /// The crate's name: the logical id in kebab-case.
    pub name: String,
    /// When Lambda ends an invocation.
    pub timeout: Duration,
    /// Whether it lives where Redis is, and reaches nothing else but the table.
    pub in_vpc: bool,
    /// Long-form JSON, not resolved; see [`resolve_environment`].
    pub environment: BTreeMap<String, Value>,
}

/// An SQS queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Queue {
    /// Its key under `Resources`.
    pub logical_id: String,
    /// The logical id in kebab-case, without a `-queue` at its end.
    pub name: String,
    /// How long a received message stays hidden.
    pub visibility_timeout: Duration,
    /// How long a message is kept.
    pub retention: Duration,
    /// After how many receives a message moves to the dead-letter queue.
    pub max_receive_count: Option<u32>,
    /// The name of the dead-letter queue.
    pub dead_letter_queue: Option<String>,
}

/// The DynamoDB table.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Its key under `Resources`.
    pub logical_id: String,
    /// A CreateTable request that lacks only its `TableName`.
    pub create_table: Value,
    /// The attribute that items expire by.
    pub ttl_attribute: Option<String>,
}

/// An event source mapping from a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueMapping {
    /// The queue's name.
    pub queue: String,
    /// The function's name.
    pub function: String,
    /// The most messages in one invocation.
    pub batch_size: u32,
    /// Whether the function's answer names the messages that failed.
    pub report_batch_item_failures: bool,
    /// The most invocations at the same time.
    pub maximum_concurrency: Option<u32>,
}

/// An event source mapping from the table's stream.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamMapping {
    /// The function's name.
    pub function: String,
    /// The most records in one invocation.
    pub batch_size: u32,
    /// How often a batch is tried in all, the first time included.
    pub maximum_attempts: u32,
    /// A record passes if any of them matches, or if there is none.
    pub filters: Vec<StreamFilter>,
    /// Whether the function's answer names the first record that failed.
    pub report_batch_item_failures: bool,
}

/// One filter of a stream mapping. A record must satisfy both parts.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamFilter {
    /// INSERT, MODIFY, REMOVE. Empty admits all.
    pub event_names: Vec<String>,
    /// A key attribute of type S, and what it must begin with.
    pub key_prefix: Option<(String, String)>,
}

/// A function that runs at an interval.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// The function's name.
    pub function: String,
    /// From `rate(...)`.
    pub every: Duration,
}

/// A route of a gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Which gateway, and so which kind of event.
    pub gateway: Gateway,
    /// `None` is ANY.
    pub method: Option<String>,
    /// Like `/api/0/{proxy+}`, or `$default` at an HTTP API.
    pub path: String,
    /// The function's name.
    pub function: String,
}

/// The two kinds of API Gateway.
#[derive(Clone, Debug, PartialEq)]
pub enum Gateway {
    /// A REST API: version 1 events, the path as the client encoded it.
    Rest {
        /// The name of the stage, the first segment of the deployed URL.
        stage: String,
    },
    /// An HTTP API with the stage `$default`: version 2 events, the path decoded.
    Http,
}

/// A function that answers references: logical id and attribute, `None` for `Ref`.
pub type Lookup<'a> = &'a dyn Fn(&str, Option<&str>) -> Option<String>;

impl Template {
    /// Reads the text of a template.
    ///
    /// # Errors
    /// Names the logical id and its line where a trigger is unknown or a reference leads nowhere.
    pub fn parse(text: &str) -> Result<Template> {
        let source = Source::read(text)?;
        source.check_references()?;
        source.check_triggers()?;
        let (queue_mappings, stream_mappings) = source.mappings()?;
        Ok(Template {
            functions: source.each(FUNCTION, |it| source.function(it))?,
            queues: source.each(QUEUE, |it| source.queue(it))?,
            table: source.table()?,
            queue_mappings,
            stream_mappings,
            schedules: source.schedules()?,
            routes: source.routes()?,
            not_emulated: source.not_emulated(),
            scope: source.scope,
        })
    }
}

/// Resolves the environment of a function.
///
/// `lookup` is asked first for every reference, parameters included (so a caller can set `PublicUrl`), then come
/// the parameters' defaults. `{{resolve:secretsmanager:${X}}}` asks it for `("X", Some("SecretString"))`. A variable
/// that resolves to `AWS::NoValue` is left out.
///
/// # Errors
/// Names the function and the variable that cannot be resolved.
pub fn resolve_environment(
    template: &Template,
    function: &Function,
    lookup: Lookup<'_>,
) -> Result<BTreeMap<String, String>> {
    let mut environment = BTreeMap::new();
    for (name, value) in &function.environment {
        let resolved = template
            .scope
            .evaluate(value, lookup)
            .with_context(|| format!("{name} of function {}", function.name))?;
        environment.extend(resolved.map(|text| (name.clone(), text)));
    }
    Ok(environment)
}

// Reading the resources -----------------------------------------------------------------------------------------

struct Source<'a> {
    text: &'a str,
    globals: Value,
    resources: Vec<Resource>,
    scope: Scope,
}

struct Resource {
    id: String,
    kind: String,
    /// False where the resource's condition does not hold with the parameters' defaults.
    exists: bool,
    whole: Value,
}

impl Resource {
    fn get(&self, property: &str) -> &Value {
        &self.whole["Properties"][property]
    }

    fn properties(&self) -> impl Iterator<Item = &String> {
        keys(&self.whole["Properties"])
    }
}

impl<'a> Source<'a> {
    fn read(text: &'a str) -> Result<Self> {
        let document = read_yaml(text)?;
        let scope = Scope {
            parameters: entries(&document["Parameters"]),
            conditions: entries(&document["Conditions"]),
        };
        let mut resources = Vec::new();
        for (id, whole) in entries(&document["Resources"]) {
            resources.push(read_resource(&scope, id, whole)?);
        }
        ensure!(!resources.is_empty(), "the template has no Resources");
        Ok(Source {
            text,
            globals: document["Globals"]["Function"].clone(),
            resources,
            scope,
        })
    }

    /// A resource for a reader: its logical id and line.
    fn place(&self, id: &str) -> String {
        let key = format!("  {id}:");
        match self.text.lines().position(|line| line.starts_with(&key)) {
            Some(index) => format!("{id} (line {})", index + 1),
            None => id.to_owned(),
        }
    }

    fn of(&self, kind: &'static str) -> impl Iterator<Item = &Resource> {
        self.resources
            .iter()
            .filter(move |it| it.exists && it.kind == kind)
    }

    fn each<T>(&self, kind: &'static str, read: impl Fn(&Resource) -> Result<T>) -> Result<Vec<T>> {
        self.of(kind)
            .map(|it| read(it).with_context(|| self.place(&it.id)))
            .collect()
    }

    /// The resource of one of these kinds that a value refers to.
    fn find(&self, kind: &'static str, value: &Value) -> Option<&Resource> {
        let ids = references(value);
        self.of(kind).find(|it| ids.contains(&it.id))
    }

    fn function_name(&self, value: &Value) -> Result<String> {
        let function = self.find(FUNCTION, value);
        let function =
            function.with_context(|| format!("{value} is not one of the template's functions"))?;
        Ok(kebab_case(&function.id))
    }

    fn text(&self, value: &Value) -> Result<Option<String>> {
        self.scope.evaluate(value, &|_, _| None)
    }

    fn required_text(&self, resource: &Resource, property: &str) -> Result<String> {
        self.text(resource.get(property))
            .and_then(|text| text.context("has no value"))
            .with_context(|| property.to_owned())
    }

    fn number(&self, value: &Value) -> Result<Option<u32>> {
        let Some(text) = self.text(value)? else {
            return Ok(None);
        };
        let number = text
            .parse()
            .with_context(|| format!("{text:?} is not a number"))?;
        Ok(Some(number))
    }

    fn seconds(&self, value: &Value, default: u32) -> Result<Duration> {
        let seconds = self.number(value)?.unwrap_or(default);
        Ok(Duration::from_secs(seconds.into()))
    }

    // Functions, queues, table --------------------------------------------------------------------------------

    fn function(&self, resource: &Resource) -> Result<Function> {
        let timeout = first_present(resource.get("Timeout"), &self.globals["Timeout"]);
        let mut environment = entries(&self.globals["Environment"]["Variables"]);
        environment.extend(entries(&resource.get("Environment")["Variables"]));
        Ok(Function {
            logical_id: resource.id.clone(),
            name: kebab_case(&resource.id),
            timeout: self.seconds(timeout, 3).context("Timeout")?,
            in_vpc: !first_present(resource.get("VpcConfig"), &self.globals["VpcConfig"]).is_null(),
            environment,
        })
    }

    fn queue(&self, resource: &Resource) -> Result<Queue> {
        let redrive = resource.get("RedrivePolicy");
        let target = present(&redrive["deadLetterTargetArn"]);
        let dead_letter_queue = target.map(|target| {
            let queue = self.find(QUEUE, target).map(|it| queue_name(&it.id));
            queue.with_context(|| format!("{target} is not one of the template's queues"))
        });
        Ok(Queue {
            logical_id: resource.id.clone(),
            name: queue_name(&resource.id),
            visibility_timeout: self.seconds(resource.get("VisibilityTimeout"), 30)?,
            retention: self.seconds(resource.get("MessageRetentionPeriod"), 345_600)?,
            max_receive_count: self.number(&redrive["maxReceiveCount"])?,
            dead_letter_queue: dead_letter_queue.transpose()?,
        })
    }

    fn table(&self) -> Result<Table> {
        let tables: Vec<_> = self.of(TABLE).collect();
        let [table] = tables[..] else {
            bail!("the template has {} tables and not one", tables.len());
        };
        self.read_table(table)
            .with_context(|| self.place(&table.id))
    }

    fn read_table(&self, table: &Resource) -> Result<Table> {
        let mut request = Map::new();
        for field in [
            "AttributeDefinitions",
            "KeySchema",
            "BillingMode",
            "GlobalSecondaryIndexes",
            "LocalSecondaryIndexes",
            "ProvisionedThroughput",
        ] {
            if !table.get(field).is_null() {
                request.insert(field.to_owned(), self.plain(table.get(field))?);
            }
        }
        if let Some(view) = self.text(&table.get("StreamSpecification")["StreamViewType"])? {
            let stream = json!({ "StreamEnabled": true, "StreamViewType": view });
            request.insert("StreamSpecification".to_owned(), stream);
        }
        let ttl = table.get("TimeToLiveSpecification");
        let enabled = self.text(&ttl["Enabled"])?.as_deref() == Some("true");
        Ok(Table {
            logical_id: table.id.clone(),
            create_table: Value::Object(request),
            ttl_attribute: self.text(&ttl["AttributeName"])?.filter(|_| enabled),
        })
    }

    /// A value with everything in it resolved.
    fn plain(&self, value: &Value) -> Result<Value> {
        Ok(match value {
            Value::Array(items) => {
                let items: Result<_> = items.iter().map(|item| self.plain(item)).collect();
                Value::Array(items?)
            }
            Value::Object(_) if intrinsic(value).is_some() => self.text(value)?.into(),
            Value::Object(fields) => {
                let fields = fields
                    .iter()
                    .map(|(key, field)| Ok((key.clone(), self.plain(field)?)));
                Value::Object(fields.collect::<Result<_>>()?)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        })
    }

    // Triggers ------------------------------------------------------------------------------------------------

    fn mappings(&self) -> Result<(Vec<QueueMapping>, Vec<StreamMapping>)> {
        let (mut queues, mut streams) = (Vec::new(), Vec::new());
        for mapping in self.of(MAPPING) {
            let place = || self.place(&mapping.id);
            let source = mapping.get("EventSourceArn");
            if let Some(queue) = self.find(QUEUE, source) {
                queues.push(self.queue_mapping(mapping, queue).with_context(place)?);
            } else if is_table_stream(source, self) {
                streams.push(self.stream_mapping(mapping).with_context(place)?);
            } else {
                bail!(
                    "{}: an unknown event source {source}: neither one of the template's queues nor its table's stream",
                    place()
                );
            }
        }
        Ok((queues, streams))
    }

    fn queue_mapping(&self, mapping: &Resource, queue: &Resource) -> Result<QueueMapping> {
        Ok(QueueMapping {
            queue: queue_name(&queue.id),
            function: self.function_name(mapping.get("FunctionName"))?,
            batch_size: self.number(mapping.get("BatchSize"))?.unwrap_or(10),
            report_batch_item_failures: reports_item_failures(mapping),
            maximum_concurrency: self
                .number(&mapping.get("ScalingConfig")["MaximumConcurrency"])?,
        })
    }

    fn stream_mapping(&self, mapping: &Resource) -> Result<StreamMapping> {
        let retries = self.number(mapping.get("MaximumRetryAttempts"))?.context(
            "MaximumRetryAttempts is missing: one bad record would hold up its shard for a day",
        )?;
        let filters = mapping.get("FilterCriteria")["Filters"].as_array();
        let filters = filters.map_or(&[][..], Vec::as_slice);
        Ok(StreamMapping {
            function: self.function_name(mapping.get("FunctionName"))?,
            batch_size: self.number(mapping.get("BatchSize"))?.unwrap_or(100),
            maximum_attempts: retries + 1,
            filters: filters.iter().map(read_filter).collect::<Result<_>>()?,
            report_batch_item_failures: reports_item_failures(mapping),
        })
    }

    fn schedules(&self) -> Result<Vec<Schedule>> {
        let schedules: Vec<_> = self.each(RULE, |rule| self.rule(rule))?;
        Ok(schedules.into_iter().flatten().collect())
    }

    fn rule(&self, rule: &Resource) -> Result<Vec<Schedule>> {
        ensure!(
            rule.get("EventPattern").is_null(),
            "an unknown trigger: a rule with an EventPattern"
        );
        let every = read_rate(&self.required_text(rule, "ScheduleExpression")?)?;
        if self.text(rule.get("State"))?.as_deref() == Some("DISABLED") {
            return Ok(Vec::new());
        }
        let targets = rule.get("Targets").as_array().context("no Targets")?;
        let schedule = |target: &Value| {
            let function = self
                .function_name(&target["Arn"])
                .context("an unknown target")?;
            Ok(Schedule { function, every })
        };
        targets.iter().map(schedule).collect()
    }

    fn check_triggers(&self) -> Result<()> {
        let functions: BTreeSet<_> = self.of(FUNCTION).map(|it| it.id.clone()).collect();
        for resource in self.resources.iter().filter(|it| it.exists) {
            if let Some(trouble) = unknown_trigger(resource, &functions) {
                bail!(
                    "{}: an unknown trigger: {trouble}",
                    self.place(&resource.id)
                );
            }
        }
        Ok(())
    }

    fn check_references(&self) -> Result<()> {
        for resource in &self.resources {
            let mut ids = references(&resource.whole);
            ids.extend(depends_on(&resource.whole["DependsOn"]));
            if let Some(id) = ids.iter().find(|id| !self.knows(id)) {
                let place = self.place(&resource.id);
                bail!("{place} refers to {id}, which the template does not have");
            }
        }
        Ok(())
    }

    fn knows(&self, id: &str) -> bool {
        let is = |id: &str, kind: &str| {
            self.resources
                .iter()
                .any(|it| it.id == id && it.kind == kind)
        };
        id.starts_with("AWS::")
            || self.scope.parameters.contains_key(id)
            || self.resources.iter().any(|it| it.id == id)
            // SAM makes a role for each function.
            || id.strip_suffix("Role").is_some_and(|function| is(function, FUNCTION))
    }

    // Routes --------------------------------------------------------------------------------------------------

    fn routes(&self) -> Result<Vec<Route>> {
        let mut routes = self.each(REST_METHOD, |method| self.rest_route(method))?;
        routes.extend(self.each(HTTP_ROUTE, |route| self.http_route(route))?);
        Ok(routes)
    }

    fn rest_route(&self, method: &Resource) -> Result<Route> {
        let integration = method.get("Integration");
        ensure!(
            integration["Type"] == "AWS_PROXY",
            "only AWS_PROXY integrations are emulated"
        );
        self.check_authorization(method)?;
        Ok(Route {
            gateway: Gateway::Rest {
                stage: self.stage_of(method.get("RestApiId"))?,
            },
            method: any_or(&self.required_text(method, "HttpMethod")?),
            path: self.rest_path(method.get("ResourceId"), 0)?,
            function: self.function_name(&integration["Uri"])?,
        })
    }

    /// The path of a resource, through its parents up to the root.
    fn rest_path(&self, resource_id: &Value, depth: usize) -> Result<String> {
        ensure!(depth < 30, "its resources are their own parents");
        let Some(resource) = self.find(REST_RESOURCE, resource_id) else {
            let root = &resource_id["Fn::GetAtt"][1];
            ensure!(root == "RootResourceId", "{resource_id} is not a resource");
            return Ok("/".to_owned());
        };
        let parent = self.rest_path(resource.get("ParentId"), depth + 1)?;
        let part = self.required_text(resource, "PathPart")?;
        Ok(format!("{}/{part}", parent.trim_end_matches('/')))
    }

    fn stage_of(&self, api: &Value) -> Result<String> {
        let stage = self
            .of(REST_STAGE)
            .find(|stage| references(stage.get("RestApiId")) == references(api));
        self.required_text(stage.context("its API has no stage")?, "StageName")
    }

    fn http_route(&self, route: &Resource) -> Result<Route> {
        self.check_authorization(route)?;
        let integration = self
            .find(HTTP_INTEGRATION, route.get("Target"))
            .context("its Target is not one of the template's integrations")?;
        ensure!(
            integration.get("IntegrationType") == "AWS_PROXY"
                && self.required_text(integration, "PayloadFormatVersion")? == "2.0",
            "only AWS_PROXY integrations with payload format 2.0 are emulated"
        );
        let key = self.required_text(route, "RouteKey")?;
        let (method, path) = key.split_once(' ').unwrap_or(("ANY", &key));
        Ok(Route {
            gateway: Gateway::Http,
            method: any_or(method),
            path: path.to_owned(),
            function: self.function_name(integration.get("IntegrationUri"))?,
        })
    }

    fn check_authorization(&self, route: &Resource) -> Result<()> {
        let kind = self.text(route.get("AuthorizationType"))?;
        ensure!(
            kind.is_none_or(|kind| kind == "NONE"),
            "authorizers are not emulated, and a route must not be open here that is closed on AWS"
        );
        Ok(())
    }

    // What is left --------------------------------------------------------------------------------------------

    fn not_emulated(&self) -> Vec<String> {
        let mut types: BTreeMap<&str, usize> = BTreeMap::new();
        let mut properties: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for resource in self.resources.iter().filter(|it| it.exists) {
            match EMULATED.iter().find(|(kind, ..)| *kind == resource.kind) {
                None => *types.entry(type_label(&resource.kind)).or_default() += 1,
                Some((_, plural, known)) => {
                    for property in self.properties_of(resource) {
                        if !known.contains(&property.as_str()) {
                            *properties.entry((plural, property)).or_default() += 1;
                        }
                    }
                }
            }
        }
        let types = types.iter().map(|(label, count)| match count {
            1 => format!("{label} (1 resource)"),
            _ => format!("{label} ({count} resources)"),
        });
        let properties = properties
            .iter()
            .map(|((plural, property), count)| format!("{property} of {plural} ({count})"));
        types.chain(properties).collect()
    }

    fn properties_of<'b>(&'b self, resource: &'b Resource) -> BTreeSet<&'b String> {
        let mut properties: BTreeSet<_> = resource.properties().collect();
        if resource.kind == FUNCTION {
            properties.extend(keys(&self.globals));
        }
        properties
    }
}

fn read_resource(scope: &Scope, id: String, whole: Value) -> Result<Resource> {
    let condition = present(&whole["Condition"]).map(|name| {
        let condition = json!({ "Condition": name });
        let holds = scope.holds(&condition, &|_, _| None);
        holds.with_context(|| id.clone())
    });
    let exists = condition.transpose()?.unwrap_or(true);
    let kind = whole["Type"]
        .as_str()
        .with_context(|| format!("{id} has no Type"))?;
    Ok(Resource {
        kind: kind.to_owned(),
        id,
        exists,
        whole,
    })
}

fn unknown_trigger(resource: &Resource, functions: &BTreeSet<String>) -> Option<String> {
    if resource.kind == FUNCTION {
        let shorthand = ["Events", "FunctionUrlConfig"];
        let used = shorthand
            .into_iter()
            .find(|it| !resource.get(it).is_null())?;
        return Some(format!("SAM's {used}; write the resources out"));
    }
    if resource.kind.starts_with("AWS::Serverless::") || resource.kind == "AWS::Lambda::Function" {
        return Some(resource.kind.clone());
    }
    if MAY_NAME_A_FUNCTION.contains(&resource.kind.as_str()) {
        return None;
    }
    let named = references(&resource.whole);
    let function = named.intersection(functions).next()?;
    Some(format!("{} names function {function}", resource.kind))
}

fn is_table_stream(source: &Value, template: &Source<'_>) -> bool {
    template.find(TABLE, source).is_some() && source["Fn::GetAtt"][1] == "StreamArn"
}

fn reports_item_failures(mapping: &Resource) -> bool {
    let types = mapping.get("FunctionResponseTypes").as_array();
    types.is_some_and(|types| types.iter().any(|it| it == "ReportBatchItemFailures"))
}

/// Reads what the relay's filter needs of the pattern language; the rest is refused and not ignored.
fn read_filter(filter: &Value) -> Result<StreamFilter> {
    let text = filter["Pattern"]
        .as_str()
        .context("a filter has no Pattern")?;
    let pattern: Value = serde_json::from_str(text).context("a filter's Pattern is not JSON")?;
    let refuse = || format!("a filter is not understood: {text}");
    ensure!(
        keys(&pattern).all(|key| key == "eventName" || key == "dynamodb"),
        refuse()
    );
    let names = entries_of_list(&pattern["eventName"]);
    let event_names = names
        .map(|name| Some(name.as_str()?.to_owned()))
        .collect::<Option<_>>()
        .with_context(refuse)?;
    let key_prefix = present(&pattern["dynamodb"])
        .map(|part| read_key_prefix(part).with_context(refuse))
        .transpose()?;
    Ok(StreamFilter {
        event_names,
        key_prefix,
    })
}

/// `{"Keys":{"PK":{"S":[{"prefix":"OUT#"}]}}}` and nothing else.
fn read_key_prefix(dynamodb: &Value) -> Option<(String, String)> {
    let (attribute, condition) = only_entry(only_entry(dynamodb, Some("Keys"))?.1, None)?;
    let (_, matches) = only_entry(condition, Some("S"))?;
    let [one] = matches.as_array()?.as_slice() else {
        return None;
    };
    let (_, prefix) = only_entry(one, Some("prefix"))?;
    Some((attribute.to_owned(), prefix.as_str()?.to_owned()))
}

fn only_entry<'v>(value: &'v Value, name: Option<&str>) -> Option<(&'v str, &'v Value)> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    let (key, value) = object.iter().next()?;
    name.is_none_or(|name| name == key).then_some((key, value))
}

fn read_rate(expression: &str) -> Result<Duration> {
    let rate = || {
        let inside = expression.strip_prefix("rate(")?.strip_suffix(')')?;
        let (count, unit) = inside.split_once(' ')?;
        let seconds = match unit.trim_end_matches('s') {
            "minute" => 60,
            "hour" => 3_600,
            "day" => 86_400,
            _ => return None,
        };
        Some(Duration::from_secs(count.parse::<u64>().ok()? * seconds))
    };
    rate().with_context(|| format!("an unknown trigger: {expression} is not a rate"))
}

fn any_or(method: &str) -> Option<String> {
    (method != "ANY").then(|| method.to_owned())
}

fn type_label(kind: &str) -> &str {
    let label = UNEMULATED_TYPES
        .iter()
        .find(|(beginning, _)| kind.starts_with(beginning));
    label.map_or(kind, |(_, label)| label)
}

fn queue_name(logical_id: &str) -> String {
    let name = kebab_case(logical_id);
    name.strip_suffix("-queue").unwrap_or(&name).to_owned()
}

fn kebab_case(pascal_case: &str) -> String {
    let mut kebab = String::new();
    for letter in pascal_case.chars() {
        if letter.is_ascii_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.push(letter.to_ascii_lowercase());
    }
    kebab
}

fn present(value: &Value) -> Option<&Value> {
    (!value.is_null()).then_some(value)
}

fn first_present<'v>(own: &'v Value, global: &'v Value) -> &'v Value {
    present(own).unwrap_or(global)
}

fn entries(value: &Value) -> BTreeMap<String, Value> {
    let object = value.as_object().into_iter().flatten();
    object
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn entries_of_list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn keys(value: &Value) -> impl Iterator<Item = &String> {
    value.as_object().into_iter().flatten().map(|(key, _)| key)
}

// YAML to JSON in the long form ---------------------------------------------------------------------------------

fn read_yaml(text: &str) -> Result<Value> {
    let documents = Yaml::load_from_str(text).context("the template is not YAML")?;
    long_form(documents.first().context("the template is empty")?)
}

fn long_form(node: &Yaml<'_>) -> Result<Value> {
    Ok(match node {
        Yaml::Value(scalar) => scalar_value(scalar),
        Yaml::Sequence(items) => Value::Array(items.iter().map(long_form).collect::<Result<_>>()?),
        Yaml::Mapping(fields) => {
            let fields = fields
                .iter()
                .map(|(key, value)| Ok((key_text(key)?, long_form(value)?)));
            Value::Object(fields.collect::<Result<_>>()?)
        }
        Yaml::Tagged(tag, inner) => tagged(&tag.suffix, long_form(inner)?),
        Yaml::Representation(..) | Yaml::Alias(_) | Yaml::BadValue => {
            bail!("a value cannot be read: {node:?}")
        }
    })
}

fn scalar_value(scalar: &Scalar<'_>) -> Value {
    match scalar {
        Scalar::Null => Value::Null,
        Scalar::Boolean(value) => (*value).into(),
        Scalar::Integer(value) => (*value).into(),
        Scalar::FloatingPoint(value) => (**value).into(),
        Scalar::String(value) => value.as_ref().into(),
    }
}

fn key_text(key: &Yaml<'_>) -> Result<String> {
    let key = long_form(key)?;
    let text = key.as_str().map(str::to_owned);
    Ok(text.unwrap_or_else(|| key.to_string()))
}

/// `!GetAtt A.B` is `{"Fn::GetAtt": ["A", "B"]}`, and so on.
fn tagged(tag: &str, value: Value) -> Value {
    match (tag, value) {
        ("Ref" | "Condition", value) => json!({ tag: value }),
        ("GetAtt", Value::String(dotted)) => json!({ "Fn::GetAtt": split_attribute(&dotted) }),
        (_, value) => {
            let name = format!("Fn::{tag}");
            json!({ name: value })
        }
    }
}

fn split_attribute(dotted: &str) -> Value {
    let (id, attribute) = dotted.split_once('.').unwrap_or((dotted, ""));
    json!([id, attribute])
}

/// The name and argument of an intrinsic function.
fn intrinsic(value: &Value) -> Option<(&str, &Value)> {
    let (name, argument) = only_entry(value, None)?;
    let known = name == "Ref" || name == "Condition" || name.starts_with("Fn::");
    known.then_some((name, argument))
}

/// Every logical id, parameter and pseudo parameter that a value refers to.
fn references(value: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect_references(value, &mut found);
    found
}

fn collect_references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items
            .iter()
            .for_each(|item| collect_references(item, found)),
        Value::Object(fields) => match intrinsic(value) {
            Some(("Ref", Value::String(id))) => {
                found.insert(id.clone());
            }
            Some(("Fn::GetAtt", argument)) => {
                let id = argument[0].as_str().or(argument.as_str());
                found.extend(id.map(|id| before_dot(id).to_owned()));
            }
            Some(("Fn::Sub", argument)) => collect_substitutions(argument, found),
            _ => fields
                .values()
                .for_each(|field| collect_references(field, found)),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn collect_substitutions(argument: &Value, found: &mut BTreeSet<String>) {
    let (text, variables) = sub_parts(argument);
    let names = substitutions(text).into_iter().map(before_dot);
    found.extend(
        names
            .filter(|name| variables.get(name).is_none())
            .map(str::to_owned),
    );
    keys(variables).for_each(|key| collect_references(&variables[key], found));
}

fn before_dot(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

fn depends_on(value: &Value) -> Vec<String> {
    let one = value.as_str().map(str::to_owned);
    let many = entries_of_list(value).filter_map(|id| Some(id.as_str()?.to_owned()));
    one.into_iter().chain(many).collect()
}

// Values ----------------------------------------------------------------------------------------------------------

#[derive(Clone, Debug)]
struct Scope {
    parameters: BTreeMap<String, Value>,
    conditions: BTreeMap<String, Value>,
}

impl Scope {
    /// `None` is no value: null or `AWS::NoValue`.
    fn evaluate(&self, value: &Value, lookup: Lookup<'_>) -> Result<Option<String>> {
        Ok(match value {
            Value::Null => None,
            Value::Bool(value) => Some(value.to_string()),
            Value::Number(value) => Some(value.to_string()),
            Value::String(text) => Some(self.substitute(text, None, lookup)?),
            Value::Array(_) => bail!("{value} is a list and not a text"),
            Value::Object(_) => {
                let (name, argument) = intrinsic(value)
                    .with_context(|| format!("{value} is neither a text nor a function"))?;
                self.call(name, argument, lookup)?
            }
        })
    }

    fn call(&self, name: &str, argument: &Value, lookup: Lookup<'_>) -> Result<Option<String>> {
        match name {
            "Ref" => self.reference(argument.as_str().context("a Ref has no name")?, lookup),
            "Fn::GetAtt" => attribute(argument, lookup).map(Some),
            "Fn::Sub" => {
                let (text, variables) = sub_parts(argument);
                self.substitute(text, Some(variables), lookup).map(Some)
            }
            "Fn::Join" => self.join(argument, lookup).map(Some),
            "Fn::If" => {
                let branch = match self.holds(&json!({ "Condition": argument[0] }), lookup)? {
                    true => &argument[1],
                    false => &argument[2],
                };
                self.evaluate(branch, lookup)
            }
            _ => bail!("{name} is an unknown function"),
        }
    }

    fn reference(&self, id: &str, lookup: Lookup<'_>) -> Result<Option<String>> {
        if id == "AWS::NoValue" {
            return Ok(None);
        }
        if let Some(found) = lookup(id, None) {
            return Ok(Some(found));
        }
        let default = self.parameters.get(id).map(|it| &it["Default"]);
        match default.filter(|default| !default.is_null()) {
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Ok(Some(other.to_string())),
            None => bail!("nothing is known of {id}"),
        }
    }

    fn join(&self, argument: &Value, lookup: Lookup<'_>) -> Result<String> {
        let separator = argument[0].as_str().context("a Join has no separator")?;
        let mut parts = Vec::new();
        for item in argument[1].as_array().context("a Join has no list")? {
            parts.extend(self.evaluate(item, lookup)?);
        }
        Ok(parts.join(separator))
    }

    /// Replaces dynamic references and, given variables (which may be null), `${...}`.
    fn substitute(
        &self,
        text: &str,
        variables: Option<&Value>,
        lookup: Lookup<'_>,
    ) -> Result<String> {
        let mut result = String::new();
        for segment in segments(text) {
            match segment {
                Segment::Dynamic(reference) => result.push_str(&secret(reference, lookup)?),
                Segment::Text(text) => result.push_str(text),
                Segment::Variable(name) => match variables {
                    Some(variables) => {
                        result.push_str(&self.variable(name, variables, lookup)?);
                    }
                    None => result.extend(["${", name, "}"]),
                },
            }
        }
        Ok(result)
    }

    fn variable(&self, name: &str, variables: &Value, lookup: Lookup<'_>) -> Result<String> {
        if let Some(literal) = name.strip_prefix('!') {
            return Ok(format!("${{{literal}}}"));
        }
        let value = match (variables.get(name), name.contains('.')) {
            (Some(value), _) => self.evaluate(value, lookup)?,
            (None, true) => Some(attribute(&split_attribute(name), lookup)?),
            (None, false) => self.reference(name, lookup)?,
        };
        value.with_context(|| format!("{name} has no value"))
    }

    fn holds(&self, condition: &Value, lookup: Lookup<'_>) -> Result<bool> {
        let (name, argument) =
            intrinsic(condition).with_context(|| format!("{condition} is not a condition"))?;
        let mut all = entries_of_list(argument).map(|one| self.holds(one, lookup));
        match name {
            "Condition" => {
                let name = argument.as_str().context("a condition has no name")?;
                let found = self.conditions.get(name);
                self.holds(
                    found.with_context(|| format!("no condition {name}"))?,
                    lookup,
                )
            }
            "Fn::Equals" => {
                let side = |index: usize| self.evaluate(&argument[index], lookup);
                Ok(side(0)? == side(1)?)
            }
            "Fn::Not" => Ok(!self.holds(&argument[0], lookup)?),
            "Fn::And" => all.try_fold(true, |so_far, one| Ok(so_far & one?)),
            "Fn::Or" => all.try_fold(false, |so_far, one| Ok(so_far | one?)),
            _ => bail!("{name} is an unknown condition"),
        }
    }
}

fn attribute(argument: &Value, lookup: Lookup<'_>) -> Result<String> {
    let split = argument.as_str().map(split_attribute);
    let argument = split.as_ref().unwrap_or(argument);
    let (Some(id), Some(name)) = (argument[0].as_str(), argument[1].as_str()) else {
        bail!("{argument} is not an attribute");
    };
    lookup(id, Some(name)).with_context(|| format!("nothing is known of {id}.{name}"))
}

/// The inside of `{{resolve:...}}`.
fn secret(reference: &str, lookup: Lookup<'_>) -> Result<String> {
    let id = || {
        let rest = reference.strip_prefix("secretsmanager:")?;
        let (id, rest) = match rest.strip_prefix("${") {
            Some(rest) => rest.split_once('}')?,
            None => rest.split_at(rest.find(':').unwrap_or(rest.len())),
        };
        matches!(rest, "" | ":SecretString").then_some(id)
    };
    let id = id().with_context(|| format!("resolve:{reference} is not understood"))?;
    lookup(id, Some("SecretString")).with_context(|| format!("nothing is known of secret {id}"))
}

/// The text and the variables of a `Fn::Sub`.
fn sub_parts(argument: &Value) -> (&str, &Value) {
    match argument.as_array() {
        Some(parts) => (
            parts.first().and_then(Value::as_str).unwrap_or_default(),
            parts.get(1).unwrap_or(&Value::Null),
        ),
        None => (argument.as_str().unwrap_or_default(), &Value::Null),
    }
}

enum Segment<'t> {
    Text(&'t str),
    /// The inside of `${...}`.
    Variable(&'t str),
    /// The inside of `{{resolve:...}}`.
    Dynamic(&'t str),
}

fn segments(text: &str) -> Vec<Segment<'_>> {
    let mut segments = Vec::new();
    let mut rest = text;
    while let Some((start, segment, end)) = next_segment(rest) {
        segments.push(Segment::Text(&rest[..start]));
        segments.push(segment);
        rest = &rest[end..];
    }
    segments.push(Segment::Text(rest));
    segments
}

fn next_segment(text: &str) -> Option<(usize, Segment<'_>, usize)> {
    const RESOLVE: &str = "{{resolve:";
    let variable = text.find("${").filter(|at| text[*at..].contains('}'));
    let dynamic = text.find(RESOLVE).and_then(|at| {
        let inside = at + RESOLVE.len();
        Some((at, inside, inside + end_of_dynamic(&text[inside..])?))
    });
    match (variable, dynamic) {
        (variable, Some((at, inside, end))) if variable.is_none_or(|other| at < other) => {
            Some((at, Segment::Dynamic(&text[inside..end]), end + 2))
        }
        (Some(at), _) => {
            let end = at + text[at..].find('}')?;
            Some((at, Segment::Variable(&text[at + 2..end]), end + 1))
        }
        (None, _) => None,
    }
}

/// Where the `}}` stands that closes a dynamic reference: not the brace of a variable within.
fn end_of_dynamic(text: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let close = from + text[from..].find("}}")?;
        match text[from..close].find("${") {
            Some(open) => from += open + text[from + open..].find('}')? + 1,
            None => return Some(close),
        }
    }
}

fn substitutions(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for segment in segments(text) {
        match segment {
            Segment::Variable(name) if !name.starts_with('!') => names.push(name),
            Segment::Dynamic(inside) => names.extend(substitutions(inside)),
            Segment::Variable(_) | Segment::Text(_) => {}
        }
    }
    names
}

#[cfg(test)]
mod tests;
