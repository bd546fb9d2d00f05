//! The assignee of an Azure DevOps work item becomes the assignee of the linked issues.

use serde_json::{Value, json};
use tests::{World, assigned_to};

use crate::sync_trail::ends;

#[tokio::test]
async fn an_assignment_at_azure_assigns_the_linked_issue_once() {
    let mut world = World::start().await;
    for _ in 0..5 {
        world.assign(1, world.bo()).await;
    }
    world.settle().await;
    assert_eq!(world.assignee().await.as_deref(), Some("bo@acme.example"));
    assert_eq!(world.activity().await, ["assigned bo@acme.example"]);
    world.finish().await;
}

#[tokio::test]
async fn the_activity_names_the_tracker_and_the_delivery_and_no_person() {
    let mut world = World::start().await;
    world.assign(11, world.ana()).await;
    world.settle().await;
    let group = world.ready.group_id.clone().unwrap();
    let answer = world
        .get(&format!("/api/0/issues/{group}/activities/"))
        .await
        .json();
    let line = &answer["activity"][0];
    assert_eq!(line["type"], "assigned");
    assert_eq!(line["user"], Value::Null);
    let data = &line["data"];
    assert_eq!(data["assignee"], world.ready.members[0].id.as_str());
    assert_eq!(data["assigneeType"], "user");
    assert_eq!(data["integration"], "vsts");
    assert_eq!(data["cause"]["externalIssue"], "31");
    assert_eq!(data["cause"]["revision"], "11");
    assert_eq!(data["cause"]["delivery"].as_str().map(str::len), Some(26));
    world.finish().await;
}

#[tokio::test]
async fn the_address_is_compared_without_regard_to_case() {
    let mut world = World::start().await;
    world.assign(1, "BO@Acme.Example").await;
    world.settle().await;
    assert_eq!(world.assignee().await.as_deref(), Some("bo@acme.example"));
    world.finish().await;
}

#[tokio::test]
async fn an_unassignment_goes_through_the_deassign_function() {
    let mut world = World::start().await;
    world.assign(1, world.ana()).await;
    world.settle().await;
    world.unassign(2).await;
    world.settle().await;
    assert_eq!(world.assignee().await, None);
    assert_eq!(
        world.activity().await,
        ["assigned ana@acme.example", "unassigned"]
    );
    assert!(world.stack.sqs().sent_count("deassign") > 0);
    world.finish().await;
}

#[tokio::test]
async fn an_explicit_null_unassigns_too() {
    let mut world = World::start().await;
    world.assign(1, world.ana()).await;
    world.settle().await;
    world
        .deliver(&world.work_item(2, json!({ "oldValue": "x", "newValue": null })))
        .await;
    world.settle().await;
    assert_eq!(world.assignee().await, None);
    world.finish().await;
}

#[tokio::test]
async fn unassigning_an_unassigned_issue_leaves_no_activity_and_sends_nothing() {
    let mut world = World::start().await;
    world.unassign(1).await;
    world.settle().await;
    assert_eq!(world.activity().await, Vec::<String>::new());
    assert_eq!(world.stack.sqs().sent_count("deassign"), 0);
    assert_eq!(world.outcomes()[0], "suppressed: already_so");
    world.finish().await;
}

/// Delivers an assignment to `email` over Ana's, and expects Ana to stay, for `reason`.
async fn expect_refused(mut world: World, email: &str, reason: &str) {
    world.assign(1, world.ana()).await;
    world.settle().await;
    world.assign(2, email).await;
    world.settle().await;
    assert_eq!(world.assignee().await.as_deref(), Some("ana@acme.example"));
    assert_eq!(world.activity().await.len(), 1);
    assert_eq!(
        world.outcomes().last(),
        Some(&format!("suppressed: {reason}"))
    );
    world.finish().await;
}

#[tokio::test]
async fn a_person_without_access_to_the_project_is_not_assigned() {
    let world = World::start().await;
    let cy = world.cy().to_owned();
    expect_refused(world, &cy, "assignee_without_access").await;
}

