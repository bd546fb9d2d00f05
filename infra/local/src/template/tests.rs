use std::collections::BTreeSet;

use serde_json::json;

use super::triggers::read_filter;
use super::*;

fn real() -> Template {
    Template::parse(include_str!("../../../template.yaml")).unwrap()
}

fn function(name: &str) -> Function {
    let mut functions = real().functions.into_iter();
    functions.find(|it| it.name == name).unwrap()
}

/// A table and one function, and what the test adds under `Resources`.
fn with(resources: &str) -> Result<Template> {
    Template::parse(&format!(
        "Parameters:
  Size: {{ Type: Number, Default: 7 }}
Resources:
  Table:
    Type: AWS::DynamoDB::Table
    Properties: {{ BillingMode: PAY_PER_REQUEST }}
  DoWork:
    Type: AWS::Serverless::Function
    Properties: {{ Timeout: 5 }}
  WorkQueue: {{ Type: AWS::SQS::Queue }}
{resources}"
    ))
}

fn refusal(resources: &str) -> String {
    format!("{:#}", with(resources).unwrap_err())
}

/// The value of variable X, given its YAML.
fn resolved(yaml: &str) -> Result<BTreeMap<String, String>> {
    let text = format!(
        "Parameters:
  Size: {{ Type: Number, Default: 7 }}
  Empty: {{ Type: String, Default: '' }}
Conditions:
  IsEmpty: !Equals [!Ref Empty, '']
  HasSize: !Not [!Equals [!Ref Size, 0]]
  Both: !And [!Condition IsEmpty, !Condition HasSize]
Resources:
  Secret: {{ Type: AWS::SecretsManager::Secret }}
  Table: {{ Type: AWS::DynamoDB::Table }}
  DoWork:
    Type: AWS::Serverless::Function
    Properties:
      Environment:
        Variables:
          X: {yaml}
"
    );
    let template = Template::parse(&text)?;
    resolve_environment(
        &template,
        &template.functions[0],
        &|id, attribute| match (id, attribute) {
            ("Table", None) => Some("the-table".to_owned()),
            ("Table", Some("Arn")) => Some("arn:the-table".to_owned()),
            ("Table", Some("A.B")) => Some("deep".to_owned()),
            ("Secret", Some("SecretString")) => Some("s3cret".to_owned()),
            _ => None,
        },
    )
}

#[track_caller]
fn check(yaml: &str, expected: &str) {
    assert_eq!(resolved(yaml).unwrap()["X"], expected, "{yaml}");
}

#[test]
fn the_real_template_names_its_functions_like_their_crates() {
    let names: Vec<_> = real()
        .functions
        .iter()
        .map(|it| (it.name.clone(), it.timeout.as_secs(), it.in_vpc))
        .collect();
    let expected = [
        ("api", 25, true),
        ("deassign", 30, true),
        ("fetch-commits", 90, false),
        ("issue-sync", 30, false),
        ("jobs", 60, false),
        ("operator", 60, true),
        ("outbound-sync", 90, false),
        ("outbox-relay", 60, false),
        ("project-delete", 60, false),
        ("send-email", 60, false),
        ("webhook-ingest", 25, false),
    ];
    assert_eq!(names, expected.map(|(a, b, c)| (a.to_owned(), b, c)));
}

#[test]
fn every_function_of_the_real_template_is_a_crate_and_the_other_way_round() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../functions");
    let crates: BTreeSet<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let names: BTreeSet<_> = real().functions.into_iter().map(|it| it.name).collect();
    assert_eq!(names, crates);
}

#[test]
fn the_real_queues_wait_six_times_the_function_and_have_a_dead_letter_queue() {
    let template = real();
    let names: Vec<_> = template.queues.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "deassign-dlq",
            "deassign",
            "fetch-commits-dlq",
            "fetch-commits",
            "issue-sync-dlq",
            "issue-sync",
            "jobs-dlq",
            "jobs",
            "outbound-sync-dlq",
            "outbound-sync",
            "outbox-relay-dlq",
            "project-delete-dlq",
            "project-delete",
            "send-email-dlq",
            "send-email"
        ]
    );
    for mapping in &template.queue_mappings {
        let queue = template.queues.iter().find(|it| it.name == mapping.queue);
        let queue = queue.unwrap();
        assert!(queue.visibility_timeout >= 6 * function(&mapping.function).timeout);
        assert_eq!(queue.max_receive_count, Some(runtime::MAX_RECEIVES));
        assert_eq!(
            queue.dead_letter_queue,
            Some(format!("{}-dlq", mapping.queue))
        );
    }
}

