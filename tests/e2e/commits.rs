//! The commits of releases: lists that clients send, and refs.

use std::collections::BTreeSet;

use hyper::Method;
use serde_json::{Value, json};
use tests::World;

use crate::releases::{RELEASES, commit, items, path_of, post, project, put, send, shas};

const AT: &str = "2026-01-01T00:00:00Z";

async fn world() -> World {
    let world = World::start().await;
    let new = json!({ "version": "1", "projects": ["web"] });
    assert_eq!(post(&world, RELEASES, new).await.0, 201);
    world
}

async fn set(world: &World, version: &str, commits: Value) -> Value {
    let (status, body) = put(world, &path_of(version), json!({ "commits": commits })).await;
    assert_eq!(status, 200, "{body}");
    body
}

/// What is stored of a release.
fn stored(world: &World, version: &str) -> Value {
    let all = items(world, "RELEASE#", "META").into_iter();
    all.into_iter()
        .find(|item| item["version"]["S"] == version)
        .expect("the release")
}

/// The newest commits of repositories that a release notes.
fn heads(world: &World, version: &str) -> BTreeSet<String> {
    let release = stored(world, version);
    let heads = release["heads"]["M"].as_object().unwrap().values();
    heads
        .map(|head| head["S"].as_str().unwrap().to_owned())
        .collect()
}

fn stored_commit(world: &World, sha: &str) -> Value {
    let all = items(world, "COMMIT#", "META").into_iter();
    all.into_iter()
        .find(|item| item["sha"]["S"] == sha)
        .expect("the commit")
}

#[tokio::test]
async fn a_list_becomes_the_commits_of_the_release_newest_first() {
    let world = world().await;
    let body = set(
        &world,
        "1",
        json!([
            commit("b", "acme/web", "2026-01-02T00:00:00+02:00"),
            commit("c", "acme/web", "2026-01-03T00:00:00Z"),
            { "id": "bare" },
            commit("a", "acme/web", "2026-01-01T00:00:00Z"),
        ]),
    )
    .await;
    assert_eq!(shas(&world, "1").await, ["c", "b", "a", "bare"]);
    assert_eq!(
        (&body["commitCount"], &body["lastCommit"]["id"]),
        (&json!(4), &json!("c"))
    );
    assert_eq!(body["lastCommit"]["author"]["email"], "ann@example.com");
    assert_eq!(
        body["authors"],
        json!([{ "name": "Ann", "email": "ann@example.com" }])
    );
    assert_eq!(
        items(&world, "COMMIT#", "META").len(),
        3,
        "a bare hash is no row"
    );
    let list = world.get(&format!("{}commits/", path_of("1"))).await.json();
    assert_eq!(list[1]["dateCreated"], "2026-01-01T22:00:00Z");
    assert_eq!(list[1]["message"], "commit b\n\nmore");
    assert_eq!(list[1]["repository"]["name"], "acme/web");
    assert_eq!(list[3]["message"], Value::Null);
    let page = world
        .get(&format!("{}commits/?per_page=1&cursor=1:2:0", path_of("1")))
        .await;
    assert_eq!(page.json()[0]["id"], "a");
    assert!(
        page.headers["link"]
            .to_str()
            .unwrap()
            .contains("results=\"true\"; cursor=\"1:3:0\"")
    );
    world.finish().await;
}

#[tokio::test]
async fn without_dates_the_first_of_a_list_is_the_newest() {
    let world = world().await;
    let known = json!([{ "id": "x" }, { "id": "z" }, { "id": "y" }]);
    let body = set(&world, "1", known).await;
    assert_eq!(body["lastCommit"]["id"], "x");
    assert_eq!(heads(&world, "1"), BTreeSet::from(["x".to_owned()]));
    assert_eq!(shas(&world, "1").await, ["x", "z", "y"]);
    world.finish().await;
}

