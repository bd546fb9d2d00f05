//! Roles and network: what each function may call is what it calls, and what it reaches is what the
//! architecture says.
//!
//! That nothing calls what its role lacks is held to by the local servers, in every test. This is the
//! other direction, and the border of the VPC.

use std::{collections::BTreeSet, process::Command};

use local::template::Template;
use serde_json::json;
use tests::World;

use crate::git::Repository;

const TEMPLATE: &str = include_str!("../../infra/template.yaml");
const ARCHITECTURE: &str = include_str!("../../ARCHITECTURE.md");

fn call(action: &str, resource: &str) -> (String, String) {
    (action.to_owned(), resource.to_owned())
}

/// What Lambda calls in the function's name to wake it.
fn calls_of_lambda(template: &Template, function: &str) -> BTreeSet<(String, String)> {
    let mut calls = BTreeSet::new();
    let queues = template.queue_mappings.iter();
    for mapping in queues.filter(|mapping| mapping.function == function) {
        for action in ["ReceiveMessage", "DeleteMessage", "GetQueueAttributes"] {
            calls.insert(call(&format!("sqs:{action}"), &mapping.queue));
        }
    }
    let streams = template.stream_mappings.iter();
    for _ in streams.filter(|mapping| mapping.function == function) {
        for action in [
            "DescribeStream",
            "GetRecords",
            "GetShardIterator",
            "ListStreams",
        ] {
            calls.insert(call(&format!("dynamodb:{action}"), "table"));
        }
        // What its three attempts do not send.
        calls.insert(call("sqs:SendMessage", &format!("{function}-dlq")));
    }
    calls
}

/// Every flow once, so that every function makes each call that it ever makes.
async fn every_flow(world: &mut World, git: &Repository) {
    let (ana, bo) = (world.ana().to_owned(), world.bo().to_owned());
    // So many that issue-sync goes on in another message.
    world.link_issues(26).await;
    world.assign(1, &ana).await;
    world.assign(2, &bo).await;
    // Trackers are told of somebody, and then of nobody.
    world.settle().await;
    world.unassign(3).await;
    world.settle().await;
    world.stack.step_schedules().await.expect("the schedules");
    for path in [
        "",
        "organizations/",
        "organizations/acme/members/",
        "projects/acme/web/issues/",
    ] {
        let answer = world.get(&format!("/api/0/{path}")).await;
        assert_eq!(answer.status.as_u16(), 200, "{path}");
    }
    assert_eq!(world.assignee().await, None);
    for body in [
        json!({ "assignedTo": ana, "isSubscribed": true }),
        json!({ "assignedTo": null }),
    ] {
        let group = world.ready.group_id.clone().expect("a group");
        let answer = world
            .put(&format!("/api/0/issues/{group}/"), body.to_string())
            .await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    }
    world.activity().await;
    crate::releases::released(world).await;
    delete_a_release(world).await;
    crate::resolution::resolved(world).await;
    mails(world).await;
    crate::fetch::fetched(world, git).await;
    delete_a_project(world).await;
    world
        .operator(
            json!({ "command": "clear-owner-caches", "organization": "acme", "project": "web" }),
        )
        .await;
    world
        .operator(json!({ "command": "set-sync", "organization": "acme",
        "integration": world.integration(), "switches": { "inbound_assignee": true } }))
        .await;
    delete_an_organization(world).await;
}

async fn delete_a_release(world: &mut World) {
    let release = json!({ "version": "gone", "projects": ["web"] });
    let path = "/api/0/organizations/acme/releases/";
    let answer = world.post_json(path, &release).await;
    assert_eq!(answer.status.as_u16(), 201, "{}", answer.text());
    let answer = world.delete(&format!("{path}gone/"), "").await;
    assert_eq!(answer.status.as_u16(), 204, "{}", answer.text());
    world.settle().await;
}

async fn delete_an_organization(world: &mut World) {
    for command in [
        json!({ "command": "create-organization", "slug": "old", "name": "Old" }),
        json!({ "command": "create-team", "organization": "old", "slug": "all", "name": "All" }),
        json!({ "command": "add-member", "organization": "old", "email": world.ana(),
            "role": "owner", "teams": ["all"] }),
        json!({ "command": "create-project", "organization": "old", "team": "all", "slug": "old",
            "name": "Old" }),
    ] {
        world.operator(command).await;
    }
    // It is looked at before its project and before it go.
    let release = json!({ "version": "1", "projects": ["old"] });
    let answer = world
        .post_json("/api/0/organizations/old/releases/", &release)
        .await;
    assert_eq!(answer.status.as_u16(), 201, "{}", answer.text());
    let answer = world.delete("/api/0/organizations/old/", "").await;
    assert_eq!(answer.status.as_u16(), 202, "{}", answer.text());
    world.settle().await;
}

/// Mails to people and to owners, one of them later.
async fn mails(world: &mut World) {
    let throttled = local::ses::Mode::Throttled;
    world.stack.ses().set_mode(throttled, Some(1));
    crate::mail::to_owners(world, "1").await;
    world.settle().await;
    crate::deploy_notices::deployed(world).await;
    world.settle().await;
}

