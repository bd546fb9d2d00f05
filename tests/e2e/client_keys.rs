//! Client keys of a project: made, limited, disabled and revoked.

use hyper::Method;
use serde_json::{Value, json};
use tests::World;

use crate::api::token;

const KEYS: &str = "/api/0/projects/acme/web/keys/";

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_keys_dsn_names_the_key_the_server_and_the_project() {
    let world = World::start().await;
    let keys = world.get(KEYS).await.json();
    assert_eq!(keys.as_array().map(Vec::len), Some(1));
    let key = &keys[0];
    let (public, secret) = (text(key, "public"), text(key, "secret"));
    let project = world.ready.project_id.clone().unwrap();
    let host = world.ready.base_url.strip_prefix("http://").unwrap();
    assert_eq!(
        key["dsn"],
        json!({
            "public": format!("http://{public}@{host}/{project}"),
            "secret": format!("http://{public}:{secret}@{host}/{project}"),
        })
    );
    assert_eq!(
        (text(key, "name"), text(key, "id")),
        ("Default", public),
        "a key's id is what clients send"
    );
    assert_eq!(key["projectId"].to_string(), project);
    assert_eq!(
        (&key["isActive"], &key["rateLimit"]),
        (&json!(true), &Value::Null)
    );
    let shown = world.get(&format!("{KEYS}{public}/")).await.json();
    assert_eq!(&shown, key);
    let create = json!({
        "command": "create-project", "organization": "acme", "team": "web-team",
        "slug": "web", "name": "Web",
    });
    let answer = world.operator(create).await;
    assert_eq!(answer["dsn"], key["dsn"]["public"]);
    let staging = json!({ "command": "create-key", "organization": "acme", "project": "web", "name": "staging" });
    let staging = world.operator(staging).await;
    let path = format!("{KEYS}{}/", text(&staging["key"], "id"));
    let shown = world.get(&path).await.json();
    assert_eq!(
        (&shown["dsn"]["public"], text(&shown, "name")),
        (&staging["dsn"], "staging")
    );
    world.finish().await;
}

#[tokio::test]
async fn a_key_is_made_limited_disabled_and_revoked_and_the_log_tells_it() {
    let world = World::start().await;
    let limit = json!({ "count": 100, "window": 60 });
    let new = json!({ "name": "Mobile", "rateLimit": limit });
    let answer = world.post_json(KEYS, &new).await;
    assert_eq!(answer.status.as_u16(), 201, "{}", answer.text());
    let made = answer.json();
    assert_eq!(
        (text(&made, "label"), &made["rateLimit"]),
        ("Mobile", &limit)
    );
    let path = format!("{KEYS}{}/", text(&made, "id"));
    let put = async |body: Value| world.put(&path, body.to_string()).await.json();
    assert_eq!(put(json!({ "name": "Phones" })).await["name"], "Phones");
    let disabled = put(json!({ "isActive": false, "rateLimit": null })).await;
    assert_eq!(
        (&disabled["isActive"], &disabled["rateLimit"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(put(json!({ "isActive": false })).await, disabled);
    assert_eq!(put(json!({ "isActive": true })).await["isActive"], true);
    let gone = world.send(Method::DELETE, &path, None).await;
    assert_eq!((gone.status.as_u16(), gone.text().as_str()), (204, ""));
    for method in [Method::GET, Method::DELETE] {
        let answer = world.send(method.clone(), &path, None).await;
        assert_eq!(answer.status.as_u16(), 404, "{method}");
    }
    let body = json!({ "isActive": true }).to_string();
    assert_eq!(world.put(&path, body).await.status.as_u16(), 404);
    let id = text(&made, "id");
    let left = world.items();
    let mut left = left.iter().filter(|item| {
        [&item["PK"]["S"], &item["SK"]["S"]]
            .iter()
            .any(|part| part.as_str().unwrap_or_default().ends_with(id))
    });
    assert_eq!(left.next(), None, "nothing leads to it any more");

    world.stack.dynamodb().catch_up();
    let rows = world.get("/api/0/organizations/acme/audit-logs/").await;
    let rows = rows.json()["rows"].take();
    let about = |row: &&Value| row["data"]["public_key"] == id;
    let events: Vec<_> = rows.as_array().unwrap().iter().filter(about).collect();
    let events: Vec<_> = events.iter().map(|row| text(row, "event")).collect();
    let expected = ["remove", "enable", "disable", "edit", "create"];
    assert_eq!(events, expected.map(|event| format!("projectkey.{event}")));
    world.finish().await;
}

#[tokio::test]
async fn a_key_with_unreadable_fields_or_of_another_project_is_refused() {
    let world = World::start().await;
    for (body, field) in [
        (json!({ "name": "" }), "name"),
        (json!({ "name": "n".repeat(65) }), "name"),
        (json!({ "isActive": "perhaps" }), "isActive"),
        (json!({ "rateLimit": "fast" }), "rateLimit"),
        (
            json!({ "rateLimit": { "count": -1, "window": 60 } }),
            "rateLimit",
        ),
        (
            json!({ "rateLimit": { "count": 1.5, "window": 60 } }),
            "rateLimit",
        ),
        (json!({ "rateLimit": { "count": 5 } }), "rateLimit"),
    ] {
        let answer = world.post_json(KEYS, &body).await;
        assert_eq!(answer.status.as_u16(), 400, "{body}");
        assert!(answer.json()[field].is_array(), "{}", answer.text());
    }
    let other = json!({ "name": "other" });
    world
        .post_json("/api/0/teams/acme/web-team/projects/", &other)
        .await;
    let key = world.get(KEYS).await.json()[0]["id"].take();
    let key = key.as_str().unwrap();
    for path in [
        format!("/api/0/projects/acme/other/keys/{key}/"),
        format!("{KEYS}nonsense/"),
        format!("{KEYS}{}/", "0".repeat(32)),
    ] {
        assert_eq!(world.get(&path).await.status.as_u16(), 404, "{path}");
    }
    world.finish().await;
}

#[tokio::test]
async fn who_may_only_see_a_project_changes_none_of_its_keys() {
    let world = World::start().await;
    let bo = token(&world, "bo", ("email", world.bo()), json!("all")).await;
    let writer = token(
        &world,
        "w",
        ("email", world.ana()),
        json!(["project:write"]),
    )
    .await;
    let key = world.get_as(&bo, KEYS).await;
    assert_eq!(key.status.as_u16(), 200);
    let path = format!("{KEYS}{}/", text(&key.json()[0], "id"));
    let body = json!({ "name": "x" });
    for (token, method, path, body) in [
        (&bo, Method::POST, KEYS, Some(&body)),
        (&bo, Method::PUT, path.as_str(), Some(&body)),
        (&bo, Method::DELETE, path.as_str(), None),
        // Revoking is for those who look after the project.
        (&writer, Method::DELETE, path.as_str(), None),
    ] {
        let answer = world.request_as(token, method.clone(), path, body).await;
        assert_eq!(answer.status.as_u16(), 403, "{method} {}", answer.text());
    }
    world.finish().await;
}