#[tokio::test]
async fn a_commit_that_asks_to_be_skipped_leaves_no_trace() {
    let world = world().await;
    let mut skipped = commit("s", "only/here", AT);
    skipped["message"] = json!("wip\n#skipsentry");
    skipped["author_email"] = json!("bot@example.com");
    let list = json!([
        commit("a", "acme/web", AT),
        skipped,
        commit("b", "acme/web", AT),
        commit("b", "acme/web", AT)
    ]);
    let body = set(&world, "1", list).await;
    assert_eq!(
        body["commitCount"], 3,
        "one that comes twice is counted twice"
    );
    assert_eq!(shas(&world, "1").await, ["a", "b"]);
    assert_eq!(items(&world, "COMMIT#", "META").len(), 2);
    assert_eq!(items(&world, "ORG#", "AUTHOR#").len(), 1);
    assert_eq!(items(&world, "REPOSITORY#", "META").len(), 1);
    let mut all = commit("a", "acme/web", AT);
    all["message"] = json!("#skipsentry");
    let body = set(&world, "1", json!([all])).await;
    assert_eq!(
        (&body["commitCount"], &body["lastCommit"]),
        (&json!(0), &Value::Null)
    );
    assert_eq!(body["authors"], json!([]));
    assert_eq!(shas(&world, "1").await, [""; 0]);
    world.finish().await;
}

#[tokio::test]
async fn commits_without_a_repository_and_of_unknown_ones_are_stored_too() {
    let world = world().await;
    set(&world, "1", json!([{ "id": "a", "message": "m" }, { "id": "b", "repository": "origin", "message": "m" }])).await;
    let organization = world.get("/api/0/organizations/acme/").await.json();
    let own = format!("organization-{}", organization["id"].as_str().unwrap());
    let list = world.get(&format!("{}commits/", path_of("1"))).await.json();
    assert_eq!(list[0]["repository"]["name"], own);
    assert_eq!(list[1]["repository"]["name"], "origin");
    assert_eq!(list[1]["repository"]["provider"]["id"], "unknown");
    // Clients that look for a repository give up where one has no URL, so they are not shown these.
    world.stack.dynamodb().catch_up();
    let repositories = world.get("/api/0/organizations/acme/repos/").await.json();
    let names: Vec<_> = repositories
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["name"])
        .collect();
    assert_eq!(names, ["acme/web"]);
    assert_eq!(repositories[0]["provider"]["id"], "integrations:github");
    assert_eq!(repositories[0]["url"], json!(world.ready.repo_url));
    world.finish().await;
}

#[tokio::test]
async fn authors_are_told_apart_by_address_whatever_its_case() {
    let world = world().await;
    let by = |sha: &str, name: Value, email: Value| json!({ "id": sha, "message": "m", "author_name": name, "author_email": email, "timestamp": AT });
    let body = set(
        &world,
        "1",
        json!([
            by("a", json!("Ann"), json!("Ann@Example.com")),
            by("b", json!("Anna"), json!("ANN@example.COM")),
            by("c", json!("Bob T. Builder"), Value::Null),
            by("d", json!("Nobody"), json!("")),
            by("e", Value::Null, json!(world.bo())),
            by(
                "f",
                Value::Null,
                json!(format!("{}@example.com", "x".repeat(180)))
            ),
        ]),
    )
    .await;
    let authors = body["authors"].as_array().unwrap();
    let emails: Vec<_> = authors
        .iter()
        .map(|it| it["email"].as_str().unwrap())
        .collect();
    let long = format!("{}...", "x".repeat(72));
    assert_eq!(
        emails,
        [
            "ann@example.com",
            "bobt.builder@localhost",
            world.bo(),
            &long
        ]
    );
    assert_eq!(authors[0]["name"], "Ann", "the first name counts");
    assert_eq!(
        authors[2]["id"],
        world.ready.members[1].id.as_str(),
        "a member is shown as such"
    );
    set(
        &world,
        "1",
        json!([by("a", json!(""), json!("ann@example.com"))]),
    )
    .await;
    set(
        &world,
        "1",
        json!([by("a", Value::Null, json!("ann@example.com"))]),
    )
    .await;
    let ann = items(&world, "ORG#", "AUTHOR#ann@");
    assert_eq!(ann[0]["name"]["S"], "Ann", "no name takes none away");
    // Who wrote a commit is filled in when somebody says it.
    for (author, count) in [
        (json!({}), 0),
        (by("z", json!("Ann"), json!("ann@example.com")), 1),
    ] {
        let mut known = json!({ "id": "z", "message": "m" });
        if author["id"].is_string() {
            known = author;
        }
        let body = set(&world, "1", json!([known])).await;
        assert_eq!(body["authors"].as_array().map(Vec::len), Some(count));
    }
    assert_eq!(stored_commit(&world, "z")["author"]["S"], "ann@example.com");
    world.finish().await;
}

