//! What becomes of releases when projects that use them go, and who may use which.

use hyper::Method;
use serde_json::{Value, json};
use tests::World;

use crate::{
    api::token,
    releases::{RELEASES, path_of, post},
};

fn projects(release: &Value) -> Vec<&str> {
    let projects = release["projects"].as_array().expect("projects");
    let slug = |it: &Value| -> &str { panic!("{it} has no slug") };
    projects
        .iter()
        .map(|it| it["slug"].as_str().unwrap_or_else(|| slug(it)))
        .collect()
}

#[tokio::test]
async fn a_deleted_project_is_in_no_release_any_more_and_the_releases_stay() {
    let mut world = World::start().await;
    world
        .operator(
            json!({ "command": "create-project", "organization": "acme", "team": "web-team",
            "slug": "old", "name": "Old" }),
        )
        .await;
    for (version, projects) in [("both", json!(["web", "old"])), ("alone", json!(["old"]))] {
        let new = json!({ "version": version, "projects": projects });
        assert_eq!(post(&world, RELEASES, new).await.0, 201);
        let deploy = json!({ "environment": "production" });
        let path = format!("{}deploys/", path_of(version));
        assert_eq!(post(&world, &path, deploy).await.0, 201);
    }
    let answer = world.delete("/api/0/projects/acme/old/", "").await;
    assert_eq!(answer.status.as_u16(), 204, "{}", answer.text());
    world.settle().await;
    let both = world.get(&path_of("both")).await.json();
    assert_eq!(
        (projects(&both), &both["deployCount"]),
        (vec!["web"], &json!(1))
    );
    // A release of no project is shown to nobody, and is there for the next project that uses it.
    assert_eq!(world.get(&path_of("alone")).await.status.as_u16(), 404);
    let items = world.items();
    let text = |item: &Value, name: &str| item[name]["S"].as_str().unwrap_or_default().to_owned();
    let releases: Vec<_> = items
        .iter()
        .filter(|item| text(item, "PK").starts_with("RELEASE#"))
        .collect();
    let used = |item: &&Value| item["projects"]["L"].as_array().map_or(0, Vec::len);
    let mut uses: Vec<_> = releases.iter().map(used).collect();
    uses.sort_unstable();
    assert_eq!(uses, [0, 1]);
    let last = items
        .iter()
        .filter(|item| text(item, "SK").starts_with("LAST_DEPLOY#"));
    assert_eq!(last.count(), 1, "that of the project that is left");
    let again = json!({ "version": "alone", "projects": ["web"] });
    let (status, alone) = post(&world, RELEASES, again).await;
    assert_eq!((status, projects(&alone)), (201, vec!["web"]));
    world.finish().await;
}

#[tokio::test]
async fn a_release_that_issues_were_first_seen_in_stays_while_they_do() {
    let mut world = World::start().await;
    world
        .operator(
            json!({ "command": "create-project", "organization": "acme", "team": "web-team",
            "slug": "old", "name": "Old" }),
        )
        .await;
    let new = json!({ "version": "held", "projects": ["web", "old"] });
    assert_eq!(post(&world, RELEASES, new).await.0, 201);
    for n in 0..4 {
        world
            .operator(
                json!({ "command": "create-issue", "organization": "acme", "project": "old",
                "title": format!("Problem {n}"), "release": "held" }),
            )
            .await;
    }
    for path in [
        path_of("held"),
        "/api/0/projects/acme/web/releases/held/".to_owned(),
    ] {
        let answer = world.delete(&path, "").await;
        assert_eq!(answer.status.as_u16(), 400, "{}", answer.text());
        let detail = answer.json()["detail"].to_string();
        assert_eq!(detail.matches("OLD-").count(), 3, "{detail}");
        for part in ["and others", "archived"] {
            assert!(detail.contains(part), "{part}: {detail}");
        }
    }
    assert_eq!(world.get(&path_of("held")).await.status.as_u16(), 200);
    // With the issues goes what held it.
    let answer = world.delete("/api/0/projects/acme/old/", "").await;
    assert_eq!(answer.status.as_u16(), 204, "{}", answer.text());
    world.settle().await;
    let answer = world.delete(&path_of("held"), "").await;
    assert_eq!(answer.status.as_u16(), 204, "{}", answer.text());
    world.finish().await;
}

#[tokio::test]
async fn managers_reach_releases_through_every_project_and_through_the_organization_as_members() {
    let world = World::start().await;
    let cy = world.cy().to_owned();
    let token = token(&world, "cy", ("email", &cy), json!("all")).await;
    let new = json!({ "version": "1", "projects": ["web"] });
    assert_eq!(post(&world, RELEASES, new.clone()).await.0, 201);
    let in_project = "/api/0/projects/acme/web/releases/";
    for (role, made, seen, in_project_seen) in
        [("member", 400, 404, 404), ("manager", 400, 404, 200)]
    {
        world
            .operator(
                json!({ "command": "set-role", "organization": "acme", "email": cy,
                "role": role }),
            )
            .await;
        let again = world
            .request_as(&token, Method::POST, RELEASES, Some(&new))
            .await;
        assert_eq!(again.status.as_u16(), made, "{role}: {}", again.text());
        let found = world.get_as(&token, &path_of("1")).await;
        assert_eq!(found.status.as_u16(), seen, "{role}");
        let listed = world.get_as(&token, in_project).await;
        assert_eq!(listed.status.as_u16(), in_project_seen, "{role}");
    }
    world.finish().await;
}
