//! What a commit list costs, as docs/table.md lists it: write units, requests and round trips to the table.

use std::{cell::Cell, time::Duration};

use aws_smithy_types::timeout::TimeoutConfig;
use domain::{
    CommitList, FileChange, GivenAuthor, GivenCommit, RepositoryName, Timestamp, TraceId,
};
use local::dynamodb::{Used, round_trips, write_units};
use runtime::{Clock, Env};
use serde_json::{Value, json};
use store::Store;
use tests::World;

use crate::{
    api::token,
    releases::{RELEASES, path_of, post, send_as, shas},
};

const PAGE: &str = include_str!("../../docs/table.md");

/// The most that a list may cost: requests, round trips and write units.
struct Bound(usize, usize, f64);

/// What the page says of a list: write units, requests and round trips, those of reading the caller and
/// answering with the release not counted.
fn documented(commits: &str) -> (f64, usize, usize) {
    let line = PAGE
        .lines()
        .find(|line| line.starts_with(&format!("| {commits} commits |")));
    let cells: Vec<_> = line
        .expect("a line for the list")
        .split('|')
        .map(|cell| cell.trim().replace(',', ""))
        .collect();
    let number = |index: usize| cells[index].parse().expect("a number");
    (cells[2].parse().expect("a number"), number(3), number(4))
}

/// Commits as CI sends them: three repositories, twenty authors, a message of a few lines.
fn commits(count: usize, kind: &str) -> Value {
    let commit = |n: usize| {
        let message = "Say what the page says\n\nFixes WEB-2\n";
        json!({
            "id": format!("{kind}{n:039x}"),
            "repository": format!("acme/{}", n % 3),
            "author_name": format!("Author {}", n % 20), "author_email": format!("author-{}@acme.example", n % 20),
            "timestamp": format!("2026-{:02}-{:02}T{:02}:00:00Z", n % 12 + 1, n % 28 + 1, n % 24),
            "message": message,
            "patch_set": [{ "path": "docs/table.md", "type": "A" }],
        })
    };
    (0..count).map(commit).collect()
}

async fn put(world: &World, ci: &str, body: &Value) -> Vec<Used> {
    world.stack.dynamodb().measure();
    let answer = send_as(world, ci, hyper::Method::PUT, &path_of("1"), body).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    world.stack.dynamodb().measure()
}

/// Compares what was used with the page, and the page with what a list may cost. Requests that are sent at
/// the same time may begin one after the other, so round trips have a bound and no number.
fn assert_costs(name: &str, used: &[Used], found: (f64, usize, usize), most: &Bound) {
    let calls: Vec<_> = used.iter().map(|it| &it.operation).collect();
    let (units, requests, trips) = documented(name);
    assert_eq!((found.0, found.1), (units, requests), "{calls:?}");
    assert!(found.2 <= trips, "{} round trips: {calls:?}", found.2);
    assert!(requests <= most.0 && trips <= most.1 && units <= most.2);
}

#[tokio::test]
async fn a_list_of_a_thousand_commits_costs_what_the_page_says() {
    let world = World::quiet().await;
    let ci = token(&world, "ci", ("organization", "acme"), json!(["org:ci"])).await;
    let new = json!({ "version": "1", "projects": ["web"] });
    send_as(&world, &ci, hyper::Method::POST, RELEASES, &new).await;
    // What the same request costs that changes nothing is not the list's.
    let nothing = put(&world, &ci, &json!({})).await;
    let used = put(&world, &ci, &json!({ "commits": commits(1_000, "a") })).await;
    let requests = used.len() - nothing.len();
    let trips = round_trips(&used) - round_trips(&nothing);
    let found = (write_units(&used), requests, trips);
    assert_costs("1,000", &used, found, &Bound(60, 8, 1_150.0));
    let release = world.get(&path_of("1")).await.json();
    assert_eq!(release["commitCount"], 1_000);
    assert_eq!(shas(&world, "1").await.len(), 100);
    world.finish().await;
}

/// What clients send, as the function hands it to the store.
fn given(commit: &Value) -> GivenCommit {
    let text = |name: &str| commit[name].as_str().expect("a text");
    let file = (
        commit["patch_set"][0]["path"]
            .as_str()
            .expect("a path")
            .to_owned(),
        FileChange::Added,
    );
    GivenCommit {
        sha: text("id").into(),
        repository: RepositoryName::new(text("repository")).expect("a name"),
        message: Some(Some(text("message").into())),
        author: GivenAuthor::new(Some(text("author_email")), Some(text("author_name"))),
        date: Timestamp::parse(text("timestamp")),
        files: [file].into(),
    }
}