#[tokio::test]
async fn what_is_known_of_a_commit_grows_and_only_differences_are_written() {
    let world = World::quiet().await;
    post(
        &world,
        RELEASES,
        json!({ "version": "1", "projects": ["web"] }),
    )
    .await;
    let writes = |world: &World| {
        let used = world.stack.dynamodb().measure();
        let writes = used.iter().filter(|used| used.writes);
        let mut names: Vec<_> = writes.map(|used| used.operation.clone()).collect();
        names.sort();
        names
    };
    set(
        &world,
        "1",
        json!([{ "id": "a", "repository": "acme/web", "author_email": "ann@example.com" }]),
    )
    .await;
    assert_eq!(
        stored_commit(&world, "a")["message"],
        json!({ "NULL": true })
    );
    let mut full = commit("a", "acme/web", AT);
    full["patch_set"] = json!([{ "path": "x", "type": "A" }]);
    let body = set(&world, "1", json!([full])).await;
    assert_eq!(body["lastCommit"]["message"], "commit a\n\nmore");
    writes(&world);
    set(&world, "1", json!([full])).await;
    let list = ["BatchWriteItem", "BatchWriteItem", "TransactWriteItems"];
    assert_eq!(writes(&world), list, "the list alone is written");
    let body = set(
        &world,
        "1",
        json!([{ "id": "a", "repository": "acme/web" }]),
    )
    .await;
    assert_eq!(writes(&world), list);
    assert_eq!(body["lastCommit"]["message"], "commit a\n\nmore");
    assert_eq!(
        body["authors"][0]["email"], "ann@example.com",
        "a stored author counts"
    );
    assert_eq!(body["lastCommit"]["dateCreated"], AT, "and so does a date");
    full["message"] = json!("edited");
    full["patch_set"] = json!([{ "path": "x", "type": "D" }, { "path": "y", "type": "M" }]);
    set(&world, "1", json!([full])).await;
    assert_eq!(
        writes(&world),
        [
            "BatchWriteItem",
            "BatchWriteItem",
            "TransactWriteItems",
            "UpdateItem"
        ]
    );
    let commit = stored_commit(&world, "a");
    assert_eq!(commit["message"]["S"], "edited");
    assert_eq!(
        commit["files"]["M"],
        json!({ "x": { "S": "A" }, "y": { "S": "M" } })
    );
    full["message"] = Value::Null;
    set(&world, "1", json!([full])).await;
    assert_eq!(
        stored_commit(&world, "a")["message"],
        json!({ "NULL": true })
    );
    world.finish().await;
}

#[tokio::test]
async fn a_list_replaces_the_repositories_that_it_names_and_no_others() {
    let world = world().await;
    set(
        &world,
        "1",
        json!([commit("a1", "acme/a", AT), commit("a2", "acme/a", AT)]),
    )
    .await;
    let body = set(&world, "1", json!([commit("b1", "acme/b", AT)])).await;
    assert_eq!(body["commitCount"], 3);
    let body = set(
        &world,
        "1",
        json!([commit("a3", "ACME/A", "2026-02-01T00:00:00Z")]),
    )
    .await;
    assert_eq!(
        (&body["commitCount"], &body["lastCommit"]["id"]),
        (&json!(2), &json!("a3"))
    );
    assert_eq!(shas(&world, "1").await, ["a3", "b1"]);
    assert_eq!(
        items(&world, "RELEASE_ID#", "COMMITS#").len(),
        2,
        "old lists are gone"
    );
    assert_eq!(items(&world, "COMMIT#", "META").len(), 4, "commits stay");
    world.finish().await;
}

