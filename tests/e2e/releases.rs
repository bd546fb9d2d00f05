//! Releases, their commits and deploys, as clients write and read them.

use std::collections::BTreeSet;

use hyper::Method;
use local::client::{Answer, request};
use serde_json::{Value, json};
use tests::World;

use crate::api::token;

pub(crate) const RELEASES: &str = "/api/0/organizations/acme/releases/";
const OF_PROJECT: &str = "/api/0/projects/acme/web/releases/";

/// A request with the seeded token.
pub(crate) async fn send(world: &World, method: Method, path: &str, body: &Value) -> Answer {
    let token = world.ready.auth_token.clone().expect("a seeded token");
    send_as(world, &token, method, path, body).await
}

pub(crate) async fn send_as(
    world: &World,
    token: &str,
    method: Method,
    path: &str,
    body: &Value,
) -> Answer {
    let url = format!("{}{path}", world.ready.base_url);
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("user-agent", "sentry-cli/3.8.0"),
    ];
    let answer = request(method, &url, &headers, body.to_string()).await;
    answer.expect("the front answers")
}

/// Makes a release with a date, a commit and a deploy.
pub(crate) async fn released(world: &World) {
    let new = json!({ "version": "web@1.0", "projects": ["web"], "dateReleased": "2026-01-01T00:00:00Z",
        "commits": [commit("abc", "acme/web", "2026-01-01T00:00:00Z")] });
    assert_eq!(post(world, RELEASES, new).await.0, 201);
    let deploy = json!({ "environment": "production" });
    let path = format!("{}deploys/", path_of("web@1.0"));
    assert_eq!(post(world, &path, deploy).await.0, 201);
}

pub(crate) async fn post(world: &World, path: &str, body: Value) -> (u16, Value) {
    let answer = send(world, Method::POST, path, &body).await;
    (answer.status.as_u16(), answer.json())
}

pub(crate) async fn put(world: &World, path: &str, body: Value) -> (u16, Value) {
    let answer = send(world, Method::PUT, path, &body).await;
    (answer.status.as_u16(), answer.json())
}

pub(crate) async fn delete(world: &World, path: &str) -> u16 {
    let answer = send(world, Method::DELETE, path, &Value::Null).await;
    answer.status.as_u16()
}

/// Another project of the organization, whose team Ana is not in unless it is hers.
pub(crate) async fn project(world: &World, slug: &str, team: &str) {
    let new = json!({ "command": "create-project", "organization": "acme", "team": team,
        "slug": slug, "name": slug });
    world.operator(new).await;
}

pub(crate) async fn closed_project(world: &World) {
    let team = json!({ "command": "create-team", "organization": "acme", "slug": "closed", "name": "Closed" });
    world.operator(team).await;
    project(world, "secret", "closed").await;
}

/// The path of a release, with its version encoded.
pub(crate) fn path_of(version: &str) -> String {
    let encoded: String = version
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    format!("{RELEASES}{encoded}/")
}

pub(crate) fn commit(sha: &str, repository: &str, at: &str) -> Value {
    json!({ "id": sha, "repository": repository, "message": format!("commit {sha}\n\nmore"),
        "author_name": "Ann", "author_email": "ann@example.com", "timestamp": at })
}

pub(crate) async fn shas(world: &World, version: &str) -> Vec<String> {
    let answer = world.get(&format!("{}commits/", path_of(version))).await;
    let commits = answer.json();
    let commits = commits.as_array().expect("a list").iter();
    commits
        .map(|commit| commit["id"].as_str().expect("an id").to_owned())
        .collect()
}

/// The items whose partition begins so.
pub(crate) fn items(world: &World, partition: &str, sort: &str) -> Vec<Value> {
    let begins = |item: &Value, key: &str, text: &str| {
        item[key]["S"]
            .as_str()
            .is_some_and(|it| it.starts_with(text))
    };
    let items = world.items().into_iter();
    items
        .filter(|item| begins(item, "PK", partition) && begins(item, "SK", sort))
        .collect()
}

