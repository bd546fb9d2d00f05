//! What trackers cannot be told now: it waits for as long as it has to, as one message, and the trail says so.

use local::trackers::{Mode, Provider};
use serde_json::Value;
use tests::World;

use crate::outbound::{ends, exchanges, here, told};

const SECOND: i64 = 1000;

/// Lets this much time go by, and what is due happen.
async fn wait(world: &mut World, millis: i64) {
    world.stack.clock().advance(millis);
    world.stack.step_schedules().await.expect("a sweep");
    world.settle_now().await;
}

#[tokio::test]
async fn a_tracker_that_asks_for_a_pause_gets_it_and_the_trail_says_so_meanwhile() {
    let mut world = World::quiet().await;
    let trackers = world.stack.trackers().clone();
    let limited = Mode::RateLimited { retry_after: 900 };
    trackers.set_mode_for(Provider::Vsts, limited, 1);
    here(&world, world.bo().to_owned().into()).await;
    world.settle_now().await;
    for _ in 0..2 {
        let mut found = ends(&world).await;
        found.sort();
        let deferred = ["jira_server applied -", "vsts deferred rate_limited"];
        assert_eq!(found, deferred);
        assert_eq!(told(&world), ["jira bo"]);
        wait(&mut world, 440 * SECOND).await;
    }
    // At the next of the moments that pushes are put off until, which are 15 seconds apart.
    wait(&mut world, 36 * SECOND).await;
    assert_eq!(told(&world), ["jira bo", "vsts Bo@Acme.example"]);
    let mut found = ends(&world).await;
    found.sort();
    assert_eq!(found, ["jira_server applied -", "vsts applied -"]);
    world.finish().await;
}

#[tokio::test]
async fn a_tracker_that_takes_too_long_is_told_later() {
    let mut world = World::quiet().await;
    let trackers = world.stack.trackers().clone();
    let clock = world.stack.clock().clone();
    clock.advance((trackers.azure_identity().expires - clock.now().seconds()) * SECOND);
    here(&world, world.bo().to_owned().into()).await;
    world.relay().await;
    // The exchange of tokens takes a minute.
    let held = trackers.hold(Provider::Vsts);
    let stack = world.stack.clone();
    let step = async || stack.step("outbound-sync", 1).await.expect("a queue").0;
    let push = async { while !step().await.is_empty() {} };
    let meanwhile = async {
        held.came().await;
        clock.advance(60 * SECOND);
        held.let_go();
    };
    tokio::join!(push, meanwhile);
    assert!(!told(&world).iter().any(|told| told.starts_with("vsts")));
    let deferred = "vsts deferred tracker_unavailable".to_owned();
    assert!(ends(&world).await.contains(&deferred));
    world.settle().await;
    assert!(told(&world).contains(&"vsts Bo@Acme.example".to_owned()));
    assert_eq!(exchanges(&world), 1, "the new tokens were kept");
    assert!(!ends(&world).await.contains(&deferred));
    world.finish().await;
}

#[tokio::test]
async fn an_answer_that_only_drips_is_not_waited_for_and_asked_for_again() {
    let mut world = World::deployed_with(&[("TrackerTimeoutSeconds", "1")]).await;
    let trackers = world.stack.trackers().clone();
    trackers.set_mode_for(Provider::Vsts, Mode::SlowDrip, 1);
    here(&world, world.bo().to_owned().into()).await;
    world.settle_now().await;
    let mut found = ends(&world).await;
    found.sort();
    let deferred = ["jira_server applied -", "vsts deferred tracker_unavailable"];
    assert_eq!(
        (found, told(&world)),
        (
            deferred.map(str::to_owned).into(),
            vec!["jira bo".to_owned()]
        )
    );
    world.settle().await;
    let mut found = ends(&world).await;
    found.sort();
    assert_eq!(found, ["jira_server applied -", "vsts applied -"]);
    assert_eq!(told(&world), ["jira bo", "vsts Bo@Acme.example"]);
    world.finish().await;
}

/// The pushes in the outbox, and when the first of them is due.
fn waiting(world: &World) -> (usize, i64) {
    let pushes = world.items().into_iter().filter(|item| {
        let body = item["body"]["S"].as_str().unwrap_or_default();
        body.contains("PushAssignee")
    });
    let due = |item: &Value| {
        let key = item["SK"]["S"].as_str().expect("a key");
        let (due, _) = key.split_once('#').expect("a time and an id");
        due.parse::<i64>().expect("a time")
    };
    let due: Vec<_> = pushes.map(|item| due(&item)).collect();
    (due.len(), due.into_iter().min().unwrap_or_default())
}

#[tokio::test]
async fn copies_of_a_push_that_fails_become_one_again() {
    let mut world = World::start().await;
    let (trackers, clock) = (world.stack.trackers().clone(), world.stack.clock().clone());
    trackers.set_mode(Provider::JiraServer, Mode::Failing);
    // The moments that pushes are put off until are 15 seconds apart: copies fail between the same two.
    clock.advance(15 * SECOND - clock.now().millis() % (15 * SECOND));
    here(&world, world.bo().to_owned().into()).await;
    for _ in 0..4 {
        world.settle_now().await;
        let (count, due) = waiting(&world);
        assert_eq!(count, 1, "however many copies of it failed");
        clock.advance(due - clock.now().millis());
        while waiting(&world).1 == due {
            // Faults may fail a sweep; the next one goes on.
            let _ = world.stack.step_schedules().await;
        }
    }
    trackers.set_mode(Provider::JiraServer, Mode::Ok);
    world.settle().await;
    assert_eq!(trackers.jira_issue("WEB-7").as_deref(), Some("bo"));
    world.finish().await;
}
