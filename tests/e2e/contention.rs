//! Many jobs of one pipeline, while the table has trouble: clients try once, so the bundle has to wait.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures_util::future::join_all;
use hyper::Method;
use serde_json::{Value, json};
use tests::World;

use crate::releases::{RELEASES, path_of, post};

const JOBS: usize = 50;
const REPOSITORIES: usize = 5;
/// After how many answers the table is well again.
const TROUBLE: usize = 25;

/// What one job sends: the commits of a repository, the same as the other jobs of that repository.
fn commits(job: usize) -> Value {
    let repository = job % REPOSITORIES;
    let commit = |n: usize| {
        json!({
            "id": format!("{repository:020}{n:020}"), "repository": format!("acme/{repository}"),
            "author_name": "Ann", "author_email": "ann@example.com", "message": "m",
            "timestamp": format!("2026-01-{:02}T00:00:{:02}Z", n + 1, repository),
        })
    };
    json!({ "commits": (0..4).map(commit).collect::<Vec<_>>() })
}

/// What people see of the release, without what is drawn or depends on the time.
async fn seen(world: &World) -> (Value, Value, Value, BTreeSet<String>) {
    let mut release = world.get(&path_of("1")).await.json();
    let list = world.get(&format!("{}commits/", path_of("1"))).await.json();
    let commits = list.as_array().expect("commits").iter();
    let in_repository = |it: &Value| {
        let words = [&it["id"], &it["repository"]["name"], &it["dateCreated"]];
        words.map(Value::to_string).join(" ")
    };
    (
        release["commitCount"].take(),
        release["lastCommit"].take(),
        release["authors"].take(),
        commits.map(in_repository).collect(),
    )
}

#[tokio::test]
async fn fifty_jobs_at_once_meet_no_fault_and_leave_what_one_after_the_other_would() {
    let world = World::conflicting(0.3).await;
    let new = json!({ "version": "1", "projects": ["web"] });
    assert_eq!(post(&world, RELEASES, new.clone()).await.0, 201);
    let token = world.ready.auth_token.clone().expect("a token");
    let answered = AtomicUsize::new(0);
    let job = async |job: usize| {
        let (path, body) = (path_of("1"), commits(job));
        let answer = world.request_as(&token, Method::PUT, &path, Some(&body));
        let answer = answer.await;
        if answered.fetch_add(1, Ordering::Relaxed) == TROUBLE {
            world.stack.dynamodb().set_quiet(true);
        }
        answer.status.as_u16()
    };
    let statuses = join_all((0..JOBS).map(job)).await;
    assert_eq!(statuses, [200; JOBS]);

    let serial = World::quiet().await;
    assert_eq!(post(&serial, RELEASES, new).await.0, 201);
    for job in 0..REPOSITORIES {
        let body = commits(job);
        let answer = serial.put(&path_of("1"), body.to_string()).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    }
    let (left, expected) = (seen(&world).await, seen(&serial).await);
    assert_eq!(left.0, json!(4 * REPOSITORIES));
    assert_eq!(left, expected);
    world.finish().await;
    serial.finish().await;
}
