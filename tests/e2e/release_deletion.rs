//! How releases go, and what belonged to them.

use serde_json::{Value, json};
use tests::World;
use tokio::join;

use crate::releases::{RELEASES, commit, delete, items, path_of, post, project, put, shas};

/// Makes a release in two projects, with commits and a deploy, and gives its id.
async fn made(world: &World, version: &str) -> String {
    let commits = json!([
        commit("abc", "acme/web", "2026-01-01T00:00:00Z"),
        commit("def", "acme/lib", "2026-01-01T00:00:00Z"),
    ]);
    let new = json!({ "version": version, "projects": ["web", "old"], "commits": commits });
    assert_eq!(post(world, RELEASES, new).await.0, 201);
    let deploy = json!({ "environment": "production" });
    let path = format!("{}deploys/", path_of(version));
    assert_eq!(post(world, &path, deploy).await.0, 201);
    let own = items(world, "RELEASE#", "META").into_iter();
    let mut own = own.filter(|item| item["version"]["S"] == version);
    let release = own.next().expect("a release");
    release["id"]["S"].as_str().expect("an id").to_owned()
}

/// The keys of what names a release by its id.
fn named(world: &World, id: &str) -> Vec<String> {
    let items = world.items().into_iter();
    let named = items.filter(|item| item.to_string().contains(id));
    let key = |item: Value| format!("{} {}", item["PK"]["S"], item["SK"]["S"]);
    named.map(key).collect()
}

/// Puts pages of commits under a release, of which nothing says that they are there.
async fn write_late(world: &World, id: &str, pages: usize) {
    let page = |n| {
        let (pk, sk) = (format!("RELEASE_ID#{id}"), format!("COMMITS#late#{n:04}"));
        json!({ "PK": { "S": pk }, "SK": { "S": sk } })
    };
    world.put_items((0..pages).map(page).collect()).await;
}

#[tokio::test]
async fn a_release_goes_at_once_and_later_what_belonged_to_it_even_what_was_written_meanwhile() {
    let mut world = World::start().await;
    project(&world, "old", "web-team").await;
    let id = made(&world, "1").await;
    world.settle().await;
    assert_eq!(delete(&world, &path_of("1")).await, 204);
    assert_eq!(delete(&world, &path_of("1")).await, 404);
    for list in [RELEASES, "/api/0/projects/acme/old/releases/"] {
        assert_eq!(world.get(list).await.json(), json!([]));
    }
    let next = made(&world, "1").await;
    // Whoever read the release before may still be writing.
    write_late(&world, &id, 3).await;
    world.settle_now().await;
    let pages = items(&world, &format!("RELEASE_ID#{id}"), "COMMITS#");
    assert_eq!(pages.len(), 2 + 3, "it waits");
    // The place in its list goes with the project as well.
    let answer = world.delete("/api/0/projects/acme/old/", "").await;
    assert_eq!(answer.status.as_u16(), 204, "{}", answer.text());
    world.settle().await;
    assert_eq!(named(&world, &id), [""; 0]);
    assert_ne!(named(&world, &next), [""; 0]);
    assert_eq!(shas(&world, "1").await, ["abc", "def"]);
    world.finish().await;
}

#[tokio::test]
async fn of_a_release_that_is_changed_while_it_is_deleted_nothing_is_left() {
    let mut world = World::start().await;
    for slug in ["old", "a", "b", "c"] {
        project(&world, slug, "web-team").await;
    }
    for version in ["1", "2", "3"] {
        let id = made(&world, version).await;
        let path = path_of(version);
        let dated = |at: &str| put(&world, &path, json!({ "dateReleased": at }));
        let (gone, ..) = join!(
            delete(&world, &path),
            dated("2026-01-01T00:00:00Z"),
            dated("2026-01-02T00:00:00Z"),
            dated("2026-01-03T00:00:00Z"),
        );
        assert_eq!(gone, 204);
        world.settle().await;
        let named = named(&world, &id).into_iter();
        let left: Vec<_> = named.filter(|key| !key.contains("ACT#")).collect();
        assert_eq!(left, [""; 0]);
    }
    world.finish().await;
}

#[tokio::test]
async fn wherever_the_job_ends_nothing_of_the_release_is_left() {
    let mut world = World::quiet().await;
    project(&world, "old", "web-team").await;
    for nth in 1_u8.. {
        let id = made(&world, "1").await;
        world.settle().await;
        assert_eq!(delete(&world, &path_of("1")).await, 204);
        world.stack.dynamodb().end_after("jobs", nth.into());
        world.settle().await;
        assert_eq!(named(&world, &id), [""; 0], "ended after call {nth}");
        if world.stack.dynamodb().will_end() {
            assert!(nth > 4, "only {nth} calls");
            break;
        }
    }
    world.finish().await;
}

#[tokio::test]
async fn a_message_deletes_a_batch_and_goes_on_whatever_becomes_of_the_organization() {
    let mut world = World::quiet().await;
    project(&world, "old", "web-team").await;
    let id = made(&world, "1").await;
    world.settle().await;
    write_late(&world, &id, 600).await;
    let count = |world: &World| items(world, &format!("RELEASE_ID#{id}"), "").len();
    let before = count(&world);
    assert_eq!(delete(&world, &path_of("1")).await, 204);
    world.stack.clock().advance(domain::QUIET);
    world.stack.step_schedules().await.expect("the schedules");
    world.relay().await;
    world.drain("jobs").await;
    // Its id is gone, and what is left of it is noted.
    assert_eq!(count(&world), before - 500);
    let answer = world.delete("/api/0/organizations/acme/", "").await;
    assert_eq!(answer.status.as_u16(), 202, "{}", answer.text());
    world.settle().await;
    assert_eq!(named(&world, &id), [""; 0]);
    world.finish().await;
}
