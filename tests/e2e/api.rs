//! The API under `/api/0`, as Sentry's clients read it.

use hyper::Method;
use local::client::{Answer, request};
use serde_json::{Value, json};
use tests::World;

fn is_json(answer: &Answer) -> bool {
    answer
        .headers
        .get("content-type")
        .is_some_and(|kind| kind == "application/json")
}

pub(crate) async fn token(world: &World, name: &str, owner: (&str, &str), scopes: Value) -> String {
    let (kind, who) = owner;
    let answer = world
        .operator(json!({ "command": "create-token", "name": name, "scopes": scopes, kind: who }))
        .await;
    answer["token"]["text"]
        .as_str()
        .expect("a new token")
        .to_owned()
}

#[tokio::test]
async fn the_index_tells_who_asks_and_with_which_scopes() {
    let world = World::start().await;
    let answer = world.get("/api/0/").await;
    assert!(is_json(&answer));
    let body = answer.json();
    assert_eq!(body["version"], "0");
    assert_eq!(body["auth"]["scopes"].as_array().map(Vec::len), Some(20));
    let ana = &world.ready.members[0];
    assert_eq!(
        body["user"],
        json!({ "id": ana.id, "name": ana.name, "email": ana.email })
    );

    let ci = token(&world, "ci", ("organization", "acme"), json!(["org:ci"])).await;
    let body = world.get_as(&ci, "/api/0/").await.json();
    assert_eq!(
        body,
        json!({ "version": "0", "auth": { "scopes": ["org:ci"] }, "user": null })
    );
    world.finish().await;
}

#[tokio::test]
async fn without_credentials_or_with_wrong_ones_the_answer_is_401() {
    let world = World::start().await;
    for path in [
        "/api/0/",
        "/api/0/organizations/",
        "/api/0/organizations/acme/",
        "/api/0/issues/1/",
    ] {
        let url = format!("{}{path}", world.ready.base_url);
        for header in [None, Some("Bearer "), Some("Basic abc"), Some("nonsense")] {
            let headers: Vec<_> = header
                .iter()
                .map(|value| ("authorization", *value))
                .collect();
            let answer = request(Method::GET, &url, &headers, "").await.unwrap();
            let detail = json!({ "detail": "Authentication credentials were not provided." });
            assert_eq!(
                (answer.status.as_u16(), answer.json()),
                (401, detail),
                "{header:?}"
            );
            assert!(is_json(&answer));
        }
        let answer = world.get_as("sntryu_wrong", path).await;
        let detail = json!({ "detail": "Invalid token" });
        assert_eq!((answer.status.as_u16(), answer.json()), (401, detail));
    }
    world.finish().await;
}

#[tokio::test]
async fn a_403_names_the_scopes_that_would_do_and_those_that_are_there() {
    let world = World::start().await;
    let ci = token(
        &world,
        "ci",
        ("organization", "acme"),
        json!(["project:releases"]),
    )
    .await;
    let group = world.ready.group_id.clone().unwrap();
    for (path, scopes) in [
        (
            "/api/0/organizations/".to_owned(),
            "org:read, org:write, org:admin",
        ),
        (
            "/api/0/organizations/acme/".to_owned(),
            "org:read, org:write, org:admin",
        ),
        // Said before anything is looked up: nothing is learned about what exists.
        (
            "/api/0/organizations/none/".to_owned(),
            "org:read, org:write, org:admin",
        ),
        (
            "/api/0/organizations/acme/members/".to_owned(),
            "member:read, member:write, member:admin",
        ),
        (
            format!("/api/0/issues/{group}/"),
            "event:read, event:write, event:admin",
        ),
        (
            format!("/api/0/issues/{group}/activities/"),
            "event:read, event:write, event:admin",
        ),
    ] {
        let answer = world.get_as(&ci, &path).await;
        let detail = format!(
            "You do not have permission to perform this action. \
             Required: one of {scopes}. This token has: project:releases."
        );
        let expected = (403, json!({ "detail": detail }));
        assert_eq!((answer.status.as_u16(), answer.json()), expected, "{path}");
    }
    world.finish().await;
}