#[tokio::test]
async fn refs_name_the_newest_commits_and_clearing_takes_all_away() {
    let world = world().await;
    let both = json!({ "refs": [
        { "repository": "acme/web", "commit": "r1", "previousCommit": null },
        { "repository": "ACME/web", "commit": "p..r2", "previousCommit": "q" },
    ], "commits": [commit("a", "acme/web", AT)] });
    let (status, body) = put(&world, &path_of("1"), both).await;
    assert_eq!((status, &body["commitCount"]), (200, &json!(1)));
    assert_eq!(
        heads(&world, "1"),
        BTreeSet::from(["r2".to_owned()]),
        "the last ref counts"
    );
    set(&world, "1", json!([commit("b", "acme/web", AT)])).await;
    assert_eq!(
        heads(&world, "1"),
        BTreeSet::from(["r2".to_owned()]),
        "refs win over lists"
    );
    let old = json!({ "headCommits": [{ "repository": "acme/web", "currentId": "h", "previousId": null }] });
    assert_eq!(put(&world, &path_of("1"), old).await.0, 200);
    assert_eq!(heads(&world, "1"), BTreeSet::from(["h".to_owned()]));

    let more = json!({ "refs": [{ "repository": "acme/api", "commit": "k" }],
        "commits": [commit("c", "acme/api", AT)] });
    world
        .operator(
            json!({ "command": "create-repository", "organization": "acme",
            "name": "acme/api", "provider": "git", "url": "https://git.example/acme/api" }),
        )
        .await;
    assert_eq!(put(&world, &path_of("1"), more).await.0, 200);
    let both = ["h", "k"].map(str::to_owned);
    assert_eq!(heads(&world, "1"), BTreeSet::from(both));
    let at_once = json!({ "refs": [{ "repository": "acme/web", "commit": "m" },
        { "repository": "acme/api", "commit": "n" }] });
    assert_eq!(put(&world, &path_of("1"), at_once).await.0, 200);
    let both = ["m", "n"].map(str::to_owned);
    assert_eq!(heads(&world, "1"), BTreeSet::from(both));

    // The second time there is nothing to be cleared.
    for _ in 0..2 {
        let (status, body) = put(&world, &path_of("1"), json!({ "refs": [] })).await;
        assert_eq!(status, 200);
        assert_eq!(
            (&body["commitCount"], &body["lastCommit"]),
            (&json!(0), &Value::Null)
        );
        assert_eq!(body["authors"], json!([]));
        assert_eq!(heads(&world, "1"), BTreeSet::new());
    }
    assert_eq!(items(&world, "RELEASE_ID#", "COMMITS#").len(), 0);
    assert_eq!(items(&world, "COMMIT#", "META").len(), 3, "commits stay");
    world.finish().await;
}

#[tokio::test]
async fn refs_of_unknown_repositories_are_refused_but_the_release_is_there() {
    let world = World::start().await;
    let it = |name: &str| json!({ "repository": name, "commit": "a" });
    let new = json!({ "version": "1", "projects": ["web"], "refs": [it("acme/x"), it("acme/web"), it("y"), it("y")] });
    let (status, errors) = post(&world, RELEASES, new).await;
    assert_eq!(
        (status, errors),
        (
            400,
            json!({ "refs": ["Invalid repository names: acme/x,y"] })
        )
    );
    assert_eq!(world.get(&path_of("1")).await.status.as_u16(), 200);
    assert_eq!(heads(&world, "1"), BTreeSet::new());
    let right = json!({ "version": "1", "projects": ["web"], "refs": [it("acme/web")] });
    assert_eq!(post(&world, RELEASES, right).await.0, 208);
    assert_eq!(heads(&world, "1"), BTreeSet::from(["a".to_owned()]));
    // One that the list of the same request makes is known.
    for (version, name) in [("1", "brand/new"), ("2", "brand/newer")] {
        let both = json!({ "version": version, "projects": ["web"], "refs": [it(name)],
            "commits": [commit("a", name, AT)] });
        let (status, body) = match version {
            "1" => put(&world, &path_of("1"), both).await,
            _ => post(&world, RELEASES, both).await,
        };
        assert!([200, 201].contains(&status), "{status} {body}");
        assert_eq!(body["commitCount"], 1);
    }
    world.finish().await;
}

