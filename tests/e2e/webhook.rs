//! What the Azure DevOps webhook answers, and that a refusal leaves nothing behind.

use hyper::Method;
use local::client::request;
use serde_json::{Value, json};
use tests::{World, assigned_to};

/// Posts and expects a status, a body, and that no message was sent.
async fn expect(world: &World, secret: Option<&str>, body: &str, status: u16, text: &str) {
    let headers: Vec<_> = secret
        .iter()
        .map(|secret| ("shared-secret", *secret))
        .collect();
    let answer = world.post(&headers, body.to_owned()).await;
    let short: String = body.chars().take(200).collect();
    assert_eq!(
        (answer.status.as_u16(), answer.text().as_str()),
        (status, text),
        "{short}"
    );
    assert_eq!(world.stack.sqs().sent_count("issue-sync"), 0, "{short}");
}

#[tokio::test]
async fn a_wrong_a_missing_and_an_empty_secret_are_refused() {
    let world = World::start().await;
    let body = world.work_item(1, assigned_to(world.ana())).to_string();
    let right = world.ready.vsts_shared_secret.clone().unwrap();
    let same_length = "f".repeat(right.len());
    for secret in [None, Some(""), Some("wrong"), Some(same_length.as_str())] {
        expect(&world, secret, &body, 401, "").await;
    }
    world.finish().await;
}

#[tokio::test]
async fn an_unknown_account_is_told_so_and_broken_json_is_not() {
    let world = World::start().await;
    let secret = world.ready.vsts_shared_secret.clone().unwrap();
    let mut unknown = world.work_item(1, assigned_to(world.ana()));
    unknown["resourceContainers"]["collection"]["id"] = "somebody-else".into();
    let detail = r#"{"detail":"There is no integration for this Azure DevOps collection."}"#;
    expect(&world, Some(&secret), &unknown.to_string(), 400, detail).await;

    let mut no_collection = world.work_item(1, assigned_to(world.ana()));
    let account = json!({ "account": { "id": world.ready.vsts_external_id } });
    no_collection["resourceContainers"] = account;
    let mut no_event = world.work_item(1, assigned_to(world.ana()));
    no_event.as_object_mut().unwrap().remove("eventType");
    for body in [
        "",
        "{",
        "[]",
        "null",
        &no_collection.to_string(),
        &no_event.to_string(),
    ] {
        expect(&world, Some(&secret), body, 400, "").await;
    }
    world.finish().await;
}

#[tokio::test]
async fn a_disabled_integration_counts_as_unknown() {
    let world = World::start().await;
    let secret = world.ready.vsts_shared_secret.clone().unwrap();
    world
        .operator(json!({
            "command": "create-integration", "organization": "acme", "provider": "vsts",
            "external_id": world.ready.vsts_external_id, "name": "acme",
            "domain_name": "https://dev.azure.com/acme/", "status": "disabled",
        }))
        .await;
    let body = world.work_item(1, assigned_to(world.ana())).to_string();
    let detail = r#"{"detail":"There is no integration for this Azure DevOps collection."}"#;
    expect(&world, Some(&secret), &body, 400, detail).await;
    world.finish().await;
}

#[tokio::test]
async fn other_events_are_accepted_without_a_look_at_account_and_secret() {
    let world = World::start().await;
    let body = r#"{"eventType":"workitem.created","resourceContainers":{"collection":{"id":"x"}}}"#;
    expect(&world, None, body, 200, "").await;
    world.finish().await;
}

#[tokio::test]
async fn a_delivery_that_says_nothing_is_accepted_and_sends_nothing() {
    let world = World::start().await;
    let secret = world.ready.vsts_shared_secret.clone().unwrap();
    let with = |pointer: &str, value: Value| {
        let mut body = world.work_item(1, assigned_to(world.ana()));
        *body.pointer_mut(pointer).unwrap() = value;
        body.to_string()
    };
    for body in [
        with("/resource/workItemId", Value::Null),
        with("/resource/workItemId", json!("")),
        with("/resource/fields", Value::Null),
        with(
            "/resource/fields",
            json!({ "System.Title": { "newValue": "x" } }),
        ),
        with("/resource/fields/System.AssignedTo", json!({})),
        with("/resource", Value::Null),
    ] {
        expect(&world, Some(&secret), &body, 200, "").await;
    }
    world.finish().await;
}