#[tokio::test]
async fn a_release_is_made_once_and_found_after_that() {
    let world = World::start().await;
    let (status, body) = post(&world, OF_PROJECT, json!({ "version": "1.2.1" })).await;
    assert_eq!((status, &body["version"]), (201, &json!("1.2.1")));
    assert_eq!(body["userAgent"], "sentry-cli/3.8.0");
    assert_eq!(body["owner"], Value::Null);
    assert_eq!(body["projects"][0]["slug"], "web");
    let (status, again) = post(&world, OF_PROJECT, json!({ "version": "1.2.1" })).await;
    assert_eq!((status, &again), (208, &body));
    project(&world, "api", "web-team").await;
    let other = "/api/0/projects/acme/api/releases/";
    let (status, both) = post(&world, other, json!({ "version": "1.2.1" })).await;
    assert_eq!(status, 201);
    assert_eq!(both["id"], body["id"]);
    assert_eq!(both["projects"].as_array().map(Vec::len), Some(2));
    assert_eq!(items(&world, "RELEASE#", "META").len(), 1);
    assert_eq!(items(&world, "PROJECT#", "RELEASE#").len(), 2);
    world.finish().await;
}

#[tokio::test]
async fn a_version_is_returned_as_it_was_sent_or_refused() {
    let world = World::start().await;
    let longest = "v".repeat(200);
    let fine = [
        "1.2.1 (123)",
        "1.2.3+dev",
        "1–0",
        " padded ",
        "hello world",
        "a@9223372036854775808.0",
        &longest,
    ];
    for version in fine {
        let (status, body) = post(&world, OF_PROJECT, json!({ "version": version })).await;
        assert_eq!((status, &body["version"]), (201, &json!(version)));
    }
    let long = "v".repeat(201);
    for version in [
        "1.2.3\n",
        "\n1.2.3",
        "1.\n2.3",
        "1.2.3\u{c}",
        "1.2.3\t",
        "a/b",
        "a\\b",
        "a\r",
        "",
        ".",
        "..",
        "latest",
        "Latest",
        "   ",
        &long,
    ] {
        let body = json!({ "version": version, "projects": ["web"] });
        for path in [OF_PROJECT, RELEASES] {
            let (status, errors) = post(&world, path, body.clone()).await;
            assert_eq!(status, 400, "{version:?}");
            assert!(errors["version"][0].is_string(), "{version:?}: {errors}");
        }
    }
    for body in [json!({ "version": null }), json!({})] {
        let (status, errors) = post(&world, OF_PROJECT, body).await;
        assert_eq!(status, 400);
        assert!(errors["version"][0].is_string());
    }
    assert_eq!(items(&world, "RELEASE#", "META").len(), fine.len());
    let full = "org.example.FooApp@1.0rc1+20200101100";
    let (_, body) = post(&world, OF_PROJECT, json!({ "version": full })).await;
    let info = &body["versionInfo"];
    assert_eq!(info["package"], "org.example.FooApp");
    let numbers = &info["version"];
    assert_eq!(
        [
            &numbers["major"],
            &numbers["minor"],
            &numbers["patch"],
            &numbers["pre"],
            &numbers["buildCode"]
        ],
        [
            &json!(1),
            &json!(0),
            &json!(0),
            &json!("rc1"),
            &json!("20200101100")
        ]
    );
    world.finish().await;
}

#[tokio::test]
async fn awkward_versions_work_in_every_path() {
    let world = World::start().await;
    let longest = format!("@#%?+ ü{}", "x".repeat(193));
    for version in [
        "web@1.0",
        "app@dev#99cf",
        "100%",
        "%41",
        "a?b=c",
        "1.0+5",
        "a b",
        "ü",
        &longest,
    ] {
        let path = path_of(version);
        let new = json!({ "version": version, "projects": ["web"] });
        assert_eq!(post(&world, RELEASES, new).await.0, 201, "{version}");
        assert_eq!(world.get(&path).await.json()["version"], *version);
        let commits = json!({ "commits": [commit("abc", "web", "2026-01-01T00:00:00Z")] });
        assert_eq!(put(&world, &path, commits).await.1["commitCount"], 1);
        assert_eq!(shas(&world, version).await, ["abc"]);
        let deploy = json!({ "environment": "production" });
        assert_eq!(
            post(&world, &format!("{path}deploys/"), deploy).await.0,
            201
        );
        assert_eq!(delete(&world, &path).await, 204);
        assert_eq!(world.get(&path).await.status.as_u16(), 404);
    }
    world.finish().await;
}

