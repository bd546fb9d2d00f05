//! Organizations: their settings, their names, and how they go.

use std::collections::{BTreeMap, BTreeSet};

use hyper::Method;
use local::client::Answer;
use serde_json::{Value, json};
use tests::World;

use crate::{
    api::token,
    notification_options::{self, MINE, say},
    pictures,
};

const ACME: &str = "/api/0/organizations/acme/";

async fn put(world: &World, body: Value) -> (u16, Value) {
    put_at(world, ACME, body).await
}

async fn put_at(world: &World, path: &str, body: Value) -> (u16, Value) {
    let answer = world.send(Method::PUT, path, Some(&body)).await;
    (answer.status.as_u16(), answer.json())
}

/// Changes something, and gives the organization then.
async fn set(world: &World, body: Value) -> Value {
    let (status, answer) = put(world, body.clone()).await;
    assert_eq!(status, 200, "{body}: {answer}");
    answer
}

/// The lines of an organization's audit log about itself, newest first, as (event, data).
async fn told(world: &World, slug: &str) -> Vec<(String, Value)> {
    world.stack.dynamodb().catch_up();
    let path = format!("/api/0/organizations/{slug}/audit-logs/");
    let mut rows = world.get(&path).await.json()["rows"].take();
    let rows = rows.as_array_mut().expect("rows").iter_mut();
    let row = |row: &mut Value| (text(&row["event"]), row["data"].take());
    let of_itself = |(event, _): &(String, Value)| event.starts_with("org.");
    rows.map(row).filter(of_itself).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn status(answer: &Answer) -> u16 {
    answer.status.as_u16()
}

#[tokio::test]
async fn all_settings_are_changed_at_once_and_told_in_one_line() {
    let world = World::start().await;
    let shown = world.get(ACME).await.json();
    for (field, default) in [
        ("openMembership", json!(true)),
        ("allowSharedIssues", json!(true)),
        ("storeCrashReports", json!(0)),
        ("sensitiveFields", json!([])),
        ("relayPiiConfig", Value::Null),
        ("attachmentsRole", json!("member")),
        ("debugFilesRole", json!("admin")),
        ("apdexThreshold", Value::Null),
        ("projectRateLimit", json!(100)),
        ("defaultRole", json!("member")),
        ("role", json!("owner")),
        ("targetSampleRate", json!(1.0)),
        ("status", json!({ "id": "active", "name": "active" })),
    ] {
        assert_eq!(shown[field], default, "{field}");
    }
    assert_eq!(shown["teams"][0]["slug"], "web-team");
    assert_eq!(shown["projects"][0]["slug"], "web");
    assert_eq!(shown["projects"][0]["teams"][0]["slug"], "web-team");
    let brief = world.get(&format!("{ACME}?detailed=0")).await.json();
    assert_eq!(brief.get("teams").or(brief.get("projects")), None);
    assert_eq!(brief["openMembership"], true);

    let wanted = json!({
        "name": " Acme Inc ",
        "defaultRole": "admin",
        "openMembership": false,
        "allowSharedIssues": false,
        "isEarlyAdopter": true,
        "dataScrubber": true,
        "scrapeJavaScript": true,
        "sensitiveFields": ["card", "pin"],
        "safeFields": ["$string", "extra.'a b'"],
        "storeCrashReports": -1,
        "attachmentsRole": "manager",
        "relayPiiConfig": "{\"applications\": {\"$string\": [\"@ip\"]}}",
        "apdexThreshold": 300,
        "unknown": 1,
    });
    let after = set(&world, wanted.clone()).await;
    assert_eq!(after["name"], "Acme Inc");
    for (field, value) in wanted.as_object().expect("fields") {
        if !["name", "unknown"].contains(&field.as_str()) {
            assert_eq!(after[field], *value, "{field}");
        }
    }
    let changes = json!({
        "name": "from Acme to Acme Inc",
        "default_role": "from member to admin",
        "allow_joinleave": "to False",
        "disable_shared_issues": "to True",
        "early_adopter": "to True",
        "dataScrubber": "to True",
        "sensitiveFields": "to ['card', 'pin']",
        "safeFields": "to ['$string', 'extra.\\'a b\\'']",
        "storeCrashReports": "to -1",
        "attachmentsRole": "to manager",
        "relayPiiConfig": "to {\"applications\": {\"$string\": [\"@ip\"]}}",
        "apdexThreshold": "to 300",
    });
    let first = ("org.edit".to_owned(), changes);
    assert_eq!(told(&world, "acme").await[0], first);
    assert_eq!(
        world.get(ACME).await.json()["safeFields"],
        wanted["safeFields"]
    );

    let (status, _) = put(&world, json!({ "safeFields": [""] })).await;
    assert_eq!(status, 400);
    assert_eq!(
        world.get(ACME).await.json()["safeFields"],
        wanted["safeFields"],
        "what was stored stays"
    );

    // What changes nothing is not told.
    set(&world, wanted).await;
    for nothing in [
        json!({}),
        json!({ "unknown": 1 }),
        json!({ "githubPRBot": true }),
    ] {
        set(&world, nothing).await;
    }
    assert_eq!(told(&world, "acme").await[0], first);
    let cleared = json!({ "sensitiveFields": [], "relayPiiConfig": "", "githubPRBot": false });
    let cleared = set(&world, cleared).await;
    assert_eq!(cleared["sensitiveFields"], json!([]));
    let changes = json!({
        "sensitiveFields": "from ['card', 'pin'] to []",
        "relayPiiConfig": "from {\"applications\": {\"$string\": [\"@ip\"]}} to None",
        // The default was written down before.
        "githubPRBot": "from True to False",
    });
    assert_eq!(told(&world, "acme").await[0].1, changes);
    world.finish().await;
}

#[tokio::test]
async fn every_option_and_flag_is_set_under_its_name_and_told_under_that_of_the_audit_log() {
    let world = World::start().await;
    let switches = [
        ("dataScrubberDefaults", true, None),
        ("eventsMemberAdmin", false, None),
        ("alertsMemberWrite", false, None),
        ("scrubIPAddresses", true, None),
        ("scrapeJavaScript", false, None),
        ("allowJoinRequests", false, None),
        ("aiSuggestedSolution", false, None),
        ("hideAiFeatures", true, None),
        ("autofixEnabled", true, None),
        ("githubPRBot", false, None),
        ("githubOpenPRBot", false, None),
        ("githubNudgeInvite", false, None),
        ("issueAlertsThreadFlag", false, None),
        ("metricAlertsThreadFlag", false, None),
        ("metricsActivatePercentiles", false, None),
        ("metricsActivateLastForGauges", true, None),
        ("uptimeAutodetection", false, None),
        ("rollbackEnabled", false, None),
        ("enhancedPrivacy", true, Some("enhanced_privacy")),
        (
            "allowMemberProjectCreation",
            false,
            Some("disable_member_project_creation"),
        ),
        (
            "allowSuperuserAccess",
            false,
            Some("prevent_superuser_access"),
        ),
        ("allowMemberInvite", false, Some("disable_member_invite")),
    ];
    let mut wanted = json!({ "debugFilesRole": "owner" });
    let mut said = json!({ "debugFilesRole": "to owner" });
    for (field, value, flag) in switches {
        wanted[field] = value.into();
        // Flags that clients know by their opposite are told as they are kept.
        let kept = value || flag.is_some();
        said[flag.unwrap_or(field)] = if kept { "to True" } else { "to False" }.into();
    }
    let before = world.get(ACME).await.json();
    for (field, value, _) in switches {
        assert_eq!(before[field], !value, "{field}");
    }
    let after = set(&world, wanted.clone()).await;
    for (field, value) in wanted.as_object().expect("fields") {
        assert_eq!(after[field], *value, "{field}");
    }
    assert_eq!(told(&world, "acme").await[0], ("org.edit".to_owned(), said));
    // What an installation has no plan for is refused in any words.
    for word in [json!(true), json!("true"), json!(1), json!("On")] {
        let (status, answer) = put(&world, json!({ "codecovAccess": word })).await;
        assert_eq!(status, 403, "{word}: {answer}");
    }
    world.finish().await;
}

#[tokio::test]
async fn what_is_wrong_with_settings_is_said_of_each_and_nothing_is_kept() {
    let world = World::start().await;
    world
        .operator(json!({ "command": "create-organization", "slug": "beta", "name": "Beta" }))
        .await;
    let before = world.items();
    for (body, field, says) in [
        (json!({ "name": "" }), "name", "may not be blank"),
        (json!({ "name": null }), "name", "may not be null"),
        (
            json!({ "name": "n".repeat(65) }),
            "name",
            "no more than 64 characters",
        ),
        (json!({ "slug": "beta" }), "slug", "already in use"),
        (json!({ "slug": "billing" }), "slug", "reserved"),
        (json!({ "slug": "foo-bar " }), "slug", "valid slug"),
        (json!({ "slug": "downtown_canada" }), "slug", "valid slug"),
        (json!({ "slug": "a" }), "slug", "valid slug"),
        (json!({ "slug": "canada-" }), "slug", "valid slug"),
        (json!({ "slug": "-canada" }), "slug", "valid slug"),
        (json!({ "slug": "----" }), "slug", "valid slug"),
        (json!({ "slug": "1234" }), "slug", "valid slug"),
        (json!({ "slug": "bird-company!" }), "slug", "valid slug"),
        (
            json!({ "projectRateLimit": 60 }),
            "projectRateLimit",
            "legacy",
        ),
        (
            json!({ "accountRateLimit": null }),
            "accountRateLimit",
            "legacy",
        ),
        (
            json!({ "storeCrashReports": 101 }),
            "storeCrashReports",
            "less than or equal to 100",
        ),
        (
            json!({ "storeCrashReports": -2 }),
            "storeCrashReports",
            "greater than or equal to -1",
        ),
        (
            json!({ "storeCrashReports": "x" }),
            "storeCrashReports",
            "valid integer",
        ),
        (
            json!({ "apdexThreshold": 0 }),
            "apdexThreshold",
            "greater than or equal to 1",
        ),
        (
            json!({ "apdexThreshold": null }),
            "apdexThreshold",
            "valid integer",
        ),
        (
            json!({ "dataScrubber": "maybe" }),
            "dataScrubber",
            "valid boolean",
        ),
        (
            json!({ "openMembership": null }),
            "openMembership",
            "may not be null",
        ),
        (
            json!({ "attachmentsRole": "" }),
            "attachmentsRole",
            "not a valid choice",
        ),
        (
            json!({ "debugFilesRole": "boss" }),
            "debugFilesRole",
            "not a valid choice",
        ),
        (
            json!({ "defaultRole": "boss" }),
            "defaultRole",
            "not a valid choice",
        ),
        (
            json!({ "safeFields": "email" }),
            "safeFields",
            "Expected a list",
        ),
        (
            json!({ "safeFields": [""] }),
            "safeFields",
            "may not be blank",
        ),
        (
            json!({ "safeFields": ["a b"] }),
            "safeFields",
            "not a valid selector",
        ),
        (
            json!({ "sensitiveFields": [""] }),
            "sensitiveFields",
            "may not be blank",
        ),
        (
            json!({ "sensitiveFields": ["x".repeat(2_000), "y".repeat(2_001)] }),
            "sensitiveFields",
            "no more than 4000 characters",
        ),
        (
            json!({ "relayPiiConfig": "{" }),
            "relayPiiConfig",
            "document of rules",
        ),
        (
            json!({ "relayPiiConfig": "[]" }),
            "relayPiiConfig",
            "document of rules",
        ),
        (json!({ "require2FA": true }), "require2FA", "yourself"),
        (
            json!({ "trustedRelays": [] }),
            "trustedRelays",
            "feature \"relay\"",
        ),
        (
            json!({ "targetSampleRate": 0.5 }),
            "targetSampleRate",
            "feature",
        ),
        (
            json!({ "samplingMode": "project" }),
            "samplingMode",
            "feature",
        ),
        (
            json!([]),
            "non_field_errors",
            "Expected a dictionary, but got list",
        ),
    ] {
        let mut body = body;
        if let Some(fields) = body.as_object_mut() {
            // Would be changed if anything were.
            fields.insert("enhancedPrivacy".to_owned(), true.into());
        }
        let (status, answer) = put(&world, body.clone()).await;
        assert_eq!(status, 400, "{body}");
        let fields = answer.as_object().expect("fields");
        assert_eq!(fields.keys().collect::<Vec<_>>(), [field], "{body}");
        let message = text(&answer[field][0]);
        assert!(message.contains(says), "{body}: {message}");
    }
    let both = json!({ "slug": "a", "storeCrashReports": 101 });
    let (_, both) = put(&world, both).await;
    assert_eq!(both.as_object().map(|it| it.len()), Some(2), "{both}");
    // Whoever has no plan learns that before anything else.
    let body = json!({ "codecovAccess": true, "slug": "a" });
    let (status, answer) = put(&world, body).await;
    assert!(text(&answer["detail"]).contains("plan"), "{answer}");
    assert_eq!((status, world.items()), (403, before));
    // These are no wishes for something that is not there.
    let body = json!({
        "require2FA": false, "codecovAccess": false, "avatarType": "letter_avatar", "slug": "",
    });
    set(&world, body).await;
    world.finish().await;
}

#[tokio::test]
async fn owners_set_more_than_managers_and_members_nothing() {
    let world = World::start().await;
    let bo = world.bo().to_owned();
    let role = |role: &str| {
        let email = &bo;
        json!({ "command": "set-role", "organization": "acme", "email": email, "role": role })
    };
    world.operator(role("manager")).await;
    let manager = token(&world, "manager", ("email", &bo), json!("all")).await;
    let body = json!({ "defaultRole": "boss", "cancelDeletion": 7, "name": "By a manager" });
    let answer = world
        .request_as(&manager, Method::PUT, ACME, Some(&body))
        .await;
    assert_eq!(status(&answer), 200, "{}", answer.text());
    let shown = answer.json();
    assert_eq!(
        (&shown["defaultRole"], &shown["name"], &shown["role"]),
        (&json!("member"), &json!("By a manager"), &json!("manager"))
    );
    let answer = world.request_as(&manager, Method::DELETE, ACME, None).await;
    assert_eq!(status(&answer), 403);
    world.operator(role("member")).await;
    let body = json!({ "name": "By a member" });
    let answer = world
        .request_as(&manager, Method::PUT, ACME, Some(&body))
        .await;
    assert_eq!(status(&answer), 403);
    // What an organization gives its programs is not enough to give the organization up.
    let own = token(
        &world,
        "own",
        ("organization", "acme"),
        json!(["org:admin"]),
    )
    .await;
    let answer = world.request_as(&own, Method::DELETE, ACME, None).await;
    assert_eq!(status(&answer), 403, "{}", answer.text());
    let body = json!({ "defaultRole": "manager" });
    let answer = world.request_as(&own, Method::PUT, ACME, Some(&body)).await;
    assert_eq!(status(&answer), 200, "{}", answer.text());
    // The token may not read all of it, so it is shown what lists show.
    let writes = token(
        &world,
        "writes",
        ("organization", "acme"),
        json!(["org:write"]),
    )
    .await;
    let shown = world.get_as(&writes, ACME).await.json();
    assert_eq!(
        (&shown["slug"], shown.get("defaultRole")),
        (&json!("acme"), None)
    );
    world.finish().await;
}

#[tokio::test]
async fn legacy_rates_are_for_those_who_have_one() {
    let world = World::quiet().await;
    let id = text(&world.get(ACME).await.json()["id"]);
    let options = json!({ "sentry:account-rate-limit": { "N": "5" } });
    world
        .put_items(vec![json!({
            "PK": { "S": format!("ORG#{id}") }, "SK": { "S": "SETTINGS" }, "ver": { "N": "1" },
            "options": { "M": options }, "trusted_relays": { "L": [] },
        })])
        .await;
    let (status, answer) = put(&world, json!({ "projectRateLimit": 1000 })).await;
    assert_eq!(status, 400, "{answer}");
    let after = set(
        &world,
        json!({ "projectRateLimit": 60, "accountRateLimit": "" }),
    )
    .await;
    let quota = json!({
        "maxRate": null, "maxRateInterval": 60, "accountLimit": null, "projectLimit": 60,
    });
    assert_eq!(after["quota"], quota);
    let changes = json!({ "accountRateLimit": "from 5 to None", "projectRateLimit": "to 60" });
    assert_eq!(told(&world, "acme").await[0].1, changes);
    world.finish().await;
}

#[tokio::test]
async fn relays_are_trusted_by_key_where_the_feature_is_on() {
    let world = World::start().await;
    world
        .operator(json!({
            "command": "set-feature", "organization": "acme", "feature": "relay", "enabled": true,
        }))
        .await;
    let features = "from ['integrations-issue-basic', 'integrations-issue-sync'] to \
                    ['integrations-issue-basic', 'integrations-issue-sync', 'relay']";
    assert_eq!(told(&world, "acme").await[0].1["features"], features);
    let (a, b) = ("a".repeat(43), "b".repeat(43));
    let relay = |name: &str, key: &str| json!({ "name": name, "publicKey": key, "created": 1 });
    for (relays, says) in [
        (json!([relay("x", &a), relay("y", &a)]), a.as_str()),
        (json!("x"), "Expected a list"),
    ] {
        let (status, answer) = put(&world, json!({ "trustedRelays": relays })).await;
        assert_eq!(status, 400);
        assert!(text(&answer["trustedRelays"][0]).contains(says), "{answer}");
    }
    for (item, field) in [(relay(" ", &a), "name"), (relay("x", "short"), "publicKey")] {
        let (status, answer) = put(&world, json!({ "trustedRelays": [item] })).await;
        assert_eq!(status, 400);
        assert!(answer["trustedRelays"][field].is_array(), "{answer}");
    }
    let first = set(&world, json!({ "trustedRelays": [relay("x", &a)] })).await;
    let line = text(&told(&world, "acme").await[0].1["trustedRelays"]);
    assert!(line.starts_with("to ['x (aaa"), "{line}");
    world.stack.clock().advance(5_000);
    let body = json!({ "trustedRelays": [relay("y", &b), relay("z", &a)] });
    let second = set(&world, body).await["trustedRelays"].take();
    let first = &first["trustedRelays"][0];
    assert_eq!(second[1]["created"], first["created"]);
    assert_ne!(second[1]["lastModified"], first["lastModified"]);
    assert_eq!(
        (&second[0]["name"], &second[0]["description"]),
        (&json!("y"), &Value::Null)
    );
    let line = text(&told(&world, "acme").await[0].1["trustedRelays"]);
    assert!(
        line.starts_with("from ['x (aaa") && line.contains("'y (bbb"),
        "{line}"
    );
    world.stack.clock().advance(5_000);
    let body = json!({ "trustedRelays": [relay("w", &b), relay("z", &a)] });
    let third = set(&world, body).await["trustedRelays"].take();
    assert_eq!(
        third[1], second[1],
        "one that stays as it is keeps its dates"
    );
    assert_ne!(third[0]["lastModified"], second[0]["lastModified"]);
    let none = set(&world, json!({ "trustedRelays": [] })).await;
    assert_eq!(none["trustedRelays"], json!([]));
    world.finish().await;
}

#[tokio::test]
async fn an_organization_is_found_under_the_slug_that_it_had_until_another_has_it() {
    let world = World::start().await;
    let ci = token(&world, "ci", ("organization", "acme"), json!(["org:ci"])).await;
    let renamed = set(&world, json!({ "slug": "AcMe-Inc", "name": "Acme Inc" })).await;
    assert_eq!(renamed["slug"], "acme-inc");
    let changes = json!({ "name": "from Acme to Acme Inc", "slug": "from acme to acme-inc" });
    assert_eq!(told(&world, "acme-inc").await[0].1, changes);
    // Tokens of CI carry the old one.
    for path in [
        "/api/0/organizations/acme/releases/",
        "/api/0/organizations/Acme-Inc/releases/",
    ] {
        let answer = world.get_as(&ci, path).await;
        assert_eq!(status(&answer), 200, "{}", answer.text());
    }
    let made = json!({ "command": "create-organization", "slug": "acme", "name": "Another" });
    assert_eq!(world.operator(made).await["created"], true);
    let answer = world
        .get_as(&ci, "/api/0/organizations/acme/releases/")
        .await;
    assert_eq!(status(&answer), 404, "it is another one's now");
    let (status, answer) = put_at(
        &world,
        "/api/0/organizations/acme-inc/",
        json!({ "slug": "acme" }),
    )
    .await;
    let says = json!({ "slug": ["The slug \"acme\" is already in use."] });
    assert_eq!((status, answer), (400, says));
    // And back to one that it had, which leads nowhere else then.
    let path = "/api/0/organizations/acme-inc/";
    let (_, there) = put_at(&world, path, json!({ "slug": "acme-two" })).await;
    assert_eq!(there["slug"], "acme-two");
    let (_, back) = put_at(&world, path, json!({ "slug": "acme-inc" })).await;
    assert_eq!(back["slug"], "acme-inc");
    let leads = world.items().into_iter().filter(|item| {
        let key = text(&item["PK"]["S"]);
        key.starts_with("FORMER_ORG_SLUG#")
    });
    let leads: Vec<_> = leads.map(|item| text(&item["PK"]["S"])).collect();
    assert_eq!(leads.len(), 2, "{leads:?}");
    for (from, to, kept) in [
        ("acme-inc", "1234-foo", "1234-foo"),
        ("1234-foo", "SaNtRy", "santry"),
    ] {
        let path = format!("/api/0/organizations/{from}/");
        let (status, after) = put_at(&world, &path, json!({ "slug": to })).await;
        assert_eq!((status, &after["slug"]), (200, &json!(kept)));
    }
    world.finish().await;
}

/// An organization with something of everything, owned by the first seeded member.
async fn beta(world: &World) -> String {
    let ana = world.ana().to_owned();
    for command in [
        json!({ "command": "create-organization", "slug": "beta", "name": "Beta" }),
        json!({ "command": "create-team", "organization": "beta", "slug": "all", "name": "All" }),
        json!({ "command": "add-member", "organization": "beta", "email": ana, "role": "owner",
            "teams": ["all"] }),
        json!({ "command": "create-repository", "organization": "beta", "name": "acme/web",
            "provider": "git", "url": "https://git.example/acme/web" }),
        json!({ "command": "create-integration", "organization": "beta", "provider": "vsts",
            "external_id": "beta-1", "name": "Beta", "domain_name": "https://dev.azure.com/beta/" }),
    ] {
        world.operator(command).await;
    }
    for command in [
        json!({ "command": "create-project", "organization": "beta", "team": "all", "slug": "one",
            "name": "One" }),
        json!({ "command": "create-issue", "organization": "beta", "project": "one",
            "title": "Problem" }),
    ] {
        world.operator(command).await;
    }
    let commit = |n: usize| {
        json!({ "id": format!("{n:040}"), "repository": "acme/web", "author_name": "Ann",
            "author_email": "ann@example.com", "message": "m" })
    };
    let release = json!({ "version": "1.0", "projects": ["one"],
        "commits": (0..3).map(commit).collect::<Vec<_>>() });
    let base = "/api/0/organizations/beta";
    for (path, body) in [
        (format!("{base}/releases/"), release),
        (
            format!("{base}/releases/1.0/deploys/"),
            json!({ "environment": "production" }),
        ),
    ] {
        let answer = world.post_json(&path, &body).await;
        assert_eq!(status(&answer), 201, "{}", answer.text());
    }
    put_at(
        world,
        &format!("{base}/"),
        json!({ "slug": "beta-two", "dataScrubber": true }),
    )
    .await;
    put_at(world, "/api/0/organizations/beta-two/", pictures::upload()).await;
    token(world, "ci", ("organization", "beta-two"), json!(["org:ci"])).await;
    let id = text(&world.get("/api/0/organizations/beta-two/").await.json()["id"]);
    let project = world.get("/api/0/projects/beta-two/one/").await.json()["id"].take();
    say(world, "organization", &id, "never").await;
    say(world, "project", &text(&project), "never").await;
    id
}

fn kinds(items: &[Value]) -> BTreeMap<String, usize> {
    let kind = |value: &Value| {
        let text = text(&value["S"]);
        text.split('#').next().unwrap_or_default().to_owned()
    };
    let mut kinds = BTreeMap::new();
    for item in items {
        let kind = format!("{} {}", kind(&item["PK"]), kind(&item["SK"]));
        *kinds.entry(kind).or_default() += 1;
    }
    kinds
}

#[tokio::test]
async fn an_organization_goes_a_day_after_it_was_given_up_with_all_that_it_has() {
    let mut world = World::quiet().await;
    let acme = notification_options::organization(&world).await;
    say(&world, "organization", &acme, "always").await;
    say(&world, "user", "me", "never").await;
    let settings = world.get(MINE).await.json();
    let before = world.items();
    beta(&world).await;
    let path = "/api/0/organizations/beta-two/";
    for _ in 0..2 {
        let answer = world.delete(path, "").await;
        let shown = (status(&answer), answer.json()["status"]["id"].take());
        assert_eq!(shown, (202, json!("pending_deletion")));
    }
    let removed = told(&world, "beta-two").await;
    let removed = removed.iter().filter(|(event, _)| event == "org.remove");
    assert_eq!(removed.count(), 1, "one schedule, told once");
    // It works as before.
    let releases = format!("{path}releases/");
    assert_eq!(status(&world.get(&releases).await), 200);
    let log = world.get(&format!("{path}audit-logs/")).await.json();
    let removal = log["rows"].as_array().expect("rows").iter();
    let mut removal = removal.filter(|row| row["event"] == "org.remove");
    let removal = removal.next().expect("the removal");
    assert_eq!(removal["ipAddress"], "127.0.0.1");
    world.settle().await;
    // Its owners were told, each once.
    let mails = world.mails();
    let [mail] = mails.as_slice() else {
        panic!("one mail: {mails:?}");
    };
    assert_eq!(mail.to, [world.ana()]);
    assert_eq!(mail.subject, "[Picket] Organization Queued for Deletion");
    let told = mail.text.as_deref().expect("a text");
    for fact in [
        "Beta is to be deleted, with all of its projects.",
        "Asked for by: Ana Ruiz (ana@acme.example)",
        "From: 127.0.0.1",
        &format!("At: {}", text(&removal["dateCreated"])),
        &format!(
            "PUT of {{\"cancelDeletion\": true}} to {}{path}",
            world.ready.base_url
        ),
    ] {
        assert!(told.contains(fact), "{fact} in {told}");
    }
    for path in [path, &releases, "/api/0/organizations/beta/"] {
        assert_eq!(status(&world.get(path).await), 404, "{path}");
    }
    let before: BTreeSet<_> = before.iter().map(Value::to_string).collect();
    let after = world.items();
    let new = |item: &&Value| !before.contains(&item.to_string());
    let left: Vec<_> = after.iter().filter(new).cloned().collect();
    let mut left = kinds(&left);
    // Written by the minute's look where the cache is.
    left.remove("CONFIG REDIS");
    let expected = [
        // What is known of deletions for some time, and of what is gone for good.
        ("ORG DELETION", 1),
        ("TOMBSTONE META", 1),
        ("MAIL TO", 1),
        // The tracker may serve others.
        ("INTEGRATION META", 1),
        ("INTEGRATION_KEY INTEGRATION", 1),
    ];
    let expected = expected
        .map(|(kind, count)| (kind.to_owned(), count))
        .into();
    assert_eq!(left, expected);
    assert_eq!(world.get(MINE).await.json(), settings);
    // Its names are free.
    for slug in ["beta", "beta-two"] {
        let made = json!({ "command": "create-organization", "slug": slug, "name": "New" });
        assert_eq!(world.operator(made).await["created"], true);
    }
    world.finish().await;
}

#[tokio::test]
async fn an_organization_does_not_wait_for_projects_that_were_to_go_later() {
    const MINUTE: i64 = 60_000;
    let mut world = World::deployed_with(&[("DeletionDelayHours", "48")]).await;
    let id = beta(&world).await;
    let path = "/api/0/organizations/beta-two/";
    let answer = world.delete("/api/0/projects/beta-two/one/", "").await;
    assert_eq!(status(&answer), 204);
    assert_eq!(status(&world.delete(path, "").await), 202);
    let is_there = |world: &World| {
        let partition = format!("ORG#{id}");
        let meta = |item: &Value| item["PK"]["S"] == partition && item["SK"]["S"] == "META";
        world.items().iter().any(meta)
    };
    world.stack.clock().advance(24 * 60 * MINUTE);
    let mut hidden = 0;
    for _ in 0..40 {
        world.settle_now().await;
        if !is_there(&world) {
            break;
        }
        // Hidden, it can be restored and not changed.
        if status(&world.get(path).await) == 404 {
            let (status, _) = put_at(&world, path, json!({ "name": "Other" })).await;
            assert_eq!(status, 404);
            hidden += 1;
        }
        world.stack.clock().advance(15 * MINUTE);
        world.stack.step_schedules().await.expect("the schedules");
    }
    assert!(!is_there(&world), "ten hours after it began");
    assert!(hidden > 0);
    world.settle().await;
    world.finish().await;
}

#[tokio::test]
async fn an_owner_restores_an_organization_that_was_given_up() {
    let mut world = World::start().await;
    let before = kinds(&world.items());
    let answer = world.delete(ACME, "").await;
    assert_eq!(status(&answer), 202, "{}", answer.text());
    // Without the wish to keep it, it is changed and goes all the same.
    let after = set(&world, json!({ "name": "Acme Inc" })).await;
    assert_eq!(after["status"]["id"], "pending_deletion");
    let after = set(&world, json!({ "cancelDeletion": true })).await;
    assert_eq!(after["status"], json!({ "id": "active", "name": "active" }));
    let told = told(&world, "acme").await;
    let events: Vec<_> = told.iter().map(|(event, _)| event.as_str()).collect();
    assert_eq!(events[..3], ["org.restore", "org.edit", "org.remove"]);
    assert_eq!(told[0].1["status"], "active");
    // The mail finds nothing to tell any more, the message of the day after nothing to do.
    world.settle().await;
    assert_eq!(world.mails().len(), 0);
    let kind = |kind: &String| kind.contains("DELETION");
    assert!(!kinds(&world.items()).keys().any(kind));
    assert_eq!(status(&world.get("/api/0/projects/acme/web/").await), 200);
    let after = kinds(&world.items());
    for (kind, count) in before {
        let more = if kind == "ORG AUDIT" { 3 } else { 0 };
        assert_eq!(after.get(&kind), Some(&(count + more)), "{kind}");
    }
    world.finish().await;
}
