//! The alert rule that a new project has.

use serde_json::{Value, json};
use tests::World;

const CREATE: &str = "/api/0/teams/acme/web-team/projects/";

async fn rules(world: &World, project: &str) -> Value {
    world.stack.dynamodb().catch_up();
    let path = format!("/api/0/projects/acme/{project}/rules/");
    let answer = world.get(&path).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn a_new_project_has_one_alert_rule_unless_none_is_wanted() {
    let world = World::start().await;
    for (slug, wish, count) in [
        ("silent", json!(false), 0),
        ("loud", json!(true), 1),
        ("plain", Value::Null, 1),
    ] {
        let mut body = json!({ "name": slug, "slug": slug });
        if !wish.is_null() {
            body["default_rules"] = wish;
        }
        let answer = world.post_json(CREATE, &body).await;
        assert_eq!(answer.status.as_u16(), 201, "{}", answer.text());
        let rules = rules(&world, slug).await;
        assert_eq!(rules.as_array().map(Vec::len), Some(count), "{slug}");
    }
    // The operator's as well.
    let rules = rules(&world, "web").await;
    assert_eq!(rules[0]["projects"], json!(["web"]));
    assert_eq!(rules[0]["actions"][0]["targetType"], "IssueOwners");
    assert_eq!(rules[0]["conditions"].as_array().map(Vec::len), Some(2));
    world.finish().await;
}