#[tokio::test]
async fn fields_are_checked_and_all_that_is_wrong_is_said() {
    let world = World::start().await;
    let new = |extra: Value| {
        let mut body = json!({ "version": "1", "projects": ["web"] });
        body.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        body
    };
    for (extra, field) in [
        (json!({ "ref": "r".repeat(201) }), "ref"),
        (json!({ "commits": null }), "commits"),
        (json!({ "refs": null }), "refs"),
        (json!({ "headCommits": null }), "headCommits"),
        (json!({ "projects": null }), "projects"),
        (json!({ "status": "gone" }), "status"),
        (json!({ "url": "nowhere" }), "url"),
        (json!({ "dateReleased": "soon" }), "dateReleased"),
        (json!({ "projects": ["web", "nothing"] }), "projects"),
        (json!({ "owner": "nobody@acme.example" }), "owner"),
    ] {
        let (status, errors) = post(&world, RELEASES, new(extra)).await;
        assert_eq!(status, 400, "{field}");
        assert!(errors[field].is_array(), "{field}: {errors}");
    }
    let stranger = json!({ "command": "create-user", "email": "stranger@x.example", "name": "S" });
    world.operator(stranger).await;
    let (status, errors) = post(
        &world,
        RELEASES,
        new(json!({ "owner": "stranger@x.example" })),
    )
    .await;
    let says = json!({ "owner": ["The user is not a member of this organization."] });
    assert_eq!((status, errors), (400, says));
    let (_, errors) = post(&world, RELEASES, json!({ "status": 1, "url": "x" })).await;
    let wrong: Vec<_> = errors.as_object().unwrap().keys().cloned().collect();
    assert_eq!(wrong, ["projects", "status", "url", "version"]);
    assert_eq!(items(&world, "RELEASE#", "META").len(), 0);

    let full = new(
        json!({ "ref": "r".repeat(200), "url": "https://d", "owner": world.bo(),
        "dateReleased": "1000-10-10T06:06", "projects": [world.ready.project_id] }),
    );
    let (status, body) = post(&world, RELEASES, full).await;
    assert_eq!(status, 201, "{body}");
    assert_eq!(body["dateReleased"], "1000-10-10T06:06:00Z");
    assert_eq!(body["owner"]["email"], world.bo());
    let by_name = json!({ "version": "2", "projects": ["web"], "owner": "bo" });
    assert_eq!(
        post(&world, RELEASES, by_name).await.1["owner"]["email"],
        world.bo()
    );
    assert_eq!(
        post(
            &world,
            RELEASES,
            json!({ "version": "3", "projects": ["web"] })
        )
        .await
        .0,
        201
    );
    world.finish().await;
}

