//! The names of the resource types that are read, as CloudFormation has them.

pub(super) const FUNCTION: &str = "AWS::Serverless::Function";
pub(super) const QUEUE: &str = "AWS::SQS::Queue";
pub(super) const TABLE: &str = "AWS::DynamoDB::Table";
pub(super) const MAPPING: &str = "AWS::Lambda::EventSourceMapping";
pub(super) const RULE: &str = "AWS::Events::Rule";
pub(super) const REST_RESOURCE: &str = "AWS::ApiGateway::Resource";
pub(super) const REST_METHOD: &str = "AWS::ApiGateway::Method";
pub(super) const REST_STAGE: &str = "AWS::ApiGateway::Stage";
pub(super) const HTTP_INTEGRATION: &str = "AWS::ApiGatewayV2::Integration";
pub(super) const HTTP_ROUTE: &str = "AWS::ApiGatewayV2::Route";