#[tokio::test]
async fn a_body_above_1_mib_is_refused_and_one_of_1_mib_is_not() {
    let mut world = World::start().await;
    let secret = world.ready.vsts_shared_secret.clone().unwrap();
    let padded = |size: usize| {
        let body = world.work_item(1, assigned_to(world.ana())).to_string();
        format!("{body}{}", " ".repeat(size - body.len()))
    };
    expect(&world, Some(&secret), &padded(2 * 1024 * 1024), 413, "").await;
    expect(&world, Some(&secret), &padded(1024 * 1024 + 1), 413, "").await;
    let answer = world
        .post(&[("shared-secret", &secret)], padded(1024 * 1024))
        .await;
    assert_eq!(answer.status.as_u16(), 200);
    world.settle().await;
    assert_eq!(world.assignee().await.as_deref(), Some("ana@acme.example"));
    world.finish().await;
}

#[tokio::test]
async fn other_methods_are_not_allowed() {
    let world = World::start().await;
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let url = &world.ready.vsts_webhook_url;
        let answer = request(method.clone(), url, &[], "").await.unwrap();
        assert_eq!(answer.status.as_u16(), 405, "{method}");
    }
    world.finish().await;
}

#[tokio::test]
async fn a_subscription_that_is_not_the_known_one_is_refused() {
    let world = World::start().await;
    let secret = world.ready.vsts_shared_secret.clone().unwrap();
    world
        .operator(json!({
            "command": "create-integration", "organization": "acme", "provider": "vsts",
            "external_id": world.ready.vsts_external_id, "name": "acme",
            "domain_name": "https://dev.azure.com/acme/", "subscription_id": "sub-1",
        }))
        .await;
    let mut body = world.work_item(1, assigned_to(world.ana()));
    body["subscriptionId"] = json!("sub-2");
    expect(&world, Some(&secret), &body.to_string(), 401, "").await;
    body["subscriptionId"] = json!("sub-1");
    assert_eq!(world.deliver(&body).await.status.as_u16(), 200);
    world.finish().await;
}

#[tokio::test]
async fn a_known_sender_costs_no_reads_and_a_new_secret_is_taken_at_once() {
    let world = World::quiet().await;
    world.assign(1, world.ana()).await;
    let reads = |world: &World| world.stack.dynamodb().operations()["GetItem"];
    let before = reads(&world);
    world.assign(2, world.bo()).await;
    assert_eq!(reads(&world), before, "integration and secret are known");

    world
        .operator(json!({
            "command": "create-integration", "organization": "acme", "provider": "vsts",
            "external_id": world.ready.vsts_external_id, "name": "acme",
            "domain_name": "https://dev.azure.com/acme/", "shared_secret": "a-rotated-secret",
        }))
        .await;
    let body = world.work_item(3, assigned_to(world.ana())).to_string();
    let answer = world
        .post(&[("shared-secret", "a-rotated-secret")], body.clone())
        .await;
    assert_eq!(
        answer.status.as_u16(),
        200,
        "a mismatch reads again before it refuses"
    );
    let old = world.ready.vsts_shared_secret.clone().unwrap();
    let answer = world.post(&[("shared-secret", &old)], body).await;
    assert_eq!(answer.status.as_u16(), 401);
    world.finish().await;
}

#[tokio::test]
async fn a_known_sender_is_looked_up_again_after_a_minute() {
    let world = World::quiet().await;
    world.assign(1, world.ana()).await;
    let reads = |world: &World| world.stack.dynamodb().operations()["GetItem"];
    let before = reads(&world);
    world.stack.clock().advance(60_000);
    world.assign(2, world.bo()).await;
    assert_eq!(reads(&world), before + 1);
    world.finish().await;
}

#[tokio::test]
async fn a_delivery_that_the_queue_does_not_take_is_not_accepted() {
    let world = World::quiet().await;
    world.stack.sqs().set_failure_rate(1.0, 1);
    let answer = world
        .deliver(&world.work_item(1, assigned_to(world.ana())))
        .await;
    assert_eq!(answer.status.as_u16(), 503);
    assert_eq!(answer.headers["retry-after"], "1");
    world.stack.sqs().set_failure_rate(0.0, 1);
    world.finish().await;
}

#[tokio::test]
async fn secrets_reach_neither_the_table_nor_the_log() {
    let mut world = World::start().await;
    let secret = world.ready.vsts_shared_secret.clone().unwrap();
    let token = world.ready.auth_token.clone().unwrap();
    world.assign(1, world.ana()).await;
    world
        .post(
            &[("shared-secret", "an-impostors-secret")],
            world.work_item(2, json!({})).to_string(),
        )
        .await;
    world.settle().await;
    let table: String = world.items().iter().map(Value::to_string).collect();
    let log = world.log_text();
    for secret in [secret.as_str(), token.as_str(), "an-impostors-secret"] {
        assert!(!table.contains(secret) && !log.contains(secret));
    }
    assert!(!log.contains("ana@acme.example"), "addresses are personal");
    world.finish().await;
}
