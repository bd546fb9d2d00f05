//! Projects: what a client may ask for, what it is told, and what is in the table then.

use std::collections::BTreeSet;

use hyper::Method;
use local::client::{Answer, request};
use serde_json::{Value, json};
use tests::World;

use crate::api::token;

const CREATE: &str = "/api/0/teams/acme/web-team/projects/";
const SLUG_TEXT: &str = "Enter a valid slug consisting of lowercase letters, numbers, underscores \
                         or hyphens. It cannot be entirely numeric.";

async fn create(world: &World, body: Value) -> Answer {
    world.post_json(CREATE, &body).await
}

async fn made(world: &World, body: Value) -> Value {
    let answer = create(world, body.clone()).await;
    assert_eq!(answer.status.as_u16(), 201, "{body}: {}", answer.text());
    answer.json()
}

async fn refused(world: &World, body: Value) -> (u16, Value) {
    let answer = create(world, body).await;
    (answer.status.as_u16(), answer.json())
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// The items of a partition whose sort key begins so.
fn items(world: &World, pk: &str, sk: &str) -> Vec<Value> {
    let here = |item: &Value| {
        item["PK"]["S"] == pk && item["SK"]["S"].as_str().unwrap_or_default().starts_with(sk)
    };
    world.items().into_iter().filter(here).collect()
}

#[tokio::test]
async fn a_new_project_comes_with_its_team_one_key_and_a_line_in_the_audit_log() {
    let world = World::start().await;
    let new = json!({ "name": "foo", "slug": "bar", "platform": "python" });
    let project = made(&world, new).await;
    assert_eq!(
        (
            text(&project, "name"),
            text(&project, "slug"),
            text(&project, "platform")
        ),
        ("foo", "bar", "python")
    );
    assert_eq!(text(&project, "status"), "active");
    assert_eq!(project["team"]["slug"], "web-team");
    assert_eq!(project["organization"]["slug"], "acme");
    assert_eq!(project["firstEvent"], Value::Null);
    assert_eq!(
        (&project["isMember"], &project["hasAccess"]),
        (&json!(true), &json!(true))
    );
    let id = text(&project, "id").to_owned();
    assert!(
        id.len() == 16 && id.bytes().all(|b| b.is_ascii_digit()),
        "{id}"
    );

    let keys = items(&world, &format!("PROJECT#{id}"), "KEY#");
    assert_eq!(keys.len(), 1);
    for half in ["public_key", "secret_key"] {
        let half = keys[0][half]["S"].as_str().unwrap();
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        assert!(half.len() == 32 && half.bytes().all(hex), "{half}");
    }
    let public = keys[0]["public_key"]["S"].as_str().unwrap();
    let leads = items(&world, &format!("CLIENT_KEY#{public}"), "PROJECT");
    assert_eq!(leads[0]["project"]["S"], id.as_str());

    world.stack.dynamodb().catch_up();
    let path = "/api/0/organizations/acme/audit-logs/?event=project.create&per_page=1";
    let row = world.get(path).await.json()["rows"][0].take();
    assert_eq!(row["actor"]["email"], world.ana());
    let data =
        json!({ "id": id, "slug": "bar", "name": "foo", "status": "active", "public": false });
    assert_eq!(row["data"], data);
    assert_eq!(row["targetObject"].to_string(), id);
    world.finish().await;
}

#[tokio::test]
async fn a_slug_is_made_of_the_name_where_none_is_given() {
    let world = World::start().await;
    for (name, slug) in [
        ("Ünïcode Näme", "unicode-name"),
        ("  x  ", "x"),
        (&"n".repeat(50), &"n".repeat(50)),
    ] {
        let project = made(&world, json!({ "name": name })).await;
        assert_eq!(text(&project, "slug"), slug);
        assert_eq!(text(&project, "name"), name.trim());
    }
    // A number would be taken for an id.
    let project = made(&world, json!({ "name": "1234", "slug": null })).await;
    let slug = text(&project, "slug");
    assert!(slug.starts_with("1234-") && slug.len() == 7, "{slug}");
    // Nothing that a URL could hold, and a reserved word in capitals.
    for name in ["🎉".repeat(50), "Settings".to_owned()] {
        let project = made(&world, json!({ "name": name })).await;
        let slug = text(&project, "slug");
        assert!(slug.len() == 12 || slug.contains('-'), "{slug}");
        assert!(
            slug.bytes().take(12).all(|b| b.is_ascii_hexdigit()),
            "{slug}"
        );
    }
    world.finish().await;
}

#[tokio::test]
async fn the_same_name_again_gets_a_suffix_that_leaves_it_within_its_limit() {
    let world = World::start().await;
    for (name, base) in [
        ("twin".to_owned(), "twin"),
        ("l".repeat(50), &*"l".repeat(47)),
    ] {
        let first = made(&world, json!({ "name": name })).await;
        assert_eq!(text(&first, "slug"), name);
        let second = made(&world, json!({ "name": name })).await;
        let slug = text(&second, "slug");
        let suffix = slug
            .strip_prefix(base)
            .and_then(|rest| rest.strip_prefix('-'));
        assert_eq!(suffix.map(str::len), Some(2), "{slug}");
        assert!(slug.len() <= 50);
    }
    world.finish().await;
}

#[tokio::test]
async fn thirty_who_ask_for_one_name_at_once_get_thirty_slugs() {
    let world = World::start().await;
    let token = world.ready.auth_token.clone().unwrap();
    let url = format!("{}{CREATE}", world.ready.base_url);
    let callers = (0..30).map(|_| {
        let (url, bearer) = (url.clone(), format!("Bearer {token}"));
        tokio::spawn(async move {
            let headers = [("authorization", bearer.as_str())];
            let body = json!({ "name": "popular" }).to_string();
            request(Method::POST, &url, &headers, body).await.unwrap()
        })
    });
    let mut slugs = BTreeSet::new();
    for caller in callers.collect::<Vec<_>>() {
        let answer = caller.await.unwrap();
        assert_eq!(answer.status.as_u16(), 201, "{}", answer.text());
        slugs.insert(text(&answer.json(), "slug").to_owned());
    }
    assert_eq!(slugs.len(), 30);
    assert!(slugs.contains("popular"));
    // Each has its key, its place in the team's list and its line in the log, and nothing is half done.
    let all = world.items();
    let count = |pk: &str, sk: &str| {
        let begins = |item: &&Value, name: &str, with: &str| {
            item[name]["S"]
                .as_str()
                .unwrap_or_default()
                .starts_with(with)
        };
        let here = all.iter().filter(|item| begins(item, "PK", pk));
        here.filter(|item| begins(item, "SK", sk)).count()
    };
    assert_eq!(count("PROJECT#", "META"), 31);
    assert_eq!(count("PROJECT#", "KEY#"), 31);
    assert_eq!(count("CLIENT_KEY#", "PROJECT"), 31);
    assert_eq!(count("TEAM#", "PROJECT_SLUG#"), 31);
    assert_eq!(count("ORG#", "PROJECT_SLUG#"), 31);
    world.finish().await;
}

#[tokio::test]
async fn a_slug_that_was_asked_for_and_is_taken_is_a_conflict_in_this_organization_alone() {
    let world = World::start().await;
    made(&world, json!({ "name": "foo", "slug": "taken" })).await;
    let before = world.items().len();
    let conflict = json!({ "detail": "A project with this slug already exists." });
    let again = refused(&world, json!({ "name": "other", "slug": "taken" })).await;
    assert_eq!(again, (409, conflict));
    assert_eq!(world.items().len(), before, "nothing of it is kept");
    for command in [
        json!({ "command": "create-organization", "slug": "beta", "name": "Beta" }),
        json!({ "command": "create-team", "organization": "beta", "slug": "all", "name": "All" }),
        json!({ "command": "add-member", "organization": "beta", "email": world.ana(), "role": "owner" }),
    ] {
        world.operator(command).await;
    }
    let there = json!({ "name": "foo", "slug": "taken" });
    let there = world
        .post_json("/api/0/teams/beta/all/projects/", &there)
        .await;
    assert_eq!(there.status.as_u16(), 201, "{}", there.text());
    world.finish().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_new_project_is_said_of_each_field() {
    let world = World::start().await;
    let required = "This field is required.";
    let blank = "This field may not be blank.";
    let null = "This field may not be null.";
    let long = "Ensure this field has no more than 50 characters.";
    for (body, field, message) in [
        (json!({}), "name", required),
        (json!({ "name": null }), "name", null),
        (json!({ "name": "" }), "name", blank),
        (json!({ "name": "   " }), "name", blank),
        (json!({ "name": true }), "name", "Not a valid string."),
        (json!({ "name": "n".repeat(60) }), "name", long),
        (
            json!({ "name": "settings" }),
            "name",
            "The name \"settings\" is reserved and not allowed.",
        ),
        (json!({ "name": "x", "slug": "12345" }), "slug", SLUG_TEXT),
        (json!({ "name": "x", "slug": "Bar" }), "slug", SLUG_TEXT),
        (json!({ "name": "x", "slug": "a b" }), "slug", SLUG_TEXT),
        (json!({ "name": "x", "slug": "" }), "slug", blank),
        (json!({ "name": "x", "slug": "s".repeat(51) }), "slug", long),
        (
            json!({ "name": "x", "slug": "teams" }),
            "slug",
            "The slug \"teams\" is reserved and not allowed.",
        ),
        (
            json!({ "name": "x", "platform": "fake platform" }),
            "platform",
            "Invalid platform",
        ),
        (
            json!({ "name": "x", "platform": "Python" }),
            "platform",
            "Invalid platform",
        ),
        (
            json!({ "name": "x", "default_rules": "maybe" }),
            "default_rules",
            "Must be a valid boolean.",
        ),
        (
            json!([]),
            "non_field_errors",
            "Invalid data. Expected a dictionary, but got list.",
        ),
        (
            json!("x"),
            "non_field_errors",
            "Invalid data. Expected a dictionary, but got str.",
        ),
    ] {
        let expected = (400, json!({ field: [message] }));
        assert_eq!(refused(&world, body.clone()).await, expected, "{body}");
    }
    let both = refused(&world, json!({ "slug": "1", "platform": "x" })).await;
    let all = json!({ "name": [required], "slug": [SLUG_TEXT], "platform": ["Invalid platform"] });
    assert_eq!(both, (400, all), "everything is said at once");
    world.finish().await;
}

#[tokio::test]
async fn a_body_that_is_no_json_is_refused_by_its_kind_or_its_text() {
    let world = World::start().await;
    let token = world.ready.auth_token.clone().unwrap();
    let bearer = format!("Bearer {token}");
    let url = format!("{}{CREATE}", world.ready.base_url);
    let send = async |kind: &str, body: &str| {
        let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
        request(Method::POST, &url, &headers, body.to_owned())
            .await
            .unwrap()
    };
    let answer = send("application/json; charset=utf-8", "{\"name\":").await;
    assert_eq!(answer.status.as_u16(), 400);
    let detail = answer.json()["detail"].take();
    assert!(
        detail.as_str().unwrap().starts_with("JSON parse error - "),
        "{detail}"
    );
    let answer = send("text/plain; charset=utf-8", "{\"name\":\"x\"}").await;
    let detail = json!({ "detail": "Unsupported media type \"text/plain\" in request." });
    assert_eq!((answer.status.as_u16(), answer.json()), (415, detail));
    let answer = send("application/json; charset=utf-8", "{\"name\":\"x\"}").await;
    assert_eq!(answer.status.as_u16(), 201, "{}", answer.text());
    world.finish().await;
}

#[tokio::test]
async fn a_platform_is_a_known_one_another_or_none() {
    let world = World::start().await;
    for (n, (platform, shown, filters)) in [
        (json!(null), Value::Null, 0),
        (json!(""), Value::Null, 0),
        (json!("other"), json!("other"), 0),
        (json!("python"), json!("python"), 0),
        (json!("python-django"), json!("python-django"), 0),
        (json!("javascript-react"), json!("javascript-react"), 3),
    ]
    .into_iter()
    .enumerate()
    {
        let slug = format!("p{n}");
        let body =
            json!({ "name": slug, "slug": slug, "platform": platform, "default_rules": false });
        assert_eq!(made(&world, body).await["platform"], shown);
        let path = format!("/api/0/projects/acme/{slug}/filters/");
        let rows = world.get(&path).await.json();
        let rows = rows.as_array().unwrap().clone();
        let on = rows.iter().filter(|row| row["active"] == true).count();
        assert_eq!((rows.len(), on), (3, filters), "{platform}");
    }
    world.finish().await;
}

#[tokio::test]
async fn who_may_make_projects_is_asked_in_the_order_that_gives_least_away() {
    let world = World::start().await;
    let bo = world.bo().to_owned();
    world
        .operator(
            json!({ "command": "set-role", "organization": "acme", "email": bo, "role": "admin" }),
        )
        .await;
    world
        .operator(json!({ "command": "create-team", "organization": "acme", "slug": "other", "name": "Other" }))
        .await;
    let bo = token(&world, "bo", ("email", &bo), json!("all")).await;
    let cy = token(&world, "cy", ("email", world.cy()), json!("all")).await;
    let ana = world.ready.auth_token.clone().unwrap();
    let reader = token(
        &world,
        "reader",
        ("email", world.ana()),
        json!(["project:read"]),
    )
    .await;
    let organization = token(
        &world,
        "o",
        ("organization", "acme"),
        json!(["project:write"]),
    )
    .await;
    let body = json!({ "name": "x" });
    let nothing = json!({});
    let missing = "/api/0/teams/acme/none/projects/";
    let other = "/api/0/teams/acme/other/projects/";
    let absent = "The requested resource does not exist";
    let denied = "You do not have permission to perform this action.";
    let required = "Required: one of project:write, project:admin.";
    let team = "Required: membership of the team, or the role manager or owner.";
    let switched_off = "Your organization has disabled this feature for members.";
    let ask = async |token: &str, path: &str, body: &Value| {
        for _ in 0..20 {
            let answer = world
                .request_as(token, Method::POST, path, Some(body))
                .await;
            if answer.status.as_u16() != 503 {
                let detail = answer.json()["detail"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                return (answer.status.as_u16(), detail);
            }
        }
        panic!("fault after fault");
    };
    let url = format!("{}{missing}", world.ready.base_url);
    let anonymous = request(Method::POST, &url, &[], "[]").await.unwrap();
    assert_eq!(anonymous.status.as_u16(), 401);
    assert_eq!(ask(&ana, missing, &nothing).await, (404, absent.into()));
    // A token that could never do it learns nothing, a member that the team exists.
    let (status, text) = ask(&reader, missing, &body).await;
    assert_eq!(status, 403);
    assert_eq!(
        text,
        format!("{denied} {required} This token has: project:read.")
    );
    assert_eq!(ask(&cy, missing, &nothing).await, (404, absent.into()));
    let (status, text) = ask(&cy, CREATE, &nothing).await;
    assert_eq!(status, 403);
    assert!(
        text.ends_with("The role member does not allow it."),
        "{text}"
    );
    assert_eq!(
        ask(&bo, other, &nothing).await,
        (403, format!("{denied} {team}"))
    );
    assert_eq!(
        ask(&bo, CREATE, &nothing).await.0,
        400,
        "the body comes after the rights"
    );
    assert_eq!(ask(&bo, CREATE, &body).await.0, 201);
    assert_eq!(
        ask(&ana, other, &body).await.0,
        201,
        "an owner reaches every team"
    );
    assert_eq!(ask(&organization, other, &body).await.0, 201);

    let set = |on: bool| json!({ "command": "set-organization", "organization": "acme", "member_project_creation": on });
    world.operator(set(false)).await;
    assert_eq!(
        ask(&bo, CREATE, &nothing).await.0,
        400,
        "the switch comes after the body"
    );
    assert_eq!(ask(&bo, CREATE, &body).await, (403, switched_off.into()));
    let email = world.bo().to_owned();
    let raise =
        json!({ "command": "set-role", "organization": "acme", "email": email, "role": "manager" });
    world.operator(raise).await;
    assert_eq!(ask(&bo, CREATE, &body).await.0, 201, "a manager may");
    world.operator(set(true)).await;
    world.finish().await;
}

#[tokio::test]
async fn without_redis_a_new_project_waits_and_nothing_of_it_is_there() {
    let world = World::quiet().await;
    world.stack.kill_redis().await;
    let token = world.ready.auth_token.clone().unwrap();
    let before = world.items().len();
    let body = json!({ "name": "x" });
    let answer = world
        .request_as(&token, Method::POST, CREATE, Some(&body))
        .await;
    assert_eq!(answer.status.as_u16(), 503);
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(world.items().len(), before);
    // What needs no id goes on.
    let renamed = world.put(
        "/api/0/projects/acme/web/",
        json!({ "name": "W" }).to_string(),
    );
    assert_eq!(renamed.await.status.as_u16(), 200);
    world.finish().await;
}

#[tokio::test]
async fn a_teams_list_has_its_projects_by_slug_and_takes_the_periods_that_clients_send() {
    let world = World::start().await;
    let other = json!({ "command": "create-team", "organization": "acme", "slug": "other", "name": "Other" });
    world.operator(other).await;
    for slug in ["zoo", "ant", "bee"] {
        made(&world, json!({ "name": slug })).await;
    }
    let body = json!({ "name": "cat" });
    world
        .post_json("/api/0/teams/acme/other/projects/", &body)
        .await;
    world.stack.dynamodb().catch_up();
    let list = async |path: &str| {
        let rows = world.get(path).await.json();
        let rows = rows.as_array().unwrap().clone();
        rows.iter()
            .map(|row| text(row, "slug").to_owned())
            .collect::<Vec<_>>()
    };
    let own = ["ant", "bee", "web", "zoo"];
    assert_eq!(list(CREATE).await, own);
    assert_eq!(list("/api/0/teams/acme/other/projects/").await, ["cat"]);
    let page = world
        .get(&format!("{CREATE}?per_page=3&statsPeriod=24h"))
        .await;
    assert!(
        page.headers["link"]
            .to_str()
            .unwrap()
            .contains("rel=\"next\"; results=\"true\"")
    );
    assert_eq!(
        list(&format!("{CREATE}?per_page=3&cursor=3:1:0")).await,
        ["zoo"]
    );
    for path in [CREATE, "/api/0/organizations/acme/projects/"] {
        for period in ["", "24h", "14d", "30d"] {
            let answer = world.get(&format!("{path}?statsPeriod={period}")).await;
            assert_eq!(answer.status.as_u16(), 200, "{period}");
        }
        let answer = world.get(&format!("{path}?statsPeriod=7d")).await;
        let message = "Invalid stats_period. Valid choices are '', '24h', '14d', and '30d'";
        let body = json!({ "error": { "params": { "stats_period": { "message": message } } } });
        assert_eq!((answer.status.as_u16(), answer.json()), (400, body));
    }
    world.finish().await;
}

#[tokio::test]
async fn a_project_is_shown_by_slug_and_id_and_changed_field_by_field() {
    let world = World::start().await;
    let path = "/api/0/projects/acme/web/";
    let before = world.get(path).await.json();
    let id = text(&before, "id").to_owned();
    let by_id = format!("/api/0/projects/acme/{id}/");
    assert_eq!(world.get(&by_id).await.json(), before);
    let body = json!({ "name": " Web site ", "platform": "rust", "unknown": 1 }).to_string();
    let after = world.put(path, body.clone()).await.json();
    assert_eq!(
        (text(&after, "name"), text(&after, "platform")),
        ("Web site", "rust")
    );
    assert_eq!(text(&after, "slug"), "web");
    let items = world.items().len();
    assert_eq!(world.put(path, body).await.json(), after);
    assert_eq!(world.put(path, "{}".into()).await.json(), after);
    assert_eq!(
        world.items().len(),
        items,
        "what changes nothing leaves no line in the log"
    );
    let none = world
        .put(path, json!({ "platform": "" }).to_string())
        .await
        .json();
    assert_eq!(none["platform"], Value::Null);
    for (body, field) in [
        (json!({ "name": "" }), "name"),
        (json!({ "name": null }), "name"),
        (json!({ "slug": "Web" }), "slug"),
        (json!({ "platform": "basic" }), "platform"),
    ] {
        let answer = world.put(path, body.to_string()).await;
        assert_eq!(answer.status.as_u16(), 400, "{body}");
        assert!(answer.json()[field].is_array(), "{}", answer.text());
    }
    let reserved = world
        .put(path, json!({ "slug": "settings" }).to_string())
        .await;
    let text = "The slug \"settings\" is reserved and not allowed.";
    assert_eq!(
        (reserved.status.as_u16(), reserved.json()),
        (400, json!({ "slug": [text] }))
    );
    for absent in [
        "/api/0/projects/acme/none/",
        "/api/0/projects/acme/999/",
        "/api/0/projects/none/web/",
    ] {
        assert_eq!(world.get(absent).await.status.as_u16(), 404, "{absent}");
    }
    world.finish().await;
}

#[tokio::test]
async fn an_old_slug_leads_to_the_new_one_until_another_project_takes_it() {
    let world = World::start().await;
    let rename = async |from: &str, to: &str| {
        let path = format!("/api/0/projects/acme/{from}/");
        world.put(&path, json!({ "slug": to }).to_string()).await
    };
    assert_eq!(rename("web", "site").await.json()["slug"], "site");
    // Its issues are called after it, and found by what they were called before.
    let issue = async |name: &str| {
        let path = format!("/api/0/organizations/acme/issues/{name}/");
        world.get(&path).await.json()["shortId"].take()
    };
    assert_eq!(
        (issue("SITE-1").await, issue("WEB-1").await),
        (json!("SITE-1"), json!("SITE-1"))
    );
    let moved = world
        .get("/api/0/projects/acme/web/?collapse=organization")
        .await;
    let url = format!(
        "{}/api/0/projects/acme/site/?collapse=organization",
        world.ready.base_url
    );
    assert_eq!(moved.status.as_u16(), 302);
    assert_eq!(moved.headers["location"], url.as_str());
    let body = moved.json();
    assert_eq!(body["slug"], "site");
    assert_eq!(body["detail"]["code"], "resource-moved");
    assert_eq!(
        body["detail"]["extra"],
        json!({ "url": url, "slug": "site" })
    );
    let keys = world.get("/api/0/projects/acme/web/keys/").await;
    let url = format!("{}/api/0/projects/acme/site/keys/", world.ready.base_url);
    assert_eq!(keys.headers["location"], url.as_str());

    // Nobody learns of it who may not see the project.
    for command in [
        json!({ "command": "create-organization", "slug": "beta", "name": "Beta" }),
        json!({ "command": "create-user", "email": "eve@beta.example", "name": "Eve" }),
        json!({ "command": "add-member", "organization": "beta", "email": "eve@beta.example" }),
    ] {
        world.operator(command).await;
    }
    let eve = token(&world, "t", ("email", "eve@beta.example"), json!("all")).await;
    let answer = world.get_as(&eve, "/api/0/projects/acme/web/").await;
    assert_eq!(answer.status.as_u16(), 404);
    let ci = token(&world, "ci", ("organization", "acme"), json!(["org:ci"])).await;
    let answer = world.get_as(&ci, "/api/0/projects/acme/web/").await;
    assert_eq!(answer.status.as_u16(), 403);
    // Nor, by a change, who may only see it.
    let bo = token(&world, "bo", ("email", world.bo()), json!("all")).await;
    let answer = world
        .put_as(&bo, "/api/0/projects/acme/web/", "{}".into())
        .await;
    assert_eq!(answer.status.as_u16(), 403);

    let taken = rename("site", "site").await;
    assert_eq!(taken.status.as_u16(), 200, "its own slug is no other's");
    let new = made(&world, json!({ "name": "New", "slug": "web" })).await;
    let shown = world.get("/api/0/projects/acme/web/").await.json();
    assert_eq!(shown["id"], new["id"]);
    assert_eq!(
        (issue("SITE-1").await, issue("WEB-1").await),
        (json!("SITE-1"), Value::Null)
    );
    let answer = rename("web", "site").await;
    let message = "The slug \"site\" is already in use.";
    assert_eq!(
        (answer.status.as_u16(), answer.json()),
        (400, json!({ "slug": [message] }))
    );
    // There and back again: the first slug is the project's own, and the second leads to it.
    rename("site", "again").await;
    rename("again", "site").await;
    assert_eq!(
        world
            .get("/api/0/projects/acme/site/")
            .await
            .status
            .as_u16(),
        200
    );
    let back = world.get("/api/0/projects/acme/again/").await;
    assert_eq!(
        (back.status.as_u16(), &back.json()["slug"]),
        (302, &json!("site"))
    );
    world.stack.dynamodb().catch_up();
    let listed = world.get(CREATE).await.json();
    let listed: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|row| text(row, "slug"))
        .collect();
    assert_eq!(listed, ["site", "web"]);
    world.finish().await;
}
