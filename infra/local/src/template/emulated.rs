//! What one machine emulates of CloudFormation's resource types, and what to call the rest.
//!
//! It exists so that the reader of `cargo local` is told what is missing, and a new property of the
//! template does not go unnoticed. It must not know how anything is emulated.

use std::collections::{BTreeMap, BTreeSet};

use super::resources::{Resource, Resources};
use super::source::keys;
use super::types::{
    FUNCTION, HTTP_INTEGRATION, HTTP_ROUTE, MAPPING, QUEUE, REST_METHOD, REST_RESOURCE, REST_STAGE,
    RULE, TABLE,
};

/// What one machine emulates: each type, its plural for a reader, and its properties. Other types and properties end
/// up in [`Template::not_emulated`](super::Template::not_emulated).
const EMULATED: &[(&str, &str, &str)] = &[
    (
        FUNCTION,
        "functions",
        "Architectures CodeUri Environment Handler Policies Runtime Timeout VpcConfig",
    ),
    (QUEUE, "queues", "RedrivePolicy VisibilityTimeout"),
    (
        TABLE,
        "table",
        "AttributeDefinitions BillingMode GlobalSecondaryIndexes KeySchema \
         LocalSecondaryIndexes ProvisionedThroughput StreamSpecification \
         TimeToLiveSpecification",
    ),
    (
        MAPPING,
        "event source mappings",
        "BatchSize EventSourceArn FilterCriteria FunctionName FunctionResponseTypes \
         MaximumRetryAttempts ScalingConfig StartingPosition",
    ),
    (
        RULE,
        "schedules",
        "Description ScheduleExpression State Targets",
    ),
    (
        "AWS::ApiGateway::RestApi",
        "REST APIs",
        "Description EndpointConfiguration Name",
    ),
    (
        REST_RESOURCE,
        "REST resources",
        "ParentId PathPart RestApiId",
    ),
    (
        REST_METHOD,
        "REST methods",
        "AuthorizationType HttpMethod Integration ResourceId RestApiId",
    ),
    (
        "AWS::ApiGateway::Deployment",
        "REST deployments",
        "Description RestApiId",
    ),
    (
        REST_STAGE,
        "REST stages",
        "DeploymentId Description RestApiId StageName",
    ),
    (
        "AWS::ApiGatewayV2::Api",
        "HTTP APIs",
        "Description Name ProtocolType",
    ),
    (
        HTTP_INTEGRATION,
        "HTTP integrations",
        "ApiId IntegrationType IntegrationUri PayloadFormatVersion",
    ),
    (
        HTTP_ROUTE,
        "HTTP routes",
        "ApiId AuthorizationType RouteKey Target",
    ),
    (
        "AWS::ApiGatewayV2::Stage",
        "HTTP stages",
        "ApiId AutoDeploy Description StageName",
    ),
];

/// What types without an emulation are called there, by the beginning of their names.
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
pub(super) const MAY_NAME_A_FUNCTION: &[&str] = &[
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

impl Resources<'_> {
    /// One line for each, with how often it occurs.
    pub(super) fn not_emulated(&self) -> Vec<String> {
        let mut types: BTreeMap<&str, usize> = BTreeMap::new();
        let mut properties: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for resource in self.existing() {
            match EMULATED.iter().find(|(kind, ..)| *kind == resource.kind) {
                None => *types.entry(type_label(&resource.kind)).or_default() += 1,
                Some((_, plural, known)) => {
                    for property in self.properties_of(resource) {
                        if !known.split(' ').any(|it| it == property) {
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

fn type_label(kind: &str) -> &str {
    let label = UNEMULATED_TYPES
        .iter()
        .find(|(beginning, _)| kind.starts_with(beginning));
    label.map_or(kind, |(_, label)| label)
}