#[tokio::test]
async fn an_unknown_address_changes_nothing() {
    expect_refused(
        World::start().await,
        "nobody@acme.example",
        "assignee_unknown",
    )
    .await;
}

#[tokio::test]
async fn an_unverified_address_identifies_nobody() {
    let world = World::start().await;
    let bo = world.bo().to_owned();
    world
        .operator(
            json!({ "command": "create-user", "email": bo, "name": "Bo Li", "verified": false }),
        )
        .await;
    expect_refused(world, &bo, "assignee_unknown").await;
}

#[tokio::test]
async fn a_deactivated_person_is_not_assigned() {
    let world = World::start().await;
    let bo = world.bo().to_owned();
    world
        .operator(
            json!({ "command": "create-user", "email": bo, "name": "Bo Li", "active": false }),
        )
        .await;
    expect_refused(world, &bo, "assignee_unknown").await;
}

#[tokio::test]
async fn an_organization_without_the_feature_takes_nothing_in() {
    let mut world = World::start().await;
    world
        .operator(json!({
            "command": "set-feature", "organization": "acme",
            "feature": "integrations-issue-sync", "enabled": false,
        }))
        .await;
    world.assign(1, world.ana()).await;
    world.settle().await;
    assert_eq!(world.assignee().await, None);
    assert_eq!(world.outcomes(), ["suppressed: feature_off"]);
    world.finish().await;
}

#[tokio::test]
async fn an_organization_with_the_switch_off_takes_nothing_in() {
    let mut world = World::start().await;
    let integration = world.integration();
    world
        .operator(json!({
            "command": "set-sync", "organization": "acme", "integration": integration,
            "switches": { "inbound_assignee": false },
        }))
        .await;
    world.assign(1, world.ana()).await;
    world.settle().await;
    assert_eq!(world.assignee().await, None);
    assert_eq!(world.outcomes(), ["suppressed: switch_off"]);
    world.finish().await;
}

