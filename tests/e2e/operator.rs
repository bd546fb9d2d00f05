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
    assert_eq!(names.len(), 26);
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
async fn a_project_is_shown_with_its_first_key_whatever_the_others_are() {
    let world = World::quiet().await;
    let project = json!({ "command": "create-project", "organization": "acme", "team": "web-team",
        "slug": "shop", "name": "Shop" });
    let first = world.operator(project.clone()).await["dsn"].take();
    let first = first.as_str().expect("a DSN");
    // Keys are drawn: until one comes before the first in the table.
    for n in 0.. {
        let key = json!({ "command": "create-key", "organization": "acme", "project": "shop",
            "name": format!("key {n}") });
        let dsn = world.operator(key).await["dsn"].take();
        if dsn.as_str().expect("a DSN") < first {
            break;
        }
    }
    assert_eq!(world.operator(project).await["dsn"], first);
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

#[tokio::test]
async fn another_token_of_an_identity_leaves_whose_it_is() {
    let world = World::start().await;
    let (integration, before) = (world.integration(), "picket@acme.example");
    let set = |acts_as: Option<Value>| {
        let mut command = json!({
            "command": "set-identity", "organization": "acme", "integration": integration,
            "identity": { "vsts": { "access_token": "a", "refresh_token": "r", "expires": 3600 } },
        });
        if let Some(acts_as) = acts_as {
            command["acts_as"] = acts_as;
        }
        command
    };
    let kept = |world: &World| {
        let mut items = world.items();
        items.retain(|item| item["PK"]["S"] == format!("INTEGRATION#{integration}"));
        let attached = items.iter().find(|item| item["switches"].is_object());
        attached.expect("the organization")["acts_as"]["S"].clone()
    };
    for (acts_as, after) in [
        (Some(json!(before)), json!(before)),
        (None, json!(before)),
        (
            Some(json!("Other@acme.example")),
            json!("other@acme.example"),
        ),
        (Some(Value::Null), Value::Null),
        (None, Value::Null),
    ] {
        let answer = world.operator(set(acts_as.clone())).await;
        assert_eq!(answer["acts_as"], after, "{acts_as:?}");
        assert_eq!(kept(&world), after, "{acts_as:?}");
    }
    world.finish().await;
}

#[tokio::test]
async fn a_token_is_listed_by_its_name_and_refused_once_it_is_revoked() {
    let world = World::start().await;
    let create = |scopes: &[&str]| json!({ "command": "create-token", "organization": "acme", "name": "ci", "scopes": scopes });
    let made = world.operator(create(&["org:ci", "org:read"])).await;
    let text = made["token"]["text"].as_str().expect("a text").to_owned();
    let list = json!({ "command": "list-tokens", "organization": "acme" });
    let listed = world.operator(list.clone()).await;
    let token = &listed["tokens"][0];
    assert_eq!(listed["tokens"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&token["name"], &token["scopes"]),
        (&json!("ci"), &json!(["org:ci", "org:read"]))
    );
    let secret = text.rsplit('_').next().expect("its random part");
    assert!(!listed.to_string().contains(secret));
    // The same scopes are the same token; others are no token that anybody has.
    let again = world.operator(create(&["org:read", "org:ci"])).await;
    assert_eq!(
        (&again["created"], &again["token"]["text"]),
        (&json!(false), &Value::Null)
    );
    for other in [&["org:ci"][..], &["org:ci", "org:read", "org:admin"]] {
        let refused = world.operator_raw(create(other)).await;
        let says = refused["error"]["fields"]["scopes"][0].as_str();
        let says = says.unwrap_or_default();
        let differs = format!("it has org:ci, org:read, not {}.", other.join(", "));
        assert!(
            says.contains(&differs) && says.contains("revoke-token"),
            "{refused}"
        );
    }
    assert_eq!(world.operator(list.clone()).await, listed);

    // A person's token of the same name is another one.
    let own =
        json!({ "command": "create-token", "email": world.bo(), "name": "ci", "scopes": "all" });
    let own = world.operator(own).await["token"]["text"].take();
    let own = own.as_str().expect("a text");
    let mut revoke = json!({ "command": "revoke-token", "organization": "acme", "name": "ci" });
    for revoked in [true, false] {
        assert_eq!(world.operator(revoke.clone()).await["revoked"], revoked);
        assert_eq!(world.get_as(&text, "/api/0/").await.status.as_u16(), 401);
    }
    assert_eq!(world.operator(list).await["tokens"], json!([]));
    assert_eq!(world.get_as(own, "/api/0/").await.status.as_u16(), 200);
    let made = world.operator(create(&["org:ci"])).await;
    assert_eq!(made["created"], true, "the name is free");
    revoke["email"] = world.bo().into();
    let refused = world.operator_raw(revoke).await;
    assert!(refused["error"]["fields"]["email"].is_array(), "{refused}");
    world.finish().await;
}

#[tokio::test]
async fn integrations_are_listed_without_what_nobody_may_see() {
    let world = World::start().await;
    let list = json!({ "command": "list-integrations", "organization": "acme" });
    let listed = world.operator(list).await;
    let mut rows: Vec<_> = listed["integrations"]
        .as_array()
        .expect("a list")
        .iter()
        .collect();
    rows.sort_by_key(|row| row["provider"].to_string());
    let providers: Vec<_> = rows.iter().map(|row| row["provider"].clone()).collect();
    assert_eq!(providers, ["github", "jira_server", "vsts"]);
    let expected = json!({
        "id": world.integration(), "provider": "vsts", "name": "acme", "status": "active",
        "external_id": world.ready.vsts_external_id, "domain_name": "https://dev.azure.com/acme/",
    });
    assert_eq!(*rows[2], expected);
    let beta = json!({ "command": "create-organization", "slug": "beta", "name": "Beta" });
    world.operator(beta).await;
    let list = json!({ "command": "list-integrations", "organization": "beta" });
    assert_eq!(world.operator(list).await["integrations"], json!([]));
    world.finish().await;
}

#[tokio::test]
async fn a_member_is_removed_with_all_that_leads_to_them_unless_nobody_else_owns_the_organization()
{
    let world = World::start().await;
    let (ana, bo) = (world.ana().to_owned(), world.bo().to_owned());
    let remove =
        |email: &str| json!({ "command": "remove-member", "organization": "acme", "email": email });
    let own = json!({ "command": "create-token", "email": bo, "name": "own", "scopes": "all" });
    let own = world.operator(own).await["token"]["text"].take();
    let own = own.as_str().expect("a text");
    let acme = "/api/0/organizations/acme/";
    assert_eq!(world.get_as(own, acme).await.status.as_u16(), 200);
    let before = world.items().len();
    let removed = world.operator(remove(&bo)).await;
    assert_eq!(
        (&removed["removed"], &removed["member"]["role"]),
        (&json!(true), &json!("member"))
    );
    // The membership, its id, its reverse; and a line in the audit log.
    assert_eq!(world.items().len(), before - 3 + 1);
    assert_eq!(world.get_as(own, acme).await.status.as_u16(), 404);
    let again = world.operator(remove(&bo)).await;
    assert_eq!(
        (&again["removed"], world.items().len()),
        (&json!(false), before - 2)
    );
    world.stack.dynamodb().catch_up();
    let members = world
        .get("/api/0/teams/acme/web-team/members/")
        .await
        .json();
    assert_eq!(members.as_array().map(Vec::len), Some(1));
    let log = world
        .get(&format!("{acme}audit-logs/?event=member.remove"))
        .await
        .json();
    let rows = log["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["data"]["user"], world.ready.members[1].id);
    assert_eq!(rows[0]["note"], "removed a member, who was member");

    // An owner who takes no part is none who could go on.
    let add = |email: &str, role: &str| json!({ "command": "add-member", "organization": "acme", "email": email, "role": role });
    let active = |active: bool| json!({ "command": "create-user", "email": bo, "name": "Bo", "active": active });
    world.operator(add(&bo, "owner")).await;
    world.operator(active(false)).await;
    let refused = world.operator_raw(remove(&ana)).await;
    let says = refused["error"]["fields"]["email"][0].as_str();
    assert!(
        says.is_some_and(|says| says.contains("last owner")),
        "{refused}"
    );
    world.operator(active(true)).await;
    // Of two who are removed at once, one stays.
    let both = futures_util::future::join_all([&ana, &bo].map(|email| async {
        loop {
            match world
                .stack
                .invoke("operator", remove(email).to_string())
                .await
            {
                Ok(answer) => return serde_json::from_str::<Value>(&answer).expect("JSON"),
                // It met a fault.
                Err(_) => continue,
            }
        }
    }));
    let both = both.await;
    let removed = both.iter().filter(|answer| answer["removed"] == true);
    assert_eq!(removed.count(), 1, "{both:?}");
    let refused = both.iter().filter(|answer| answer["error"].is_object());
    assert_eq!(refused.count(), 1, "{both:?}");
    let nobody = world.operator_raw(remove("nobody@acme.example")).await;
    assert!(nobody["error"]["fields"]["email"].is_array(), "{nobody}");
    world.finish().await;
}