#[test]
fn the_real_triggers_are_read() {
    let template = real();
    let mapping = |name: &str, batch_size| QueueMapping {
        queue: name.to_owned(),
        function: name.to_owned(),
        batch_size,
        report_batch_item_failures: true,
        maximum_concurrency: Some(10),
    };
    assert_eq!(
        template.queue_mappings,
        [
            mapping("deassign", 10),
            mapping("fetch-commits", 1),
            mapping("issue-sync", 10),
            mapping("jobs", 1),
            mapping("outbound-sync", 1),
            mapping("project-delete", 1),
            mapping("send-email", 1)
        ]
    );
    let stream = StreamMapping {
        function: "outbox-relay".to_owned(),
        batch_size: 10,
        maximum_attempts: 3,
        filters: vec![StreamFilter {
            event_names: vec!["INSERT".to_owned()],
            key_prefix: Some(("PK".to_owned(), "OUT#".to_owned())),
        }],
        report_batch_item_failures: true,
    };
    assert_eq!(template.stream_mappings, [stream]);
    let schedule = |function: &str, minutes: u64| Schedule {
        function: function.to_owned(),
        every: Duration::from_secs(60 * minutes),
    };
    assert_eq!(
        template.schedules,
        [schedule("jobs", 15), schedule("outbox-relay", 1)]
    );
}

#[test]
fn the_real_routes_are_full_paths_with_their_gateway() {
    let rest = |path: &str| Route {
        gateway: Gateway::Rest {
            stage: "v1".to_owned(),
        },
        method: None,
        path: path.to_owned(),
        function: "api".to_owned(),
    };
    let vsts = Route {
        gateway: Gateway::Http,
        method: None,
        path: "/extensions/vsts/{proxy+}".to_owned(),
        function: "webhook-ingest".to_owned(),
    };
    let pictures = Route {
        gateway: Gateway::Http,
        method: None,
        path: "/organization-avatar/{proxy+}".to_owned(),
        function: "api".to_owned(),
    };
    let expected = [rest("/api/0/{proxy+}"), rest("/api/0"), pictures, vsts];
    assert_eq!(real().routes, expected);
}

#[test]
fn the_real_table_becomes_a_create_table_request() {
    let table = real().table;
    assert_eq!(table.ttl_attribute.as_deref(), Some("ttl"));
    assert_eq!(
        table.create_table,
        json!({
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [
                { "AttributeName": "PK", "AttributeType": "S" },
                { "AttributeName": "SK", "AttributeType": "S" },
                { "AttributeName": "GSI1PK", "AttributeType": "S" },
                { "AttributeName": "GSI1SK", "AttributeType": "S" },
            ],
            "KeySchema": [
                { "AttributeName": "PK", "KeyType": "HASH" },
                { "AttributeName": "SK", "KeyType": "RANGE" },
            ],
            "GlobalSecondaryIndexes": [{
                "IndexName": "GSI1",
                "KeySchema": [
                    { "AttributeName": "GSI1PK", "KeyType": "HASH" },
                    { "AttributeName": "GSI1SK", "KeyType": "RANGE" },
                ],
                "Projection": { "ProjectionType": "KEYS_ONLY" },
            }],
            "StreamSpecification": { "StreamEnabled": true, "StreamViewType": "KEYS_ONLY" },
        })
    );
}

#[test]
fn what_is_not_emulated_is_said_in_lines() {
    let lines = real().not_emulated;
    let functions = real().functions.len();
    for line in [
        "VPC, subnets and security groups (9 resources)".to_owned(),
        "API Gateway account settings (1 resource)".to_owned(),
        format!("LoggingConfig of functions ({functions})"),
        format!("MemorySize of functions ({functions})"),
        "AccessLogSetting of REST stages (1)".to_owned(),
        "DestinationConfig of event source mappings (1)".to_owned(),
    ] {
        assert!(lines.contains(&line), "{line}: {lines:#?}");
    }
}