/// What of the release a reader is shown, again and again until `done`: the kinds of its commits, of which
/// each answer has one only.
async fn kinds_read(world: &World, done: &Cell<bool>, path: &str, rows: usize) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        let last = done.get();
        let list = world.get(path).await.json();
        let list = list.as_array().expect("a list").iter();
        let kinds = list.map(|row| row["id"].as_str().expect("an id")[..1].to_owned());
        let kinds: Vec<_> = kinds.collect();
        assert_eq!(kinds.len(), rows);
        assert!(kinds.iter().all(|kind| *kind == kinds[0]), "{kinds:?}");
        seen.push(kinds[0].clone());
        if last {
            return seen;
        }
        tokio::task::yield_now().await;
    }
}

/// Without the gateway, which gives a function less time than one that is built for debugging may need.
#[tokio::test]
async fn a_list_of_ten_thousand_commits_costs_what_the_page_says_and_is_read_whole_or_not_at_all() {
    let world = World::quiet().await;
    let new = json!({ "version": "1", "projects": ["web"] });
    post(&world, RELEASES, new).await;
    let old = json!({ "commits": commits(600, "a") }).to_string();
    world.put(&path_of("1"), old).await;
    // Another function than the one that reads: so what the list costs can be told from what readers do.
    let writer = "fetch-commits";
    let env = Env::new(world.stack.environments()[writer].clone(), Clock::default());
    // Hundreds of batches at the emulator's own speed: what is tried again would be counted twice.
    let patient = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(60));
    let config = env.reader().aws().service("DYNAMODB").to_builder();
    let config = config.timeout_config(patient.build()).build();
    let store = Store::new(&config, "picket");
    let organization = world.get("/api/0/organizations/acme/").await.json();
    let organization = organization["id"]
        .as_str()
        .expect("an id")
        .parse()
        .expect("an id");
    let version = "1".parse().expect("a version");
    let release = store
        .release(organization, &version)
        .await
        .expect("a table");
    let release = release.expect("the release");
    assert_eq!(release.commit_count(), 600);
    let list = commits(10_000, "b");
    let list = list.as_array().expect("a list").iter().map(given);
    let list = CommitList::new(list.collect());
    world.stack.dynamodb().measure();
    let (trace, now) = (TraceId::new("test"), world.stack.clock().now());
    let done = Cell::new(false);
    let set = async {
        let set = store.set_commits(&release, &list, &trace, now).await;
        done.set(true);
        set
    };
    // Rows of both items that the old list lies in.
    let path = format!("{}commits/?per_page=10&cursor=495:1:0", path_of("1"));
    let (set, seen) = tokio::join!(set, kinds_read(&world, &done, &path, 10));
    let mut used = world.stack.dynamodb().measure();
    // Nor does what takes the old list away belong to the new one's costs.
    used.retain(|it| it.caller == writer && it.deletes == 0);
    let release = set.expect("a table").expect("the release");
    assert_eq!(release.commit_count(), 10_000);
    let found = (write_units(&used), used.len(), round_trips(&used));
    assert_costs("10,000", &used, found, &Bound(530, 40, 10_900.0));
    let old = seen.iter().filter(|kind| *kind == "a").count();
    assert!(old > 1, "the reader was not there meanwhile");
    assert!(seen[old..].iter().all(|kind| kind == "b") && old < seen.len());
    world.finish().await;
}

#[tokio::test]
async fn who_reads_while_a_list_is_replaced_sees_the_old_one_or_the_new_one() {
    let world = World::quiet().await;
    let ci = token(&world, "ci", ("organization", "acme"), json!(["org:ci"])).await;
    let new = json!({ "version": "1", "projects": ["web"] });
    send_as(&world, &ci, hyper::Method::POST, RELEASES, &new).await;
    put(&world, &ci, &json!({ "commits": commits(600, "a") })).await;
    let done = Cell::new(false);
    let replace = async {
        for kind in ["b", "c", "d"] {
            put(&world, &ci, &json!({ "commits": commits(600, kind) })).await;
        }
        done.set(true);
    };
    // Rows of both items that the list lies in.
    let path = format!("{}commits/?per_page=100&cursor=50:9:0", path_of("1"));
    let ((), mut seen) = tokio::join!(replace, kinds_read(&world, &done, &path, 100));
    assert!(seen.is_sorted(), "an older list came back: {seen:?}");
    seen.dedup();
    assert!(seen.len() > 1, "the reader was not there meanwhile");
    world.finish().await;
}