#[tokio::test]
async fn the_release_before_with_commits_is_found() {
    let world = World::start().await;
    project(&world, "api", "web-team").await;
    let previous = async |version: &str| {
        world.stack.dynamodb().catch_up();
        let path = format!("{}previous-with-commits/", path_of(version));
        let answer = world.get(&path).await;
        assert_eq!(answer.status.as_u16(), 200);
        answer.json()
    };
    for (version, project, with_commits) in [
        ("1", "web", true),
        ("2", "web", true),
        ("3", "web", false),
        ("4", "api", true),
        ("5", "web", true),
    ] {
        let mut new = json!({ "version": version, "projects": [project] });
        if with_commits {
            new["commits"] = json!([commit(&format!("c{version}"), "acme/web", AT)]);
        }
        assert_eq!(post(&world, RELEASES, new).await.0, 201);
        world.stack.clock().advance(1_000);
    }
    assert_eq!(previous("1").await, json!({}));
    let before = previous("5").await;
    assert_eq!(
        (&before["version"], &before["lastCommit"]["id"]),
        (&json!("2"), &json!("c2"))
    );
    assert_eq!(previous("4").await, json!({}), "of another project");
    assert_eq!(previous("3").await["version"], "2");
    let missing = format!("{}previous-with-commits/", path_of("none"));
    assert_eq!(world.get(&missing).await.status.as_u16(), 404);
    world.finish().await;
}

#[tokio::test]
async fn a_version_that_is_made_again_begins_without_commits_and_deploys() {
    let mut world = world().await;
    set(&world, "1", json!([commit("a", "acme/web", AT)])).await;
    let deploy = json!({ "environment": "qa" });
    post(&world, &format!("{}deploys/", path_of("1")), deploy).await;
    let token = world.ready.auth_token.clone().unwrap();
    let gone =
        crate::releases::send_as(&world, &token, Method::DELETE, &path_of("1"), &json!(null)).await;
    assert_eq!((gone.status.as_u16(), gone.text().as_str()), (204, ""));
    assert_eq!(items(&world, "RELEASE#", "").len(), 0);
    world.settle().await;
    assert_eq!(items(&world, "RELEASE", "").len(), 0);
    assert_eq!(items(&world, "PROJECT#", "RELEASE#").len(), 0);
    assert_eq!(items(&world, "ORG#", "RELEASE#").len(), 0);
    let again = send(&world, Method::DELETE, &path_of("1"), &json!(null)).await;
    assert_eq!(again.status.as_u16(), 404);
    let (status, body) = post(
        &world,
        RELEASES,
        json!({ "version": "1", "projects": ["web"] }),
    )
    .await;
    assert_eq!(
        (status, &body["commitCount"], &body["deployCount"]),
        (201, &json!(0), &json!(0))
    );
    assert_eq!(shas(&world, "1").await, [""; 0]);
    world.finish().await;
}

/// Writers of one release that meet: each sends its own list of its repository.
#[tokio::test]
async fn writers_that_meet_are_all_stored_and_readers_see_whole_lists() {
    let world = world().await;
    let list = |writer: usize, round: usize| {
        let repository = format!("acme/{}", writer % 4);
        let commits = (0..20).map(|n| commit(&format!("{writer}-{round}-{n}"), &repository, AT));
        json!({ "commits": commits.collect::<Vec<_>>() })
    };
    let write = async |writer: usize| {
        for round in 0..2 {
            let (status, body) = put(&world, &path_of("1"), list(writer, round)).await;
            assert_eq!(status, 200, "{body} {}", world.log_text());
        }
    };
    let read = async || {
        for _ in 0..10 {
            let shas = shas(&world, "1").await;
            let lists: BTreeSet<_> = shas
                .iter()
                .map(|sha| sha.rsplit_once('-').unwrap().0)
                .collect();
            assert_eq!(shas.len(), lists.len() * 20, "{lists:?}");
        }
    };
    tokio::join!(
        write(0),
        write(1),
        write(2),
        write(3),
        write(4),
        write(5),
        read(),
        read()
    );
    let shas = shas(&world, "1").await;
    let lists: BTreeSet<_> = shas
        .iter()
        .map(|sha| sha.rsplit_once('-').unwrap().0)
        .collect();
    assert_eq!((shas.len(), lists.len()), (80, 4), "{lists:?}");
    assert!(lists.iter().all(|list| list.ends_with("-1")), "{lists:?}");
    world.finish().await;
}