#[tokio::test]
async fn what_is_absent_or_of_another_organization_is_404() {
    let world = World::start().await;
    for command in [
        json!({ "command": "create-organization", "slug": "beta", "name": "Beta" }),
        json!({ "command": "create-user", "email": "eve@beta.example", "name": "Eve" }),
        json!({ "command": "add-member", "organization": "beta", "email": "eve@beta.example" }),
    ] {
        world.operator(command).await;
    }
    world.stack.dynamodb().catch_up();
    let eve = token(&world, "t", ("email", "eve@beta.example"), json!("all")).await;
    let beta = token(&world, "t", ("organization", "beta"), json!("all")).await;
    let group = world.ready.group_id.clone().unwrap();
    let expected = (
        404,
        json!({ "detail": "The requested resource does not exist" }),
    );
    for token in [&eve, &beta] {
        for path in [
            "/api/0/organizations/acme/".to_owned(),
            "/api/0/organizations/acme/projects/".to_owned(),
            "/api/0/organizations/acme/members/".to_owned(),
            format!("/api/0/issues/{group}/"),
            format!("/api/0/organizations/acme/issues/{group}/"),
            format!("/api/0/organizations/beta/issues/{group}/"),
            "/api/0/organizations/beta/issues/WEB-1/".to_owned(),
            "/api/0/organizations/none/".to_owned(),
            "/api/0/organizations/%FF/".to_owned(),
            "/api/0/issues/999/".to_owned(),
            "/api/0/issues/x/".to_owned(),
            "/api/0/nothing/here/".to_owned(),
        ] {
            let answer = world.get_as(token, &path).await;
            let found = (answer.status.as_u16(), answer.json());
            if path.contains("%FF") {
                assert!([400, 404].contains(&found.0), "{found:?}");
            } else {
                assert_eq!(found, expected, "{path}");
            }
            assert!(is_json(&answer), "{path}");
        }
        let organizations = world.get_as(token, "/api/0/organizations/").await.json();
        let slugs: Vec<_> = organizations
            .as_array()
            .unwrap()
            .iter()
            .map(|o| &o["slug"])
            .collect();
        assert_eq!(slugs, ["beta"]);
    }
    world.finish().await;
}

#[tokio::test]
async fn a_wrong_method_is_405_and_says_which_is_right() {
    let world = World::start().await;
    let path = "/api/0/organizations/acme/audit-logs/";
    let url = format!("{}{path}", world.ready.base_url);
    let answer = request(Method::DELETE, &url, &[], "").await.unwrap();
    let detail = json!({ "detail": "Method \"DELETE\" not allowed." });
    assert_eq!((answer.status.as_u16(), answer.json()), (405, detail));
    assert_eq!(answer.headers["allow"], "GET,HEAD");
    world.finish().await;
}

#[tokio::test]
async fn an_organization_is_found_by_slug_and_by_id() {
    let world = World::start().await;
    let by_slug = world.get("/api/0/organizations/acme/").await.json();
    let id = by_slug["id"].as_str().unwrap();
    assert_eq!(
        world
            .get(&format!("/api/0/organizations/{id}/"))
            .await
            .json(),
        by_slug
    );
    // Without the slash at the end as well: a client's POST could not follow a redirect.
    assert_eq!(world.get("/api/0/organizations/acme").await.json(), by_slug);
    let features = json!(["integrations-issue-basic", "integrations-issue-sync"]);
    assert_eq!(by_slug["features"], features);
    assert_eq!(
        by_slug["status"],
        json!({ "id": "active", "name": "active" })
    );
    for key in [
        "name",
        "dateCreated",
        "isEarlyAdopter",
        "require2FA",
        "requireEmailVerification",
    ] {
        assert!(!by_slug[key].is_null(), "{key}");
    }
    assert_eq!(by_slug["links"]["regionUrl"], world.ready.base_url.as_str());
    world.finish().await;
}

#[tokio::test]
async fn a_project_names_its_team_and_a_member_its_user() {
    let world = World::start().await;
    let projects = world
        .get("/api/0/organizations/acme/projects/")
        .await
        .json();
    let project = &projects[0];
    assert_eq!(project["slug"], "web");
    assert_eq!(project["id"].as_str(), world.ready.project_id.as_deref());
    assert_eq!(project["team"]["slug"], "web-team");
    assert_eq!(project["isMember"], true);
    assert_eq!(project["organization"]["slug"], "acme");
    let members = world.get("/api/0/organizations/acme/members/").await.json();
    let find = |email: &str| {
        let all = members.as_array().unwrap().iter();
        all.into_iter()
            .find(|member| member["email"] == email)
            .cloned()
            .unwrap()
    };
    let ana = find(world.ana());
    assert_eq!(ana["user"]["id"], world.ready.members[0].id.as_str());
    assert_ne!(
        ana["id"], ana["user"]["id"],
        "the membership has its own id"
    );
    assert_eq!(
        (&ana["role"], &ana["user"]["username"]),
        (&json!("owner"), &json!("ana"))
    );
    assert_eq!(find(world.cy())["role"], "member");
    world.finish().await;
}

#[tokio::test]
async fn an_issue_is_found_by_id_and_short_id_and_has_every_listed_field() {
    let world = World::start().await;
    let group = world.ready.group_id.clone().unwrap();
    let issue = world.get(&format!("/api/0/issues/{group}/")).await.json();
    for path in [group.as_str(), "WEB-1", "web-1"] {
        let path = format!("/api/0/organizations/acme/issues/{path}/");
        assert_eq!(world.get(&path).await.json(), issue, "{path}");
    }
    let sample = [
        "id",
        "shortId",
        "title",
        "culprit",
        "permalink",
        "level",
        "logger",
        "platform",
        "type",
        "metadata",
        "status",
        "substatus",
        "statusDetails",
        "isPublic",
        "isSubscribed",
        "subscriptionDetails",
        "project",
        "assignedTo",
        "count",
        "userCount",
        "firstSeen",
        "lastSeen",
        "numComments",
        "annotations",
        "participants",
    ];
    let fields = issue.as_object().unwrap();
    assert_eq!(fields.len(), sample.len());
    assert!(sample.iter().all(|name| fields.contains_key(*name)));
    assert_eq!(issue["shortId"], "WEB-1");
    assert_eq!(
        (&issue["status"], &issue["substatus"]),
        (&json!("unresolved"), &json!("new"))
    );
    assert_eq!(issue["assignedTo"], Value::Null);
    assert_eq!(issue["project"]["slug"], "web");
    let base = &world.ready.base_url;
    assert_eq!(
        issue["permalink"],
        format!("{base}/organizations/acme/issues/{group}/")
    );
    world.finish().await;
}