#[tokio::test]
async fn the_fields_of_commits_and_refs_are_checked_wherever_they_are() {
    let world = World::start().await;
    let file = |path: String, kind: &str| json!([{ "path": path, "type": kind }]);
    let long = "a".repeat(65);
    for (commit, path) in [
        (json!({ "message": "m" }), "/commits/id/0"),
        (json!({ "id": long }), "/commits/id/0"),
        (
            json!({ "id": "a", "patch_set": file("p".into(), "Z") }),
            "/commits/patch_set/type/0",
        ),
        (
            json!({ "id": "a", "patch_set": file("p".repeat(511), "A") }),
            "/commits/patch_set/path/0",
        ),
        (json!("a"), "/commits/non_field_errors/0"),
    ] {
        let body = json!({ "version": "1", "commits": [{ "id": "fine" }, commit] });
        let (status, errors) = post(&world, OF_PROJECT, body).await;
        assert_eq!(status, 400);
        assert!(
            errors.pointer(path).is_some_and(Value::is_string),
            "{path}: {errors}"
        );
    }
    let unknown = json!([{ "id": "a", "patch_set": file("p".into(), "Z") }]);
    let (_, errors) = post(
        &world,
        OF_PROJECT,
        json!({ "version": "1", "commits": unknown }),
    )
    .await;
    let text = "Commit patch_set type Z is not supported.";
    assert_eq!(
        errors,
        json!({ "commits": { "patch_set": { "type": [text] } } })
    );
    let nameless = json!({ "version": "1", "commits": [{ "message": "m" }] });
    let (_, errors) = post(&world, OF_PROJECT, nameless).await;
    assert_eq!(
        errors,
        json!({ "commits": { "id": ["This field is required."] } })
    );
    let fine = json!({ "version": "1", "commits": [{
        "id": "a".repeat(64), "patch_set": file("p".repeat(510), "A"), "author_name": null,
        "author_email": "email[test]@example.org", "message": null, "repository": "", "timestamp": null,
    }] });
    let (status, body) = post(&world, OF_PROJECT, fine).await;
    assert_eq!(status, 201, "{body}");
    let email = json!("email[test]@example.org");
    assert_eq!(body["authors"], json!([{ "name": null, "email": email }]));

    let side = "a".repeat(64);
    for (commit, previous, fine) in [
        (json!(side), json!(null), true),
        (json!(format!("{side}..{side}")), json!(""), true),
        (json!("..c"), json!(null), false),
        (json!("p.."), json!(null), false),
        (json!("a..b..c"), json!(null), false),
        (json!("a...b"), json!(null), false),
        (json!(long), json!(null), false),
        (json!("a"), json!(long), false),
        (json!(null), json!(null), false),
        (json!(""), json!(null), false),
    ] {
        let it = json!({ "repository": "acme/web", "commit": commit, "previousCommit": previous });
        let body = json!({ "version": "1", "projects": ["web"], "refs": [it] });
        let (status, errors) = post(&world, RELEASES, body).await;
        assert_eq!(status == 208, fine, "{it}: {errors}");
        assert!(fine || errors["refs"].is_object(), "{errors}");
    }
    for repository in [json!(null), json!("")] {
        let it = json!({ "repository": repository, "commit": "a" });
        let body = json!({ "version": "1", "projects": ["web"], "refs": [it] });
        let (status, errors) = post(&world, RELEASES, body).await;
        assert_eq!(status, 400);
        assert!(errors["refs"]["repository"].is_array(), "{errors}");
    }
    world.finish().await;
}

