//! Deploys of releases.

use serde_json::{Value, json};
use tests::World;

use crate::releases::{RELEASES, closed_project, items, path_of, post, project};

async fn world() -> World {
    let world = World::start().await;
    for slug in ["a", "b"] {
        project(&world, slug, "web-team").await;
    }
    let new = json!({ "version": "1", "projects": ["web", "a", "b"] });
    assert_eq!(post(&world, RELEASES, new).await.0, 201);
    world
}

fn deploys() -> String {
    format!("{}deploys/", path_of("1"))
}

/// The names of the deploys in a list, newest first.
async fn names(world: &World, query: &str) -> Vec<String> {
    world.stack.dynamodb().catch_up();
    let rows = world.get(&format!("{}{query}", deploys())).await.json();
    let rows = rows.as_array().expect("a list").iter();
    rows.map(|row| row["name"].as_str().unwrap_or("-").to_owned())
        .collect()
}

#[tokio::test]
async fn each_report_makes_a_deploy_and_the_release_counts_them() {
    let world = world().await;
    let full = json!({ "environment": "staging", "name": "blue", "url": "https://d",
        "dateStarted": "2026-01-01T00:00:00Z", "dateFinished": "2026-01-01T00:01:00Z" });
    let (status, body) = post(&world, &deploys(), full.clone()).await;
    assert_eq!(status, 201);
    let mut shown = full.clone();
    shown["id"] = body["id"].clone();
    assert_eq!(body, shown);
    let (status, again) = post(&world, &deploys(), full).await;
    assert_eq!(status, 201);
    assert_ne!(again["id"], body["id"]);
    let release = world.get(&path_of("1")).await.json();
    assert_eq!(release["deployCount"], 2);
    assert_eq!(release["lastDeploy"], again);
    assert_eq!(items(&world, "RELEASE_ID#", "LAST_DEPLOY#").len(), 3);

    let bare = json!({ "environment": "qa", "name": null, "url": "", "dateStarted": null, "dateFinished": null });
    let (status, body) = post(&world, &deploys(), bare).await;
    assert_eq!(status, 201);
    let now = world.stack.clock().now().to_string();
    assert_eq!(
        body["dateFinished"].as_str().map(|at| &at[..10]),
        Some(&now[..10])
    );
    assert_eq!(body["url"], Value::Null);
    world.finish().await;
}

#[tokio::test]
async fn a_deploy_is_of_the_projects_that_it_names() {
    let world = world().await;
    let of = |projects: Value| json!({ "environment": "qa", "projects": projects });
    assert_eq!(post(&world, &deploys(), of(json!(["b", "b"]))).await.0, 201);
    let rows = items(&world, "RELEASE_ID#", "LAST_DEPLOY#");
    assert_eq!(rows.len(), 1);
    let b = world.get("/api/0/projects/acme/b/").await.json()["id"].take();
    assert_eq!(rows[0]["project"]["S"], b);
    closed_project(&world).await;
    for foreign in ["secret", "nothing"] {
        let (status, body) = post(&world, &deploys(), of(json!(["b", foreign]))).await;
        assert_eq!(status, 400);
        assert_eq!(body["detail"]["code"], "parameter-validation-error");
        let text = format!("Invalid projects ({foreign}) for release 1");
        assert_eq!(body["detail"]["message"], text.as_str());
        assert_eq!(body["detail"]["extra"], json!({}));
    }
    for (body, field) in [
        (of(json!([])), "projects"),
        (json!({ "environment": "bad/name" }), "environment"),
        (json!({ "environment": "x".repeat(65) }), "environment"),
        (json!({ "name": "x" }), "environment"),
        (
            json!({ "environment": "qa", "name": "x".repeat(65) }),
            "name",
        ),
        (
            json!({ "environment": "qa", "dateFinished": "soon" }),
            "dateFinished",
        ),
    ] {
        let (status, errors) = post(&world, &deploys(), body).await;
        assert_eq!(status, 400, "{field}");
        assert!(errors[field].is_array(), "{errors}");
    }
    let release = world.get(&path_of("1")).await.json();
    assert_eq!(release["deployCount"], 1);
    let missing = format!("{}deploys/", path_of("none"));
    assert_eq!(post(&world, &missing, of(json!(["b"]))).await.0, 404);
    world.finish().await;
}

#[tokio::test]
async fn only_the_last_deploy_of_a_project_to_an_environment_is_listed() {
    let world = world().await;
    for (name, environment, minute, projects) in [
        ("first", "qa", 1, json!(["web", "a"])),
        ("second", "qa", 2, json!(["web"])),
        ("third", "production", 0, json!(["web"])),
        ("fourth", "production", 5, json!(["web"])),
    ] {
        let body = json!({ "environment": environment, "name": name, "projects": projects,
            "dateFinished": format!("2026-01-01T00:0{minute}:00Z") });
        assert_eq!(post(&world, &deploys(), body).await.0, 201);
    }
    assert_eq!(names(&world, "").await, ["fourth", "second", "first"]);
    assert_eq!(
        names(&world, "?project=-1").await,
        ["fourth", "second", "first"]
    );
    let web = world.ready.project_id.clone().unwrap();
    assert_eq!(
        names(&world, &format!("?project={web}")).await,
        ["fourth", "second"]
    );
    assert_eq!(names(&world, "?per_page=1&cursor=1:1:0").await, ["second"]);
    world.finish().await;
}