/// A second organization that the same integration serves, with its own issue on work item 31.
async fn second_organization(world: &World) -> String {
    for command in [
        json!({ "command": "create-organization", "slug": "beta", "name": "Beta" }),
        json!({ "command": "create-team", "organization": "beta", "slug": "all", "name": "All" }),
        json!({ "command": "add-member", "organization": "beta", "email": world.ana(), "teams": ["all"] }),
        json!({ "command": "create-project", "organization": "beta", "team": "all", "slug": "app", "name": "App" }),
        json!({ "command": "create-integration", "organization": "beta", "provider": "vsts",
            "external_id": world.ready.vsts_external_id, "name": "acme",
            "domain_name": "https://dev.azure.com/acme/" }),
        json!({ "command": "set-feature", "organization": "beta", "feature": "integrations-issue-sync", "enabled": true }),
    ] {
        world.operator(command).await;
    }
    let issue = json!({ "command": "create-issue", "organization": "beta", "project": "app", "title": "Oops" });
    let issue = world.operator(issue).await["issue"].take();
    world
        .operator(json!({
            "command": "link-external-issue", "organization": "beta", "issue": issue["id"],
            "integration": world.integration(), "key": "31",
        }))
        .await;
    issue["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn each_organization_of_an_integration_decides_for_itself() {
    let mut world = World::start().await;
    let other = second_organization(&world).await;
    world.assign(1, world.ana()).await;
    world.settle().await;
    assert_eq!(world.assignee().await.as_deref(), Some("ana@acme.example"));
    assert_eq!(world.assignee_of(&other).await, None, "its switch is off");
    world.replay().await;

    world
        .operator(json!({
            "command": "set-sync", "organization": "beta", "integration": world.integration(),
            "switches": { "inbound_assignee": true },
        }))
        .await;
    world.assign(2, world.ana()).await;
    world.settle().await;
    assert_eq!(
        world.assignee_of(&other).await.as_deref(),
        Some("ana@acme.example")
    );
    world.unassign(3).await;
    world.settle().await;
    assert_eq!(world.assignee().await, None);
    assert_eq!(world.assignee_of(&other).await, None);
    world.finish().await;
}

#[tokio::test]
async fn every_group_of_an_external_issue_changes_however_many_there_are() {
    let mut world = World::start().await;
    let mut groups = world.link_issues(59).await;
    groups.extend(world.ready.group_id.clone());
    world.assign(1, world.bo()).await;
    world.settle().await;
    for group in &groups {
        assert_eq!(
            world.assignee_of(group).await.as_deref(),
            Some("bo@acme.example")
        );
    }
    world.unassign(2).await;
    world.settle().await;
    for group in &groups {
        assert_eq!(world.assignee_of(group).await, None);
    }
    world.finish().await;
}

#[tokio::test]
async fn groups_beyond_one_message_do_not_wait_for_one_that_always_fails() {
    let mut world = World::quiet().await;
    let seeded = world.ready.group_id.clone().expect("a seeded issue");
    let mut groups = world.link_issues(29).await;
    groups.sort_by_key(|group| group.parse::<u64>().expect("a number"));
    let state = |item: &Value| {
        item["SK"]["S"] == "STATE" && item["PK"]["S"] == format!("GROUP#{seeded}").as_str()
    };
    let mut broken = world.items().into_iter().find(state).expect("a state");
    broken["ver"] = json!({ "S": "broken" });
    world.put_items(vec![broken]).await;
    world.assign(1, world.bo()).await;
    // The function dies before it comes to anything.
    assert_eq!(world.stack.sqs().receive("issue-sync", 10).len(), 1);
    world.settle().await;
    for group in &groups {
        let assignee = world.assignee_of(group).await;
        assert_eq!(assignee.as_deref(), Some(world.bo()), "{group}");
    }
    // It came back for the broken one, and sent for the others once.
    let sent = world.stack.sqs().sent_count("issue-sync");
    assert_eq!(sent, 2);
    world.expect_dead("issue-sync", 1);
    world.finish().await;
}

#[tokio::test]
async fn a_delivery_that_names_no_project_assigns_and_every_group_has_one_activity() {
    let mut world = World::start().await;
    let mut groups = world.link_issues(4).await;
    groups.extend(world.ready.group_id.clone());
    let mut body = world.work_item(1, assigned_to(world.bo()));
    let containers = body["resourceContainers"].as_object_mut().unwrap();
    containers.remove("project");
    for _ in 0..2 {
        assert_eq!(world.deliver(&body).await.status.as_u16(), 200);
    }
    world.settle().await;
    for group in &groups {
        let url = format!("/api/0/issues/{group}/activities/");
        let activity = world.get(&url).await.json()["activity"].take();
        let kinds: Vec<_> = activity
            .as_array()
            .unwrap()
            .iter()
            .map(|line| &line["type"])
            .collect();
        assert_eq!(kinds, ["assigned"], "{group}");
        assert_eq!(activity[0]["data"]["assigneeEmail"], world.bo());
    }
    world.finish().await;
}

#[tokio::test]
async fn a_change_without_a_revision_applies_in_the_order_it_arrives() {
    let mut world = World::start().await;
    world.without_replay();
    for email in [
        Some(world.ana().to_owned()),
        Some(world.bo().to_owned()),
        None,
    ] {
        let change = match &email {
            Some(email) => assigned_to(email),
            None => json!({ "oldValue": "Bo" }),
        };
        let mut body = world.work_item(0, change);
        body["resource"].as_object_mut().unwrap().remove("rev");
        world.deliver(&body).await;
        world.settle().await;
        assert_eq!(world.assignee().await, email);
    }
    assert_eq!(world.activity().await.len(), 3);
    // Each came twice, and the second time it was so already.
    assert_eq!(ends(&world).await, ["- applied -"; 3]);
    world.finish().await;
}

#[tokio::test]
async fn the_state_of_a_work_item_is_taken_in_and_not_applied() {
    let mut world = World::start().await;
    let mut body = world.work_item(1, json!({ "newValue": "No address" }));
    body["resource"]["fields"]["System.State"] =
        json!({ "oldValue": "Active", "newValue": "Closed" });
    world.deliver(&body).await;
    let queued = world.stack.sqs().messages("issue-sync");
    let message: Value = serde_json::from_str(&queued[0]).unwrap();
    let status = json!({ "old_state": "Active", "new_state": "Closed", "project": "prj-9" });
    assert_eq!(message["message"]["status"], status);
    assert_eq!(message["message"]["assignee"], "unreadable");
    world.settle().await;
    assert_eq!(
        ends(&world).await,
        [
            "1 suppressed assignee_unreadable",
            "1 suppressed status_not_applied"
        ]
    );
    world.finish().await;
}

#[tokio::test]
async fn an_assignee_without_an_address_changes_nothing_and_that_is_recorded() {
    let mut world = World::start().await;
    world.assign(1, world.ana()).await;
    world.settle().await;
    for (revision, new) in [
        (2, ""),
        (3, "Bo Li"),
        (4, "A <x> <bo@acme.example>"),
        (5, "Bo <ACME\\bo>"),
    ] {
        world
            .deliver(&world.work_item(revision, json!({ "newValue": new })))
            .await;
        world.settle().await;
    }
    assert_eq!(world.assignee().await.as_deref(), Some(world.ana()));
    assert_eq!(
        ends(&world).await,
        [
            "1 applied -",
            "2 suppressed assignee_unreadable",
            "3 suppressed assignee_unreadable",
            "4 suppressed assignee_unreadable",
            "5 suppressed assignee_unreadable",
        ]
    );
    world.finish().await;
}

#[tokio::test]
async fn a_work_item_that_nothing_is_linked_to_changes_nothing() {
    let mut world = World::start().await;
    let mut body = world.work_item(1, assigned_to(world.ana()));
    body["resource"]["workItemId"] = json!(32);
    world.deliver(&body).await;
    world.settle().await;
    assert_eq!(world.assignee().await, None);
    assert_eq!(world.outcomes(), ["suppressed: no_linked_group"]);
    world.finish().await;
}

#[tokio::test]
async fn one_trace_leads_from_the_webhook_to_the_last_step() {
    let mut world = World::quiet().await;
    world.assign(1, world.ana()).await;
    world.settle().await;
    let secret = world.ready.vsts_shared_secret.clone().unwrap();
    let trace = "1-67891233-abcdef012345678912345678";
    let header = format!("Root={trace};Parent=53995c3f42cd8ad8;Sampled=1");
    let body = world.work_item(2, json!({ "oldValue": "x" })).to_string();
    world
        .post(
            &[("shared-secret", &secret), ("x-amzn-trace-id", &header)],
            body,
        )
        .await;
    world.settle().await;
    let of_trace = |line: &Value| {
        let spans = line["spans"].as_array().into_iter().flatten();
        spans.into_iter().any(|span| span["trace.id"] == trace)
    };
    let lines: Vec<_> = world.logs().into_iter().filter(of_trace).collect();
    let find = |field: &str, value: &str| lines.iter().find(|line| line[field] == value);
    assert!(
        find("message", "accepted a delivery").is_some(),
        "the front door"
    );
    for (outcome, queue, name) in [
        ("handed_over", "issue-sync", "SyncIssue"),
        ("applied", "deassign", "Deassign"),
    ] {
        let line = find("outcome", outcome).expect(outcome);
        let message = &line["spans"][0];
        assert_eq!(
            (&message["queue"], &message["message.type"]),
            (&json!(queue), &json!(name))
        );
        assert_eq!(message["message.attempt"], 1);
        assert_eq!(message["message.id"].as_str().map(str::len), Some(26));
        let inner = line["spans"]
            .as_array()
            .and_then(|spans| spans.last())
            .unwrap();
        assert!(
            inner["org.id"].is_number() && inner["group.id"].is_number(),
            "{line}"
        );
    }
    world.finish().await;
}
