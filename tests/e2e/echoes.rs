//! What a tracker tells of our own writes, and what it asks of us: neither is anybody's decision.

use domain::Outcome;
use local::trackers::{Mode, Provider};
use serde_json::{Value, json};
use tests::World;

use crate::{
    outbound::{at_azure, ends, here, told},
    sync_trail,
};

/// Makes the pushes that are due. Of the write to Azure no answer comes.
async fn lose_the_answer(world: &mut World) {
    let trackers = world.stack.trackers().clone();
    trackers.set_mode_for(Provider::Vsts, Mode::LostWrite, 1);
    world.relay().await;
    world.drain("outbound-sync").await;
}

async fn hear(world: &mut World) {
    world.stack.trackers().clone().deliver_hooks().await;
    world.drain("issue-sync").await;
}

#[tokio::test]
async fn writes_without_an_answer_are_nobodys_decision_however_late_azure_tells_of_them() {
    let mut world = World::quiet().await;
    let trackers = world.stack.trackers().clone();
    let (ana, bo) = (world.ana().to_owned(), world.bo().to_owned());
    for who in [&bo, &ana] {
        here(&world, who.as_str().into()).await;
        lose_the_answer(&mut world).await;
    }
    assert_eq!(
        trackers.work_item(31).assignee,
        Some(ana.clone()),
        "carried out"
    );
    assert_eq!(trackers.hooks().len(), 2);
    hear(&mut world).await;
    assert_eq!(
        sync_trail::ends(&world).await,
        ["2 suppressed echo", "3 suppressed echo"]
    );
    world.settle().await;
    assert_eq!(world.assignee().await, Some(ana.clone()));
    assert_eq!(trackers.work_item(31).assignee, Some(ana));
    assert_eq!(trackers.jira_issue("WEB-7").as_deref(), Some("ana"));
    let activity = world.activity().await;
    assert_eq!(activity.len(), 2, "two decisions: {activity:?}");
    world.finish().await;
}

#[tokio::test]
async fn the_chain_from_a_request_shows_what_was_written_and_that_its_echo_changed_nothing() {
    let mut world = World::start().await;
    here(&world, world.bo().to_owned().into()).await;
    world.settle().await;
    assert_eq!(sync_trail::ends(&world).await, ["2 suppressed echo"]);
    let activity = format!(
        "/api/0/issues/{}/activities/",
        world.ready.group_id.as_deref().expect("a seeded issue")
    );
    let line = world.get(&activity).await.json()["activity"][0].take();
    let request = &line["data"]["cause"]["request"];
    let explained = world
        .operator(
            json!({ "command": "explain", "organization": "acme", "issue": "WEB-1",
            "delivery": request }),
        )
        .await;
    let rows = explained["trail"].as_array().expect("a list").iter();
    let word = |row: &Value, name: &str| row[name].as_str().unwrap_or("-").to_owned();
    let mut chain: Vec<_> = rows
        .map(|row| {
            ["direction", "provider", "outcome", "reason", "rule"]
                .map(|it| word(row, it))
                .join(" ")
        })
        .collect();
    chain.sort();
    assert_eq!(
        chain,
        [
            "inbound vsts suppressed echo verified-email",
            "outbound jira_server applied - verified-email",
            "outbound vsts applied - verified-email",
        ]
    );
    world.finish().await;
}

#[tokio::test]
async fn a_second_copy_of_a_removal_does_not_hide_how_the_first_one_ends() {
    // Each message twice: the second copy finds the revision taken.
    let mut world = World::start().await;
    at_azure(&mut world, Some("Bo@Acme.example")).await;
    let trackers = world.stack.trackers().clone();
    trackers.change_as_user(Provider::Vsts, "31", None);
    hear(&mut world).await;
    // A list may be older than what was written last.
    world.stack.dynamodb().catch_up();
    assert_eq!(
        sync_trail::ends(&world).await.pop().as_deref(),
        Some("3 superseded same_revision")
    );
    here(&world, world.ana().to_owned().into()).await;
    world.settle().await;
    let ends = sync_trail::ends(&world).await;
    assert_eq!(ends[..2], ["2 applied -", "3 superseded newer_decision"]);
    world.finish().await;
}

#[tokio::test]
async fn while_a_tracker_asks_to_be_left_alone_nothing_else_is_sent_to_it_either() {
    let mut world = World::quiet().await;
    let trackers = world.stack.trackers().clone();
    let limited = Mode::RateLimited { retry_after: 900 };
    trackers.set_mode_for(Provider::Vsts, limited, 1);
    here(&world, world.bo().to_owned().into()).await;
    world.settle_now().await;
    let calls = || {
        let requests = trackers.requests().into_iter();
        requests
            .filter(|it| it.provider == Some(Provider::Vsts))
            .count()
    };
    assert_eq!(calls(), 1, "which it refused");
    here(&world, world.ana().to_owned().into()).await;
    world.settle_now().await;
    assert_eq!(calls(), 1, "it is not asked again");
    let mut now = ends(&world).await;
    now.retain(|end| end.starts_with("vsts"));
    assert_eq!(
        now,
        ["vsts deferred rate_limited", "vsts deferred rate_limited"]
    );
    assert_eq!(
        trackers.jira_issue("WEB-7").as_deref(),
        Some("ana"),
        "the other one is told"
    );
    world.settle().await;
    assert_eq!(
        trackers.work_item(31).assignee.as_deref(),
        Some(world.ana())
    );
    assert!(
        world
            .outcomes()
            .contains(&Outcome::Applied.as_str().to_owned())
    );
    world.finish().await;
}

#[tokio::test]
async fn an_application_that_azure_does_not_take_is_waited_for_and_nothing_is_given_up() {
    let mut world = World::quiet().await;
    let trackers = world.stack.trackers().clone();
    let clock = world.stack.clock();
    clock.advance(2 * 60 * 60 * 1000);
    trackers.set_mode_for(Provider::Vsts, Mode::Forbidden, 1);
    here(&world, world.bo().to_owned().into()).await;
    world.settle_now().await;
    let mut now = ends(&world).await;
    now.retain(|end| end.starts_with("vsts"));
    assert_eq!(now, ["vsts deferred not_renewed"]);
    world.settle().await;
    let mut all = told(&world);
    all.sort();
    assert_eq!(all, ["jira bo", "vsts Bo@Acme.example"]);
    world.finish().await;
}
