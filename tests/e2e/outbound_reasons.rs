//! Why a tracker was not told: whatever became of the message or of the link meanwhile.

use local::trackers::{Mode, Provider};
use serde_json::{Value, json};
use tests::World;

use crate::outbound::{ends, here, told};

/// How telling Jira ended last, as `outcome reason`.
async fn jira_ended(world: &World) -> String {
    let ends = ends(world).await;
    let mut jira = ends
        .iter()
        .filter_map(|end| end.strip_prefix("jira_server "));
    jira.next_back().expect("an end").to_owned()
}

fn named(item: &Value, partition: &str, sort: &str) -> bool {
    let begins = |name: &str, with: &str| {
        item[name]["S"]
            .as_str()
            .is_some_and(|key| key.starts_with(with))
    };
    begins("PK", partition) && begins("SK", sort)
}

#[tokio::test]
async fn what_a_tracker_refuses_is_given_up_at_once_and_its_words_are_kept() {
    let mut world = World::start().await;
    let trackers = world.stack.trackers().clone();
    trackers.set_mode(Provider::JiraServer, Mode::Forbidden);
    here(&world, world.bo().to_owned().into()).await;
    world.settle_now().await;
    assert_eq!(jira_ended(&world).await, "refused tracker_refused");
    let group = world.ready.group_id.clone().expect("a seeded issue");
    let path = format!("/api/0/issues/{group}/sync/");
    let rows = world.get(&path).await.json();
    let mut rows = rows.as_array().into_iter().flatten();
    let row = rows.find(|row| row["outcome"] == "refused").expect("a row");
    let detail = row["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("the token may not read this"), "{detail}");
    assert_eq!(told(&world), ["vsts Bo@Acme.example"], "Azure takes it");
    // A message that comes again finds out whether it is so still.
    world.without_replay();
    trackers.set_mode(Provider::JiraServer, Mode::Ok);
    here(&world, world.ana().to_owned().into()).await;
    world.settle().await;
    assert_eq!(jira_ended(&world).await, "applied -");
    world.finish().await;
}

#[tokio::test]
async fn what_changes_while_a_push_waits_is_why_it_is_not_made() {
    // Each message once: a second copy would find the tracker well again.
    let mut world = World::quiet().await;
    let jira = world.integration_of("jira_server");
    let key = format!("INTEGRATION#{jira}");
    let trackers = world.stack.trackers().clone();
    let items = world.items();
    let of_jira = |sort: &str| {
        let mut items = items.iter().filter(|item| named(item, &key, sort));
        items.next().unwrap_or_else(|| panic!("no {sort}")).clone()
    };
    let disabled = {
        let mut item = of_jira("META");
        item["status"] = json!({ "S": "disabled" });
        item
    };
    let team = items
        .iter()
        .find_map(|item| item["PK"]["S"].as_str()?.strip_prefix("TEAM#"))
        .map(|id| format!("team:{id}"));
    for (assignee, reason) in [
        (world.bo().to_owned(), "integration_off"),
        (world.ana().to_owned(), "no_identity"),
        (world.bo().to_owned(), "team_assigned"),
    ] {
        trackers.set_mode_for(Provider::JiraServer, Mode::Failing, 1);
        here(&world, assignee.into()).await;
        world.settle_now().await;
        assert_eq!(
            jira_ended(&world).await,
            "deferred tracker_unavailable",
            "{reason}"
        );
        match reason {
            "integration_off" => world.put_items(vec![disabled.clone()]).await,
            "no_identity" => world.remove_items(vec![of_jira("IDENTITY#")]).await,
            _ => here(&world, team.clone().into()).await,
        }
        trackers.set_mode(Provider::JiraServer, Mode::Ok);
        world.settle().await;
        assert_eq!(
            jira_ended(&world).await,
            format!("suppressed {reason}"),
            "{reason}"
        );
        world
            .put_items(vec![of_jira("META"), of_jira("IDENTITY#")])
            .await;
    }
    let jira = |told: &String| told.starts_with("jira");
    assert!(!told(&world).iter().any(jira), "{:?}", told(&world));
    world.without_replay();
    world.finish().await;
}