/// The next page's cursor, if the header says that there are results.
fn next(answer: &Answer) -> Option<String> {
    let link = answer.headers["link"].to_str().unwrap();
    let entry = link
        .split(", ")
        .find(|entry| entry.contains("rel=\"next\""))
        .unwrap();
    let cursor = entry
        .split("cursor=\"")
        .nth(1)
        .unwrap()
        .trim_end_matches('"');
    entry
        .contains("results=\"true\"")
        .then(|| cursor.to_owned())
}

#[tokio::test]
async fn lists_are_read_page_by_page_through_the_link_header() {
    let world = World::start().await;
    for n in 0..6 {
        let slug = format!("app-{n}");
        world
            .operator(json!({
                "command": "create-project", "organization": "acme", "team": "web-team",
                "slug": slug, "name": slug,
            }))
            .await;
    }
    world.stack.dynamodb().catch_up();
    let (mut slugs, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/0/organizations/acme/projects/?per_page=3&cursor={cursor}");
        let answer = world.get(&path).await;
        let rows = answer.json();
        slugs.extend(
            rows.as_array()
                .unwrap()
                .iter()
                .map(|row| row["slug"].clone()),
        );
        match next(&answer) {
            Some(more) => cursor = more,
            None => break,
        }
    }
    let expected = ["app-0", "app-1", "app-2", "app-3", "app-4", "app-5", "web"];
    assert_eq!(slugs, expected);

    let first = world
        .get("/api/0/organizations/acme/projects/?per_page=3")
        .await;
    let base = format!(
        "{}/api/0/organizations/acme/projects/?per_page=3&cursor=",
        world.ready.base_url
    );
    assert_eq!(
        first.headers["link"],
        format!(
            "<{base}3:-1:1>; rel=\"previous\"; results=\"false\"; cursor=\"3:-1:1\", \
             <{base}3:1:0>; rel=\"next\"; results=\"true\"; cursor=\"3:1:0\""
        )
    );
    for bad in ["cursor=x", "cursor=1:2", "per_page=101", "per_page=0"] {
        let answer = world
            .get(&format!("/api/0/organizations/acme/projects/?{bad}"))
            .await;
        assert_eq!(answer.status.as_u16(), 400, "{bad}");
        assert!(answer.json()["detail"].is_string());
    }
    world.finish().await;
}

#[tokio::test]
async fn activities_are_paged_newest_first() {
    let mut world = World::start().await;
    for revision in 1..=5 {
        let email = if revision % 2 == 0 {
            world.ana()
        } else {
            world.bo()
        }
        .to_owned();
        world.assign(revision, &email).await;
        world.settle().await;
    }
    let group = world.ready.group_id.clone().unwrap();
    let (mut revisions, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/0/issues/{group}/activities/?per_page=2&cursor={cursor}");
        let answer = world.get(&path).await;
        let body = answer.json();
        let lines = body["activity"].as_array().unwrap().clone();
        revisions.extend(
            lines
                .iter()
                .map(|line| line["data"]["cause"]["revision"].clone()),
        );
        match next(&answer) {
            Some(more) => cursor = more,
            None => break,
        }
    }
    assert_eq!(revisions, ["5", "4", "3", "2", "1"]);
    world.finish().await;
}

#[tokio::test]
async fn path_segments_are_decoded_exactly_once() {
    let world = World::start().await;
    let expected = world.get("/api/0/organizations/acme/").await.json();
    // %61 is "a"; %2561 is "%61", which is no slug.
    assert_eq!(
        world.get("/api/0/organizations/%61cme/").await.json(),
        expected
    );
    for awkward in [
        "%2561cme", "a%20cme", "acme%3F", "acme%23", "%C3%BC", "acme%2F",
    ] {
        let answer = world.get(&format!("/api/0/organizations/{awkward}/")).await;
        assert_eq!(answer.status.as_u16(), 404, "{awkward}");
    }
    world.finish().await;
}

#[tokio::test]
async fn the_token_of_a_deactivated_person_is_worthless() {
    let world = World::start().await;
    let bo = world.bo().to_owned();
    let token = token(&world, "t", ("email", &bo), json!(["org:read"])).await;
    assert_eq!(world.get_as(&token, "/api/0/").await.status.as_u16(), 200);
    world
        .operator(
            json!({ "command": "create-user", "email": bo, "name": "Bo Li", "active": false }),
        )
        .await;
    assert_eq!(world.get_as(&token, "/api/0/").await.status.as_u16(), 401);
    world.finish().await;
}
