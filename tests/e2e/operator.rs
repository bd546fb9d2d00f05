//! The operator's commands: repeatable, and each error names its field.

use serde_json::{Value, json};
use tests::World;

#[tokio::test]
async fn help_lists_every_command() {
    let world = World::start().await;
    let help = world.operator(json!({ "command": "help" })).await;
    let names: Vec<_> = help["commands"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["command"])
        .collect();
    assert_eq!(names.len(), 22);
    for name in names {
        // Known, whatever else is wrong with it.
        let answer = world.operator_raw(json!({ "command": name })).await;
        assert!(answer["error"]["fields"]["command"].is_null(), "{answer}");
    }
    world.finish().await;
}

#[tokio::test]
async fn every_command_can_be_repeated() {
    let world = World::start().await;
    let integration = json!({
        "command": "create-integration", "organization": "acme", "provider": "vsts",
        "external_id": "acc-2", "name": "two", "domain_name": "https://dev.azure.com/two",
    });
    let id = world.operator(integration.clone()).await["integration"]["id"].take();
    for command in [
        json!({ "command": "create-organization", "slug": "beta", "name": "Beta" }),
        json!({ "command": "create-user", "email": "Eve@Beta.example", "name": "Eve" }),
        json!({ "command": "create-team", "organization": "beta", "slug": "all", "name": "All" }),
        json!({ "command": "add-member", "organization": "beta", "email": "eve@beta.example", "teams": ["all"] }),
        json!({ "command": "create-project", "organization": "beta", "team": "all", "slug": "app", "name": "App" }),
        json!({ "command": "create-key", "organization": "beta", "project": "app", "name": "staging" }),
        json!({ "command": "create-token", "organization": "beta", "name": "ci", "scopes": ["org:ci"] }),
        json!({ "command": "create-issue", "organization": "beta", "project": "app", "title": "Oops" }),
        json!({ "command": "link-external-issue", "organization": "acme", "issue": "WEB-1", "integration": id, "key": "99" }),
    ] {
        let first = world.operator(command.clone()).await;
        assert_eq!(first["created"], true, "{command}");
        let items = world.items().len();
        let mut second = world.operator(command.clone()).await;
        assert_eq!(second["created"], false, "{command}");
        assert_eq!(world.items().len(), items, "{command}");
        // But for what is only told once, the answer is the same.
        second["created"] = json!(true);
        if command["command"] == "create-token" {
            assert_eq!(second["token"]["text"], Value::Null);
        } else {
            assert_eq!(second, first);
        }
    }
    let again = world.operator(integration).await;
    assert_eq!(
        (&again["created"], &again["attached"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(
        again["integration"]["domain_name"],
        "https://dev.azure.com/two/"
    );
    world.finish().await;
}

#[tokio::test]
async fn an_integration_keeps_its_secret_until_it_is_given_another() {
    let world = World::start().await;
    let mut command = json!({
        "command": "create-integration", "organization": "acme", "provider": "vsts",
        "external_id": "acc-2", "name": "two", "domain_name": "https://dev.azure.com/two/",
    });
    let secret = |answer: &Value| {
        answer["integration"]["shared_secret"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let first = secret(&world.operator(command.clone()).await);
    assert_eq!(first.len(), 64);
    assert_eq!(secret(&world.operator(command.clone()).await), first);
    command["shared_secret"] = json!("another-secret-of-ours");
    assert_eq!(
        secret(&world.operator(command.clone()).await),
        "another-secret-of-ours"
    );
    world.finish().await;
}

#[tokio::test]
async fn an_integration_is_the_same_at_its_id_and_at_its_external_id() {
    let world = World::start().await;
    let found = |world: &World, at: &str| {
        let items = world.items().into_iter();
        let mut items: Vec<_> = items
            .filter(|item| {
                let key = item["PK"]["S"].as_str().unwrap_or_default();
                key.starts_with(at) && item["provider"].is_object()
            })
            .map(|mut item| {
                let fields = item.as_object_mut().expect("an item");
                fields.retain(|name, _| name != "PK" && name != "SK");
                item
            })
            .collect();
        items.sort_by_key(|item| item["id"].to_string());
        items
    };
    for fields in [
        json!({ "name": "other" }),
        json!({ "shared_secret": "another-secret-of-ours" }),
        json!({ "subscription_id": "sub-1" }),
        json!({ "status": "disabled" }),
    ] {
        let mut command = json!({
            "command": "create-integration", "organization": "acme", "provider": "vsts",
            "external_id": world.ready.vsts_external_id, "name": "acme",
            "domain_name": "https://dev.azure.com/acme/",
        });
        let before = found(&world, "INTEGRATION#");
        let given = command.as_object_mut().expect("fields");
        given.extend(fields.as_object().expect("fields").clone());
        world.operator(command).await;
        let after = found(&world, "INTEGRATION#");
        assert_ne!(before, after, "{fields}");
        assert_eq!(after, found(&world, "INTEGRATION_KEY#"), "{fields}");
        assert_eq!(after.len(), 3);
    }
    world.finish().await;
}

#[tokio::test]
async fn what_is_left_out_of_a_repeated_command_stays_as_it_was() {
    let world = World::start().await;
    let add = json!({ "command": "add-member", "organization": "acme", "email": world.ana() });
    let member = world.operator(add).await["member"].take();
    let teams = member["teams"].as_array().map(Vec::len);
    assert_eq!((&member["role"], teams), (&json!("owner"), Some(1)));
    let user = |fields: Value| {
        let mut command = json!({ "command": "create-user", "email": world.bo(), "name": "Bo" });
        command
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        command
    };
    world
        .operator(user(json!({ "verified": false, "username": "bobo" })))
        .await;
    let bo = world
        .operator(user(json!({ "name": "Bo the second" })))
        .await["user"]
        .take();
    assert_eq!(
        (&bo["verified"], &bo["username"]),
        (&json!(false), &json!("bobo"))
    );
    assert_eq!(bo["name"], "Bo the second");
    world.finish().await;
}

#[tokio::test]
async fn a_key_that_no_work_item_has_is_not_linked() {
    let world = World::start().await;
    let integration = json!({
        "command": "create-integration", "organization": "acme", "provider": "vsts",
        "external_id": "acc-2", "name": "two", "domain_name": "https://dev.azure.com/two/",
    });
    let id = world.operator(integration).await["integration"]["id"].take();
    for key in ["#77", "abc", "077", "0", "-1", "7.5"] {
        let command = json!({
            "command": "link-external-issue", "organization": "acme", "issue": "WEB-1",
            "integration": id, "key": key,
        });
        let answer = world.operator_raw(command).await;
        assert!(
            answer["error"]["fields"]["key"].is_array(),
            "{key}: {answer}"
        );
    }
    world.finish().await;
}

#[tokio::test]
async fn an_error_names_the_field_it_is_about() {
    let world = World::start().await;
    let organization = |fields: Value| {
        let mut command = json!({ "command": "create-organization", "slug": "xyz", "name": "X" });
        command
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        command
    };
    let long = "n".repeat(65);
    for (command, field) in [
        (json!({}), "command"),
        (json!({ "command": "dance" }), "command"),
        (json!({ "command": 7 }), "command"),
        (
            json!({ "command": "create-organization", "name": "X" }),
            "slug",
        ),
        (organization(json!({ "slug": "Not A Slug" })), "slug"),
        (organization(json!({ "slug": "123" })), "slug"),
        (organization(json!({ "slug": 5 })), "slug"),
        (organization(json!({ "name": " " })), "name"),
        (organization(json!({ "name": long })), "name"),
        (organization(json!({ "nmae": "X" })), "nmae"),
        (
            json!({ "command": "create-user", "email": "no address", "name": "X" }),
            "email",
        ),
        (
            json!({ "command": "create-team", "organization": "none", "slug": "t", "name": "T" }),
            "organization",
        ),
        (
            json!({ "command": "add-member", "organization": "acme", "email": "ana@acme.example", "teams": ["none"] }),
            "teams",
        ),
        (
            json!({ "command": "add-member", "organization": "acme", "email": "ana@acme.example", "role": "king" }),
            "role",
        ),
        (
            json!({ "command": "create-project", "organization": "acme", "team": "none", "slug": "p", "name": "P" }),
            "team",
        ),
        (
            json!({ "command": "create-project", "organization": "acme", "team": "web-team", "slug": "p", "name": "P", "platform": "Python" }),
            "platform",
        ),
        (
            json!({ "command": "create-key", "organization": "acme", "project": "none", "name": "k" }),
            "project",
        ),
        (
            json!({ "command": "set-role", "organization": "acme", "email": "nobody@acme.example", "role": "owner" }),
            "email",
        ),
        (
            json!({ "command": "set-role", "organization": "acme", "email": "ana@acme.example" }),
            "role",
        ),
        (
            json!({ "command": "verify-email", "email": "nobody@acme.example" }),
            "email",
        ),
        (
            json!({ "command": "set-organization", "organization": "none", "member_project_creation": true }),
            "organization",
        ),
        (
            json!({ "command": "create-token", "name": "t", "scopes": ["org:fly"], "organization": "acme" }),
            "scopes",
        ),
        (
            json!({ "command": "create-token", "name": "t", "scopes": "all" }),
            "organization",
        ),
        (
            json!({ "command": "create-integration", "organization": "acme", "provider": "trello", "external_id": "x", "name": "x", "domain_name": "https://x/" }),
            "provider",
        ),
        (
            json!({ "command": "create-integration", "organization": "acme", "provider": "vsts", "external_id": "x", "name": "x", "domain_name": "http://x/" }),
            "domain_name",
        ),
        (
            json!({ "command": "create-integration", "organization": "acme", "provider": "vsts", "external_id": "x", "name": "x", "domain_name": "https://x/", "shared_secret": "short" }),
            "shared_secret",
        ),
        (
            json!({ "command": "create-issue", "organization": "acme", "project": "none", "title": "T" }),
            "project",
        ),
        (
            json!({ "command": "link-external-issue", "organization": "acme", "issue": "WEB-99", "integration": "1", "key": "1" }),
            "issue",
        ),
        (
            json!({ "command": "link-external-issue", "organization": "acme", "issue": "WEB-1", "integration": "1", "key": "1" }),
            "integration",
        ),
        (
            json!({ "command": "link-external-issue", "organization": "acme", "issue": "WEB-1", "integration": "1", "key": "" }),
            "key",
        ),
        (
            json!({ "command": "set-feature", "organization": "acme", "feature": "flying", "enabled": true }),
            "feature",
        ),
        (
            json!({ "command": "set-sync", "organization": "acme", "integration": "1", "switches": { "inbound": true } }),
            "inbound",
        ),
    ] {
        let answer = world.operator_raw(command.clone()).await;
        assert!(
            answer["error"]["fields"][field].is_array(),
            "{command}: {answer}"
        );
    }
    let answer = world
        .stack
        .invoke("operator", "not JSON".into())
        .await
        .unwrap();
    assert!(answer.contains("JSON parse error"), "{answer}");
    world.finish().await;
}

#[tokio::test]
async fn an_organizations_token_carries_its_server_and_organization() {
    let world = World::start().await;
    let answer = world
        .operator(json!({ "command": "create-token", "organization": "acme", "name": "ci", "scopes": ["org:ci"] }))
        .await;
    let text = answer["token"]["text"].as_str().unwrap();
    let parts: Vec<_> = text.split('_').collect();
    assert_eq!((parts.len(), parts[0]), (3, "sntrys"));
    // {"iat":...}: base64 of an opening brace and a quote.
    assert!(parts[1].starts_with("eyJ") && parts[2].len() == 43);
    assert_eq!(world.get_as(text, "/api/0/").await.status.as_u16(), 200);
    world.finish().await;
}

#[tokio::test]
async fn concurrent_commands_make_one_of_each_and_lose_none() {
    let world = World::start().await;
    let issue = |n: usize| {
        json!({
            "command": "create-issue", "organization": "acme", "project": "web",
            "title": format!("Problem {}", n % 4),
        })
    };
    let answers = (0..12).map(|n| {
        let (stack, command) = (world.stack.clone(), issue(n));
        tokio::spawn(async move {
            loop {
                // A command that lost too many races says so and is repeated, as a person would.
                if let Ok(answer) = local::seed::operator(&stack, command.clone()).await {
                    return answer;
                }
            }
        })
    });
    let mut ids = std::collections::BTreeSet::new();
    let mut created = 0;
    for answer in answers.collect::<Vec<_>>() {
        let answer = answer.await.unwrap();
        created += usize::from(answer["created"] == true);
        ids.insert(answer["issue"]["short_id"].as_str().unwrap().to_owned());
    }
    let expected = ["WEB-2", "WEB-3", "WEB-4", "WEB-5"].map(str::to_owned);
    assert_eq!((ids.len(), created), (4, 4));
    assert!(ids.iter().eq(expected.iter()), "{ids:?}");
    world.finish().await;
}

#[tokio::test]
async fn a_token_that_has_ended_and_cannot_be_renewed_is_refused() {
    let world = World::start().await;
    let set = |refresh: Option<&str>| {
        json!({
            "command": "set-identity", "organization": "acme", "integration": world.integration(),
            "identity": { "vsts": { "access_token": "a", "refresh_token": refresh, "expires": 3600 } },
        })
    };
    let refused = world.operator_raw(set(None)).await;
    let text = refused["error"]["fields"]["expires"][0].as_str();
    assert!(
        text.is_some_and(|text| text.contains("seconds since 1970")),
        "{refused}"
    );
    assert_eq!(world.operator(set(Some("r"))).await["created"], false);
    world.finish().await;
}
