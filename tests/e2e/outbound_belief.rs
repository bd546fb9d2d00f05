//! What is believed of a tracker: not every change there comes here, so before something counts as told
//! already the tracker is looked at.

use hyper::Method;
use local::{
    client::request,
    trackers::{Mode, Provider},
};
use serde_json::{Value, json};
use tests::World;

use crate::outbound::{at_azure, ends, here, told};

/// The seeded team, as an assignee.
fn team(world: &World) -> Value {
    let items = world.items();
    let mut keys = items.iter().filter_map(|item| item["PK"]["S"].as_str());
    let id = keys.find_map(|key| key.strip_prefix("TEAM#"));
    format!("team:{}", id.expect("a seeded team")).into()
}

#[tokio::test]
async fn whom_a_tracker_has_without_telling_is_seen_before_that_counts_as_told() {
    let mut world = World::quiet().await;
    let trackers = world.stack.trackers().clone();
    let bo = world.bo().to_owned();
    here(&world, bo.clone().into()).await;
    world.settle().await;
    // Jira tells of nothing, and nobody here has the address that Azure tells of.
    trackers.change_as_user(Provider::JiraServer, "WEB-7", Some("ana@acme.example"));
    at_azure(&mut world, Some("uma@elsewhere.example")).await;
    assert_eq!(world.assignee().await, Some(bo.clone()));
    for writes in [2, 0] {
        trackers.forget_requests();
        let team = team(&world);
        here(&world, team).await;
        here(&world, bo.clone().into()).await;
        world.settle().await;
        assert_eq!(told(&world).len(), writes, "{:?}", told(&world));
        let item = trackers.work_item(31).assignee;
        assert_eq!(item.as_deref(), Some("Bo@Acme.example"));
        assert_eq!(trackers.jira_issue("WEB-7").as_deref(), Some("bo"));
    }
    let mut ends = ends(&world).await;
    ends.drain(..4);
    ends.sort();
    let already_so =
        ["jira_server", "vsts"].map(|tracker| format!("{tracker} suppressed already_so"));
    assert_eq!(ends, already_so, "both have him still");
    world.finish().await;
}

/// Somebody brings work item 31 into another state at Azure DevOps.
async fn state_at_azure(world: &mut World, state: &str) {
    let trackers = world.stack.trackers().clone();
    let url = format!(
        "{}/dev.azure.com/acme/_apis/wit/workitems/31",
        trackers.url()
    );
    let bearer = format!("Bearer {}", trackers.azure_identity().access_token);
    let headers = [
        ("authorization", bearer.as_str()),
        ("accept", "application/json; api-version=4.1"),
        ("content-type", "application/json-patch+json"),
    ];
    let operation = json!([{ "op": "replace", "path": "/fields/System.State", "value": state }]);
    let answer = request(Method::PATCH, &url, &headers, operation.to_string()).await;
    assert_eq!(answer.expect("an answer").status.as_u16(), 200);
    world.settle().await;
}

async fn set_status(world: &mut World, status: &str) {
    let group = world.ready.group_id.clone().expect("a seeded issue");
    let body = json!({ "status": status }).to_string();
    let answer = world.put(&format!("/api/0/issues/{group}/"), body).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    world.settle().await;
}

#[tokio::test]
async fn a_work_item_that_was_opened_again_at_its_tracker_is_resolved_again() {
    let mut world = World::quiet().await;
    let trackers = world.stack.trackers().clone();
    set_status(&mut world, "resolved").await;
    assert_eq!(trackers.work_item(31).state, "Resolved");
    // Trackers hear nothing of that.
    set_status(&mut world, "ignored").await;
    state_at_azure(&mut world, "Active").await;
    trackers.forget_requests();
    set_status(&mut world, "resolved").await;
    assert_eq!(trackers.work_item(31).state, "Resolved");
    assert_eq!(trackers.writes().len(), 1, "Jira has it so still");
    let mut ends = ends(&world).await;
    ends.drain(..2);
    ends.sort();
    assert_eq!(
        ends,
        ["jira_server suppressed already_so", "vsts applied -"]
    );
    world.finish().await;
}

/// Bo gets the issue at Azure DevOps, and that comes here, while Azure is being told that nobody has it.
async fn changes_at_azure_during_a_write(world: &mut World) {
    let trackers = world.stack.trackers().clone();
    let ana = world.ana().to_owned();
    at_azure(world, Some(&ana)).await;
    here(world, Value::Null).await;
    world.relay().await;
    // To take it from somebody needs no search, so the one call is the write.
    let held = trackers.hold(Provider::Vsts);
    let stack = world.stack.clone();
    let step = async || stack.step("outbound-sync", 1).await.expect("a queue").0;
    let push = async { while !step().await.is_empty() {} };
    let meanwhile = async {
        held.came().await;
        trackers.change_as_user(Provider::Vsts, "31", Some("Bo@Acme.example"));
        trackers.deliver_hooks().await;
        while world.step("issue-sync").await > 0 {}
        assert_eq!(world.assignee().await.as_deref(), Some(world.bo()));
        held.let_go();
    };
    tokio::join!(push, meanwhile);
}

#[tokio::test]
async fn what_changes_at_the_tracker_during_a_write_holds_in_the_end_on_all_sides() {
    for mode in [Mode::Ok, Mode::LostAnswer] {
        let mut world = World::quiet().await;
        let trackers = world.stack.trackers().clone();
        trackers.set_mode_for(Provider::Vsts, mode, 1);
        changes_at_azure_during_a_write(&mut world).await;
        world.settle().await;
        assert_eq!(world.assignee().await.as_deref(), Some(world.bo()));
        let item = trackers.work_item(31).assignee;
        assert_eq!(item.as_deref(), Some("Bo@Acme.example"), "{mode:?}");
        assert_eq!(trackers.jira_issue("WEB-7").as_deref(), Some("bo"));
        let ends = ends(&world).await;
        let ended = ends.iter().all(|end| !end.contains("deferred"));
        assert!(ended, "{mode:?}: {ends:?}");
        world.finish().await;
    }
}
