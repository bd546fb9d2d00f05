//! What trackers cannot be told now: it waits for as long as it has to, as one message, and the trail says so.

use local::trackers::Provider;
use tests::World;

use crate::outbound::{ends, exchanges, here, told};

const SECOND: i64 = 1000;

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