#[tokio::test]
async fn an_organizations_release_is_in_exactly_the_projects_that_were_named() {
    let world = World::start().await;
    for slug in ["a", "b", "c"] {
        project(&world, slug, "web-team").await;
    }
    let id: u64 = world.ready.project_id.as_ref().unwrap().parse().unwrap();
    let body = json!({ "version": "1", "projects": ["a", id, id.to_string(), "b"] });
    let (status, body) = post(&world, RELEASES, body).await;
    let slugs = |body: &Value| -> BTreeSet<String> {
        let all = body["projects"].as_array().unwrap().iter();
        all.map(|it| it["slug"].as_str().unwrap().to_owned())
            .collect()
    };
    let named = |all: &[&str]| {
        all.iter()
            .map(|it| (*it).to_owned())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!((status, slugs(&body)), (201, named(&["a", "b", "web"])));
    let again = json!({ "version": "1", "projects": ["a"] });
    assert_eq!(post(&world, RELEASES, again).await.0, 208);
    let more = json!({ "version": "1", "projects": ["a", "c"] });
    let (status, body) = post(&world, RELEASES, more).await;
    assert_eq!(
        (status, slugs(&body)),
        (201, named(&["a", "b", "c", "web"]))
    );
    world.finish().await;
}

#[tokio::test]
async fn what_the_caller_may_not_use_is_refused_before_anything_is_made() {
    let world = World::start().await;
    closed_project(&world).await;
    let (status, errors) = post(
        &world,
        RELEASES,
        json!({ "version": "1", "projects": ["web", "secret"] }),
    )
    .await;
    assert_eq!(status, 400);
    let message = json!({ "projects": ["Invalid project ids or slugs: secret"] });
    assert_eq!(errors, message);
    assert_eq!(items(&world, "RELEASE", "").len(), 0);
    // An organization's token may use every project.
    let ci = token(&world, "ci", ("organization", "acme"), json!(["org:ci"])).await;
    let both = json!({ "version": "1", "projects": ["web", "secret"] });
    let answer = send_as(&world, &ci, Method::POST, RELEASES, &both).await;
    assert_eq!(answer.status.as_u16(), 201);
    let again = json!({ "version": "1", "projects": ["web"] });
    assert_eq!(post(&world, RELEASES, again).await, (400, message));
    let closed = json!({ "version": "2", "projects": ["secret"] });
    send_as(&world, &ci, Method::POST, RELEASES, &closed).await;
    assert_eq!(world.get(&path_of("2")).await.status.as_u16(), 404);
    assert_eq!(put(&world, &path_of("2"), json!({})).await.0, 404);
    assert_eq!(delete(&world, &path_of("2")).await, 404);
    world.finish().await;
}

#[tokio::test]
async fn each_way_to_a_release_asks_for_its_scopes() {
    let world = World::start().await;
    post(&world, OF_PROJECT, json!({ "version": "1" })).await;
    let write = "project:write, project:admin, project:releases, org:ci";
    let reads = token(
        &world,
        "r",
        ("organization", "acme"),
        json!(["project:read"]),
    )
    .await;
    let none = token(&world, "n", ("organization", "acme"), json!(["event:read"])).await;
    for (method, path, scopes, token) in [
        (Method::POST, RELEASES.to_owned(), write, &reads),
        (Method::POST, OF_PROJECT.to_owned(), write, &reads),
        (Method::PUT, path_of("1"), write, &reads),
        (
            Method::POST,
            format!("{}deploys/", path_of("1")),
            write,
            &reads,
        ),
        (
            Method::DELETE,
            path_of("1"),
            "project:admin, project:releases",
            &reads,
        ),
        (
            Method::GET,
            RELEASES.to_owned(),
            &format!("project:read, {write}"),
            &none,
        ),
    ] {
        let answer = send_as(&world, token, method, &path, &json!({})).await;
        assert_eq!(answer.status.as_u16(), 403, "{path}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(
            detail.contains(&format!("Required: one of {scopes}.")),
            "{detail}"
        );
    }
    for (name, scope) in [
        ("w", "project:write"),
        ("c", "org:ci"),
        ("p", "project:releases"),
    ] {
        let token = token(&world, name, ("organization", "acme"), json!([scope])).await;
        let body = json!({ "version": name, "projects": ["web"] });
        let answer = send_as(&world, &token, Method::POST, RELEASES, &body).await;
        assert_eq!(answer.status.as_u16(), 201, "{scope}");
    }
    let ana = world.ana().to_owned();
    let own = token(&world, "own", ("email", &ana), json!(["project:releases"])).await;
    let body = json!({ "version": "own", "projects": ["web"] });
    let answer = send_as(&world, &own, Method::POST, RELEASES, &body).await;
    assert_eq!(answer.status.as_u16(), 201, "a person's token");
    let other = json!({ "command": "create-organization", "slug": "beta", "name": "Beta" });
    world.operator(other).await;
    let beta = token(&world, "b", ("organization", "beta"), json!("all")).await;
    let body = json!({ "version": "9", "projects": [] });
    let answer = send_as(&world, &beta, Method::POST, RELEASES, &body).await;
    assert_eq!(answer.status.as_u16(), 404);
    world.finish().await;
}

#[tokio::test]
async fn archiving_and_restoring_leave_the_projects_alone() {
    let world = World::start().await;
    post(&world, OF_PROJECT, json!({ "version": "1" })).await;
    let wish = |status: &str| json!({ "version": "1", "projects": [], "status": status });
    for status in ["archived", "open", "archived"] {
        let (code, body) = post(&world, RELEASES, wish(status)).await;
        assert_eq!((code, &body["status"]), (208, &json!(status)));
        assert_eq!(body["projects"][0]["slug"], "web");
    }
    world.stack.dynamodb().catch_up();
    assert_eq!(world.get(OF_PROJECT).await.json(), json!([]));
    assert_eq!(world.get(RELEASES).await.json(), json!([]));
    let archived = world
        .get(&format!("{RELEASES}?status=archived"))
        .await
        .json();
    assert_eq!(archived[0]["version"], "1");
    let (code, body) = put(&world, &path_of("1"), json!({ "status": "open" })).await;
    assert_eq!((code, &body["status"]), (200, &json!("open")));
    assert_eq!(post(&world, RELEASES, wish("gone")).await.0, 400);
    world.finish().await;
}

#[tokio::test]
async fn a_release_is_dated_once_and_told_to_each_of_its_projects() {
    let world = World::start().await;
    let version = format!("web@{}", "9".repeat(61));
    let dated =
        json!({ "version": version, "projects": ["web"], "dateReleased": "2026-01-02T03:04:05Z" });
    assert_eq!(post(&world, RELEASES, dated.clone()).await.0, 201);
    let told = items(&world, "PROJECT#", "ACT#release#");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["ident"]["S"], version[..64]);
    assert_eq!(told[0]["version"]["S"], version);
    assert_eq!(told[0]["at"]["N"], "1767323045000");
    let mut later = dated;
    later["dateReleased"] = json!("2027-01-01T00:00:00Z");
    let (status, body) = post(&world, RELEASES, later.clone()).await;
    assert_eq!(
        (status, &body["dateReleased"]),
        (208, &json!("2026-01-02T03:04:05Z"))
    );
    project(&world, "api", "web-team").await;
    later["projects"] = json!(["web", "api"]);
    assert_eq!(post(&world, RELEASES, later).await.0, 201);
    assert_eq!(items(&world, "PROJECT#", "ACT#release#").len(), 2);

    post(
        &world,
        RELEASES,
        json!({ "version": "2", "projects": ["web", "api"] }),
    )
    .await;
    let late =
        json!({ "version": "2", "projects": ["web"], "dateReleased": "2026-01-02T03:04:05Z" });
    let (status, body) = post(&world, RELEASES, late).await;
    assert_eq!((status, &body["dateReleased"]), (208, &Value::Null));
    assert_eq!(items(&world, "PROJECT#", "ACT#release#").len(), 2);
    for date in ["2026-05-05T00:00:00Z", "2026-06-06T00:00:00Z"] {
        let (status, body) = put(&world, &path_of("2"), json!({ "dateReleased": date })).await;
        assert_eq!((status, &body["dateReleased"]), (200, &json!(date)));
    }
    assert_eq!(items(&world, "PROJECT#", "ACT#release#").len(), 4);
    let (_, body) = put(
        &world,
        &path_of("2"),
        json!({ "dateReleased": null, "ref": "", "url": null }),
    )
    .await;
    assert_eq!(body["dateReleased"], "2026-06-06T00:00:00Z");
    world.finish().await;
}

