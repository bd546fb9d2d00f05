//! Many jobs of one pipeline, while the table has trouble: clients try once, so the bundle has to wait.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures_util::future::join_all;
use hyper::Method;
use local::dynamodb::Faults;
use serde_json::{Value, json};
use tests::World;

use crate::{
    clients::{Cli, VERSIONS, install},
    git::Repository,
    releases::{RELEASES, path_of, post},
};

const JOBS: usize = 50;
/// The parts of the pipeline, with repositories of their own.
const PARTS: [&str; 5] = ["api", "docs", "mobile", "tools", "web"];
/// How many jobs end before the table is well again.
const TROUBLE: usize = 10;

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

/// Tells of the commits of its part, which another job of that part tells of as well.
async fn job(world: &World, programs: &Path, repositories: &[Repository], n: usize) {
    let token = world.ready.auth_token.as_deref().expect("a token");
    let (version, part) = (VERSIONS[n % 2], n % PARTS.len());
    let mut cli = Cli::new(programs, version, world, token, repositories[part].path());
    cli.remote = PARTS[part];
    let output = cli.output("releases set-commits 1 --local").await;
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
async fn fifty_jobs_at_once_meet_no_fault_and_leave_what_one_after_the_other_would() {
    let programs = install().await;
    let repositories = PARTS.iter().enumerate().map(async |(part, name)| {
        let mut repository = Repository::empty(&format!("contention-{name}")).await;
        let rename = ["remote", "rename", "origin", name];
        repository.git(&rename, 0).await;
        // Each part has commits of its own.
        for n in part + 1..=part + 4 {
            repository.commit(n).await;
        }
        repository
    });
    let repositories = join_all(repositories).await;
    let world = World::troubled(Faults {
        conflicts: 0.3,
        throttled: 0.2,
        seed: 1,
        ..Faults::default()
    });
    let world = world.await;
    let ended = AtomicUsize::new(0);
    let jobs = (0..JOBS).map(async |n| {
        job(&world, &programs, &repositories, n).await;
        if ended.fetch_add(1, Ordering::Relaxed) == TROUBLE {
            world.stack.dynamodb().set_quiet(true);
        }
    });
    join_all(jobs).await;
    // The newer version tries again after a 503, and would end well.
    for refused in ["answered 503", "answered 500"] {
        assert!(!world.log_text().contains(refused), "{refused}");
    }

    let serial = World::quiet().await;
    for part in 0..PARTS.len() {
        job(&serial, &programs, &repositories, part).await;
    }
    let (left, expected) = (seen(&world).await, seen(&serial).await);
    assert_eq!(left.0, json!(4 * PARTS.len()));
    assert_eq!(left, expected);
    world.finish().await;
    serial.finish().await;
}

/// Nobody sends the list again, so nobody makes good what was left out.
#[tokio::test]
async fn what_the_table_leaves_out_of_a_batch_is_asked_for_again() {
    let world = World::troubled(Faults {
        throttled: 0.2,
        seed: 1,
        ..Faults::default()
    });
    let world = world.await;
    let new = json!({ "version": "1", "projects": ["web"] });
    assert_eq!(post(&world, RELEASES, new).await.0, 201);
    let commit = |n: usize| {
        json!({
            "id": format!("{n:040}"), "repository": "acme/web", "message": format!("commit {n}"),
            "author_name": "Ann", "author_email": format!("ann-{n}@example.com"),
        })
    };
    let body = json!({ "commits": (0..40).map(commit).collect::<Vec<_>>() });
    let token = world.ready.auth_token.as_deref().expect("a token");
    let path = path_of("1");
    let answer = world.request_as(token, Method::PUT, &path, Some(&body));
    let answer = answer.await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    let expected: Vec<_> = (0..40)
        .map(|n| {
            let text = |text: String| Value::String(text);
            let author = text(format!("ann-{n}@example.com"));
            [
                text(format!("{n:040}")),
                text(format!("commit {n}")),
                author,
            ]
        })
        .collect();
    for quiet in [false, true] {
        world.stack.dynamodb().set_quiet(quiet);
        let list = world.get(&format!("{}commits/", path_of("1"))).await.json();
        let rows = list.as_array().expect("commits").iter();
        let found = rows.map(|row| {
            let row = [&row["id"], &row["message"], &row["author"]["email"]];
            row.map(Value::clone)
        });
        let found: Vec<_> = found.collect();
        assert_eq!(found, expected, "quiet: {quiet}");
    }
    world.finish().await;
}