#[test]
fn the_real_environment_of_the_operator_resolves() {
    let lookup = |id: &str, attribute: Option<&str>| {
        let value = match (id, attribute) {
            ("Table", None) => "picket",
            ("KeyRingSecret", Some("SecretString")) => "0123456789",
            ("Cache", Some("PrimaryEndPoint.Address")) => "localhost",
            ("Cache", Some("PrimaryEndPoint.Port")) => "6379",
            ("PublicUrl" | "IngestUrl", None) => "http://localhost:9000",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let environment = resolve_environment(&real(), &function("operator"), &lookup).unwrap();
    let expected = [
        ("INGEST_URL", "http://localhost:9000"),
        ("KEY_RING", "k1:0123456789"),
        ("LOG_LEVEL", "info"),
        ("PUBLIC_URL", "http://localhost:9000"),
        ("REDIS_URL", "rediss://localhost:6379"),
        ("SNOWFLAKE_REGION_ID", "0"),
        ("TABLE_NAME", "picket"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(environment, BTreeMap::from(expected));
}

#[test]
fn references_resolve_through_the_caller_then_the_defaults() {
    check("!Ref Table", "the-table");
    check("!Ref Size", "7");
    check("{ Ref: Size }", "7");
    check("!GetAtt Table.Arn", "arn:the-table");
    check("{ 'Fn::GetAtt': [Table, Arn] }", "arn:the-table");
    check("!GetAtt Table.A.B", "deep");
    check("12", "12");
    check("'${Size}'", "${Size}");
}

#[test]
fn substitutions_take_variables_attributes_and_literals() {
    check(
        "!Sub 'a-${Table}-${Table.A.B}-${!Table}'",
        "a-the-table-deep-${Table}",
    );
    check(
        "!Sub ['${Own}/${Size}', { Own: !Ref Table }]",
        "the-table/7",
    );
    check("!Join [':', [a, !Ref Size, !Ref 'AWS::NoValue']]", "a:7");
}

#[test]
fn secrets_are_asked_for_by_their_logical_id() {
    check(
        "!Sub 'k1:{{resolve:secretsmanager:${Secret}}},x'",
        "k1:s3cret,x",
    );
    check(
        "!Sub '{{resolve:secretsmanager:${Secret}:SecretString}}'",
        "s3cret",
    );
    check("'{{resolve:secretsmanager:Secret}}'", "s3cret");
    let error = resolved("!Sub '{{resolve:ssm:${Secret}}}'").unwrap_err();
    assert!(format!("{error:#}").contains("not understood"));
}

#[test]
fn conditions_choose_and_no_value_leaves_the_variable_out() {
    check("!If [IsEmpty, yes-it-is, no]", "yes-it-is");
    check("!If [Both, !Ref Size, no]", "7");
    assert!(
        resolved("!If [IsEmpty, !Ref 'AWS::NoValue', x]")
            .unwrap()
            .is_empty()
    );
}

#[test]
fn an_unknown_function_names_the_lambda_and_the_variable() {
    let error = format!("{:#}", resolved("!Base64 abc").unwrap_err());
    assert_eq!(
        error,
        "X of function do-work: Fn::Base64 is an unknown function"
    );
    let error = format!("{:#}", resolved("!Ref 'AWS::Region'").unwrap_err());
    assert!(
        error.ends_with("nothing is known of AWS::Region"),
        "{error}"
    );
}

#[test]
fn events_in_sam_shorthand_are_refused() {
    let error = refusal(
        "  Other:
    Type: AWS::Serverless::Function
    Properties:
      Events: { Get: { Type: HttpApi } }
",
    );
    let expected = "Other (line 11): an unknown trigger: SAM's Events; write the resources out";
    assert_eq!(error, expected);
}

#[test]
fn whatever_else_names_a_function_is_an_unknown_trigger() {
    let url = "  Url:
    Type: AWS::Lambda::Url
    Properties: { TargetFunctionArn: !GetAtt DoWork.Arn, AuthType: NONE }
";
    assert!(refusal(url).starts_with("Url (line 11): an unknown trigger: AWS::Lambda::Url"));
    let topic = "  Mail:
    Type: AWS::SNS::Subscription
    Properties: { Protocol: lambda, Endpoint: !Sub '${DoWork.Arn}' }
";
    assert!(refusal(topic).contains("AWS::SNS::Subscription names function DoWork"));
    let api = "  Gateway: { Type: AWS::Serverless::HttpApi }\n";
    assert!(refusal(api).contains("an unknown trigger: AWS::Serverless::HttpApi"));
}

#[test]
fn an_event_source_mapping_needs_one_of_our_sources() {
    let mapping = |source: &str| {
        format!(
            "  Stream: {{ Type: AWS::Kinesis::Stream }}
  Poll:
    Type: AWS::Lambda::EventSourceMapping
    Properties: {{ FunctionName: !Ref DoWork, EventSourceArn: {source} }}
"
        )
    };
    let error = refusal(&mapping("!GetAtt Stream.Arn"));
    assert!(
        error.starts_with("Poll (line 12): an unknown event source"),
        "{error}"
    );
    assert!(refusal(&mapping("!GetAtt Table.Arn")).contains("unknown event source"));
    assert!(refusal(&mapping("!GetAtt Gone.Arn")).contains("refers to Gone"));
    let endless = refusal(&mapping("!GetAtt Table.StreamArn"));
    assert!(
        endless.contains("MaximumRetryAttempts is missing"),
        "{endless}"
    );
    let template = with(&mapping("!GetAtt WorkQueue.Arn")).unwrap();
    assert_eq!(template.queue_mappings[0].queue, "work");
    assert_eq!(template.queue_mappings[0].maximum_concurrency, None);
    assert!(!template.queue_mappings[0].report_batch_item_failures);
}

#[test]
fn a_rule_needs_a_rate_and_one_of_our_functions() {
    let rule = |expression: &str, target: &str| {
        format!(
            "  Timer:
    Type: AWS::Events::Rule
    Properties:
      {expression}
      Targets: [{{ Id: one, Arn: !GetAtt {target}.Arn }}]
"
        )
    };
    let hourly = with(&rule("ScheduleExpression: rate(2 hours)", "DoWork")).unwrap();
    assert_eq!(hourly.schedules[0].every, Duration::from_secs(7_200));
    let rate = "ScheduleExpression: rate(1 day)";
    assert!(refusal(&rule(rate, "WorkQueue")).contains("an unknown target"));
    assert!(
        refusal(&rule("ScheduleExpression: cron(0 1 * * ? *)", "DoWork")).contains("not a rate")
    );
    assert!(
        refusal(&rule("EventPattern: { source: [aws.s3] }", "DoWork")).contains("EventPattern")
    );
}

#[test]
fn a_filter_that_is_not_understood_is_refused() {
    let filter = |pattern: &str| read_filter(&json!({ "Pattern": pattern }));
    assert!(filter(r#"{"eventName":["INSERT"]}"#).is_ok());
    for pattern in [
        "nonsense",
        r#"{"eventSource":["x"]}"#,
        r#"{"eventName":[{"anything-but":["INSERT"]}]}"#,
        r#"{"dynamodb":{"NewImage":{"a":{"S":["b"]}}}}"#,
        r#"{"dynamodb":{"Keys":{"PK":{"S":["exact"]}}}}"#,
    ] {
        assert!(filter(pattern).is_err(), "{pattern}");
    }
}

#[test]
fn a_resource_whose_condition_does_not_hold_is_not_there() {
    let text = "  Other:
    Type: AWS::Serverless::Function
    Condition: Never
    Properties: {}
Conditions:
  Never: !Equals [!Ref Size, 8]
";
    assert_eq!(with(text).unwrap().functions.len(), 1);
}

#[test]
fn a_route_behind_an_authorizer_is_refused() {
    let error = refusal(
        "  Http: { Type: AWS::ApiGatewayV2::Api }
  Route:
    Type: AWS::ApiGatewayV2::Route
    Properties: { ApiId: !Ref Http, RouteKey: GET /x, AuthorizationType: JWT }
",
    );
    assert!(error.contains("authorizers are not emulated"), "{error}");
}