#[tokio::test]
async fn a_project_lists_its_releases_by_date_and_searches_their_versions() {
    let world = World::start().await;
    for (version, date) in [
        ("web@1", "2026-03-01T00:00:00Z"),
        ("web@2", "2026-01-01T00:00:00Z"),
        ("API@3", "2026-02-01T00:00:00Z"),
    ] {
        let body = json!({ "version": version, "dateReleased": date });
        post(&world, OF_PROJECT, body).await;
    }
    post(&world, OF_PROJECT, json!({ "version": "newest" })).await;
    put(
        &world,
        &path_of("web@2"),
        json!({ "dateReleased": "2026-04-01T00:00:00Z" }),
    )
    .await;
    put(
        &world,
        &path_of("web@1"),
        json!({ "dateReleased": "2026-01-15T00:00:00Z" }),
    )
    .await;
    let list = async |query: &str| -> Vec<String> {
        world.stack.dynamodb().catch_up();
        let rows = world.get(&format!("{OF_PROJECT}{query}")).await.json();
        let rows = rows.as_array().unwrap_or_else(|| panic!("{rows}")).iter();
        rows.map(|row| row["version"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(list("").await, ["newest", "web@2", "API@3", "web@1"]);
    assert_eq!(list("?query=WEB").await, ["web@2", "web@1"]);
    assert_eq!(list("?query=api%40").await, ["API@3"]);
    assert_eq!(list("?environment=nowhere").await, [""; 0]);
    assert_eq!(list("?per_page=2&cursor=2:1:0").await, ["API@3", "web@1"]);
    let answer = world.get(&format!("{OF_PROJECT}?per_page=3")).await;
    let link = answer.headers["link"].to_str().unwrap().to_owned();
    assert!(
        link.contains("rel=\"next\"; results=\"true\"; cursor=\"3:1:0\""),
        "{link}"
    );
    assert_eq!(
        world
            .get("/api/0/projects/acme/none/releases/")
            .await
            .status
            .as_u16(),
        404
    );
    world.finish().await;
}

#[tokio::test]
async fn an_organization_lists_its_releases_in_the_order_and_with_the_terms_asked_for() {
    let world = World::start().await;
    closed_project(&world).await;
    for version in [
        "web@1.2+7",
        "web@1.10",
        "web@1.9-rc1",
        "other",
        "web@1.2+30",
    ] {
        post(&world, OF_PROJECT, json!({ "version": version })).await;
    }
    put(
        &world,
        &path_of("other"),
        json!({ "dateReleased": "2026-01-01T00:00:00Z" }),
    )
    .await;
    let ci = token(&world, "ci", ("organization", "acme"), json!(["org:ci"])).await;
    let closed = json!({ "version": "closed", "projects": ["secret"] });
    send_as(&world, &ci, Method::POST, RELEASES, &closed).await;
    post(
        &world,
        &format!("{}deploys/", path_of("web@1.10")),
        json!({ "environment": "qa" }),
    )
    .await;
    let list = async |query: &str| -> Vec<String> {
        world.stack.dynamodb().catch_up();
        let rows = world.get(&format!("{RELEASES}{query}")).await.json();
        let rows = rows
            .as_array()
            .unwrap_or_else(|| panic!("{query}: {rows}"))
            .iter();
        rows.map(|row| row["version"].as_str().unwrap().to_owned())
            .collect()
    };
    let by_date = [
        "web@1.2+30",
        "other",
        "web@1.9-rc1",
        "web@1.10",
        "web@1.2+7",
    ];
    assert_eq!(list("").await, by_date);
    assert_eq!(
        list("?sort=semver").await,
        [
            "web@1.10",
            "web@1.9-rc1",
            "web@1.2+30",
            "web@1.2+7",
            "other"
        ]
    );
    assert_eq!(list("?sort=build").await, ["web@1.2+30", "web@1.2+7"]);
    assert_eq!(
        list("?query=release%3Aweb%401.2*").await,
        ["web@1.2+30", "web@1.2+7"]
    );
    assert_eq!(list("?query=finalized:true").await, ["other"]);
    assert_eq!(list("?query=1.2+%2830%29").await, ["web@1.2+30"]);
    assert_eq!(list("?environment=qa").await, ["web@1.10"]);
    assert_eq!(list("?start=2999-01-01T00:00:00Z").await, [""; 0]);
    assert_eq!(
        list("?statsPeriod=1d&per_page=2").await,
        ["web@1.2+30", "other"]
    );
    assert_eq!(list("?status=&sort=sessions&flatten=1").await.len(), 5);
    let id = world.ready.project_id.clone().unwrap();
    assert_eq!(list(&format!("?project={id}")).await, by_date);
    assert_eq!(list("?project=-1").await, by_date);
    for (query, status) in [
        ("?environment=nowhere", 404),
        ("?start=null", 400),
        ("?end=null", 400),
        ("?statsPeriod=soon", 400),
        ("?status=gone", 400),
        ("?sort=color", 400),
        ("?sort=sessions", 400),
        ("?query=release.stage:adopted", 400),
        ("?query=release.stage:unknown", 400),
        ("?project=web", 400),
        ("?project=12345", 403),
    ] {
        let answer = world.get(&format!("{RELEASES}{query}")).await;
        assert_eq!(answer.status.as_u16(), status, "{query}");
        assert!(answer.json()["detail"].is_string(), "{query}");
    }
    world.finish().await;
}