async fn delete_a_project(world: &mut World) {
    let project = json!({ "command": "create-project", "organization": "acme", "team": "web-team",
        "slug": "old", "name": "Old" });
    world.operator(project).await;
    let issue = json!({ "command": "create-issue", "organization": "acme", "project": "old", "title": "Old" });
    let issue = world.operator(issue).await["issue"]["id"].take();
    let link = json!({ "command": "link-external-issue", "organization": "acme", "issue": issue,
        "integration": world.integration(), "key": "77" });
    world.operator(link).await;
    let path = format!("/api/0/issues/{}/", issue.as_str().expect("an id"));
    let body = json!({ "assignedTo": world.ana() }).to_string();
    assert_eq!(world.put(&path, body).await.status.as_u16(), 200);
    world.settle().await;
    for restore in [true, false] {
        let answer = world.delete("/api/0/projects/acme/old/", "").await;
        assert_eq!(answer.status.as_u16(), 204, "{}", answer.text());
        if restore {
            let undelete =
                json!({ "command": "undelete-project", "organization": "acme", "project": "old" });
            world.operator(undelete).await;
        }
    }
    // The sweep comes before the deletion begins.
    world.stack.step_schedules().await.expect("the schedules");
    world.relay().await;
    world.drain("jobs").await;
    world.settle().await;
}

#[tokio::test]
async fn every_action_of_every_role_is_used() {
    let git = Repository::new("roles").await;
    let mut world = World::quiet_over(git.path()).await;
    every_flow(&mut world, &git).await;
    let calls = world.stack.calls();
    let template = world.stack.template();
    for function in &template.functions {
        let mut used = calls_of_lambda(template, &function.name);
        used.extend(calls.get(&function.name).cloned().unwrap_or_default());
        assert_eq!(used, function.role, "calls and role of {}", function.name);
    }
    assert_eq!(calls.len(), template.functions.len(), "{calls:?}");
    world.finish().await;
}

#[tokio::test]
async fn a_call_that_the_role_does_not_allow_is_refused() {
    let world = World::quiet().await;
    let client = |function: &str| {
        let variables = world.stack.environments()[function].clone();
        let env = runtime::Env::new(variables, runtime::Clock::default());
        let aws = env.reader().aws();
        store::Store::new(&aws.service("DYNAMODB"), "picket")
    };
    let key = store::Key {
        pk: "OUT#0".into(),
        sk: "0#x".into(),
    };
    client("outbox-relay")
        .outbox_delete(&key)
        .await
        .expect("its role allows it");
    let error = client("webhook-ingest")
        .outbox_delete(&key)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("webhook-ingest is not authorized to perform: dynamodb:DeleteItem"),
        "{error}"
    );
    world.finish().await;
}

/// The names of all packages that a function is linked from.
fn links(function: &str) -> BTreeSet<String> {
    let tree = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "-e",
            "normal",
            "--prefix",
            "none",
        ])
        .args(["-p", function])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo tree");
    let tree = String::from_utf8(tree.stdout).expect("UTF-8");
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

#[test]
fn a_function_links_the_clients_of_what_it_may_call_and_no_others() {
    let template = Template::parse(TEMPLATE).expect("the template");
    for function in &template.functions {
        let links = links(&function.name);
        let clients = links
            .iter()
            .filter_map(|name| name.strip_prefix("aws-sdk-"));
        let by_lambda = calls_of_lambda(&template, &function.name);
        let services = function.role.difference(&by_lambda);
        let services = services.filter_map(|(action, _)| action.split(':').next());
        assert_eq!(
            clients.collect::<BTreeSet<_>>(),
            services.collect::<BTreeSet<_>>(),
            "{}",
            function.name
        );
        let redis = function.environment.contains_key("REDIS_URL");
        assert_eq!(
            links.contains("redis"),
            redis,
            "{} and Redis",
            function.name
        );
        for heavy in ["aws-config", "aws-lc-sys", "openssl-sys", "mimalloc"] {
            assert!(!links.contains(heavy), "{} links {heavy}", function.name);
        }
    }
}

/// The functions beside Redis, as the map in ARCHITECTURE.md marks them.
fn in_vpc_by_the_map() -> BTreeSet<String> {
    let lines = ARCHITECTURE
        .lines()
        .filter(|line| line.trim_end().ends_with("[VPC]"));
    let names = lines.filter_map(|line| line.split_whitespace().next());
    names.map(str::to_owned).collect()
}

#[test]
fn the_vpc_is_where_the_architecture_says() {
    let template = Template::parse(TEMPLATE).expect("the template");
    let inside = |inside: bool| {
        let functions = template.functions.iter();
        functions.filter(move |function| function.in_vpc == inside)
    };
    let names: BTreeSet<_> = inside(true).map(|function| function.name.clone()).collect();
    assert!(!names.is_empty());
    assert_eq!(names, in_vpc_by_the_map());
    for function in inside(true) {
        let by_lambda = calls_of_lambda(&template, &function.name);
        let own = function.role.difference(&by_lambda);
        for (action, resource) in own {
            assert!(
                ["table", "table/index/GSI1"].contains(&resource.as_str()),
                "{} cannot reach {resource} for {action}",
                function.name
            );
        }
    }
    for function in inside(false) {
        let reaches = function.environment.contains_key("REDIS_URL");
        assert!(!reaches, "{} cannot reach Redis", function.name);
    }
}

#[test]
fn the_vpcs_endpoint_lets_through_what_the_functions_in_it_call() {
    let template = Template::parse(TEMPLATE).expect("the template");
    let inside = template.functions.iter().filter(|function| function.in_vpc);
    let actions = inside.flat_map(|function| function.role.iter().map(|(action, _)| action));
    let called: BTreeSet<_> = actions
        .filter(|action| action.starts_with("dynamodb:"))
        .collect();
    let (_, endpoint) = TEMPLATE
        .split_once("  DynamoDbEndpoint:\n")
        .expect("the endpoint");
    let (endpoint, _) = endpoint.split_once("\n\n").expect("another resource");
    let lines = endpoint
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- "));
    let allowed: BTreeSet<_> = lines.filter(|line| line.starts_with("dynamodb:")).collect();
    assert_eq!(
        allowed.into_iter().collect::<Vec<_>>(),
        called.into_iter().collect::<Vec<_>>()
    );
}
