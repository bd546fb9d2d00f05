//! What people say they want to hear of, and whom deploys are told to because of it.

use std::collections::BTreeSet;

use hyper::Method;
use local::client::Answer;
use serde_json::{Value, json};
use tests::World;

use crate::{
    api::token,
    deploy_notices::{commit, deploy, release},
    releases::{closed_project, items, project},
};

pub(crate) const MINE: &str = "/api/0/users/me/notification-options/";

fn status(answer: &Answer) -> u16 {
    answer.status.as_u16()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn wish(scope: &str, id: &str, value: &str) -> Value {
    json!({ "type": "deploy", "scopeType": scope, "scopeIdentifier": id, "value": value })
}

/// Says with the seeded token's owner what they want to hear of deploys, and gives the answer.
pub(crate) async fn say(world: &World, scope: &str, id: &str, value: &str) -> Value {
    let answer = world.put(MINE, wish(scope, id, value).to_string()).await;
    assert_eq!(status(&answer), 201, "{}", answer.text());
    answer.json()
}

async fn ids(world: &World) -> Vec<String> {
    let listed = world.get(MINE).await.json();
    let rows = listed.as_array().cloned().unwrap_or_default();
    rows.iter().map(|row| text(&row["id"])).collect()
}

pub(crate) async fn organization(world: &World) -> String {
    text(&world.get("/api/0/organizations/acme/").await.json()["id"])
}

fn person(world: &World, email: &str) -> String {
    let people = world.ready.members.iter().chain(&world.ready.outsider);
    let mut people = people.filter(|person| person.email == email);
    people.next().expect("a seeded person").id.clone()
}

async fn token_of(world: &World, email: &str) -> String {
    token(world, "notify", ("email", email), json!(["org:ci"])).await
}

#[tokio::test]
async fn people_say_what_they_want_to_hear_of() {
    let world = World::start().await;
    let (acme, web) = (
        organization(&world).await,
        world.ready.project_id.clone().expect("a project"),
    );
    let ana = person(&world, world.ana());
    assert_eq!(world.get(MINE).await.json(), json!([]));
    let said = say(&world, "project", &web, "never").await;
    let expected = json!({
        "id": format!("deploy-project-{web}"), "scopeType": "project", "scopeIdentifier": web,
        "type": "deploy", "value": "never", "userId": ana, "teamId": null,
    });
    assert_eq!(said, expected);
    // The same again, and something else of the same, is the same.
    assert_eq!(say(&world, "project", &web, "never").await, expected);
    let said = say(&world, "project", &web, "always").await;
    assert_eq!(said["value"], "always");
    assert_eq!(said["id"], expected["id"]);
    let said = say(&world, "user", &ana, "always").await;
    assert_eq!(said["scopeIdentifier"], json!(ana));
    assert_eq!(
        say(&world, "user", "me", "committed_only").await["id"],
        said["id"]
    );
    say(&world, "organization", &acme, "never").await;

    let listed = world.get(MINE).await.json();
    let row = |id: &str, scope: &str, of: &str, value: &str| {
        json!({ "id": id, "scopeType": scope, "scopeIdentifier": of, "type": "deploy",
            "value": value, "userId": ana, "teamId": null })
    };
    let own = [
        row("deploy-user", "user", &ana, "committed_only"),
        row(
            &format!("deploy-organization-{acme}"),
            "organization",
            &acme,
            "never",
        ),
        row(&format!("deploy-project-{web}"), "project", &web, "always"),
    ];
    assert_eq!(listed, json!(own));
    for path in [
        format!("{MINE}?type=deploy"),
        format!("/api/0/users/{ana}/notification-options/"),
    ] {
        assert_eq!(world.get(&path).await.json(), listed, "{path}");
    }
    assert_eq!(items(&world, "USER#", "NOTIFICATION#").len(), 3);
    for (pk, value) in [
        (format!("ORG#{acme}"), "never"),
        (format!("PROJECT#{web}"), "always"),
    ] {
        let rows = items(&world, &pk, &format!("NOTIFICATION#deploy#USER#{ana}"));
        assert_eq!(
            (rows.len(), &rows[0]["value"]["S"]),
            (1, &json!(value)),
            "{pk}"
        );
    }

    // Somebody else's are their own, whatever their token allows otherwise.
    let bo = token_of(&world, world.bo()).await;
    assert_eq!(world.get_as(&bo, MINE).await.json(), json!([]));
    for id in [format!("deploy-project-{web}"), "deploy-user".to_owned()] {
        let answer = world.delete_as(&bo, &format!("{MINE}{id}/"), "").await;
        assert_eq!(status(&answer), 404, "{id}");
    }
    for id in [
        format!("deploy-project-{web}"),
        "deploy-user".to_owned(),
        format!("deploy-organization-{acme}"),
    ] {
        let path = format!("{MINE}{id}/");
        let answer = world.delete(&path, "").await;
        assert_eq!((status(&answer), answer.text().as_str()), (204, ""), "{id}");
        assert_eq!(status(&world.delete(&path, "").await), 404, "{id}");
    }
    assert_eq!(items(&world, "", "NOTIFICATION#").len(), 0);
    world.finish().await;
}

#[tokio::test]
async fn nothing_is_kept_of_what_nobody_may_say() {
    let world = World::quiet().await;
    closed_project(&world).await;
    world
        .operator(json!({ "command": "create-organization", "slug": "other", "name": "Other" }))
        .await;
    let id = |prefix: &str, name: &str| {
        let found = items(&world, prefix, "META").into_iter();
        let mut found = found.filter(|item| item["slug"]["S"] == name);
        text(&found.next().expect("an item")["id"]["S"])
    };
    let (secret, other) = (id("PROJECT#", "secret"), id("ORG#", "other"));
    let (web, bo) = (id("PROJECT#", "web"), person(&world, world.bo()));
    let no_project = "Not the id of a project that you are in a team of.";
    let no_organization = "Not the id of an organization that you are in.";
    let required = "This field is required.";
    for (body, errors) in [
        (
            json!({ "type": "reports", "scopeType": "team", "scopeIdentifier": "1",
                "value": "sometimes" }),
            json!({ "type": ["\"reports\" is not a valid choice."],
                "scopeType": ["\"team\" is not a valid choice."],
                "value": ["\"sometimes\" is not a valid choice."] }),
        ),
        (
            json!({}),
            json!({ "type": [required], "scopeType": [required], "scopeIdentifier": [required],
                "value": [required] }),
        ),
        (
            json!({ "type": "deploy", "scopeType": "user", "scopeIdentifier": bo, "value": null }),
            json!({ "scopeIdentifier": ["Not your own id."],
                "value": ["This field may not be null."] }),
        ),
        (
            wish("user", &bo, "never"),
            json!({ "scopeIdentifier": ["Not your own id."] }),
        ),
        // Of others, one that is there, one that is not, and what can be none.
        (
            wish("project", &secret, "always"),
            json!({ "scopeIdentifier": [no_project] }),
        ),
        (
            wish("project", "7", "always"),
            json!({ "scopeIdentifier": [no_project] }),
        ),
        (
            wish("project", "web", "always"),
            json!({ "scopeIdentifier": [no_project] }),
        ),
        (
            wish("organization", &other, "never"),
            json!({ "scopeIdentifier": [no_organization] }),
        ),
        (
            wish("organization", "7", "never"),
            json!({ "scopeIdentifier": [no_organization] }),
        ),
        (
            wish("organization", "acme", "never"),
            json!({ "scopeIdentifier": [no_organization] }),
        ),
        (
            json!([]),
            json!({ "non_field_errors": ["Invalid data. Expected a dictionary, but got list."] }),
        ),
    ] {
        let answer = world.put(MINE, body.to_string()).await;
        assert_eq!((status(&answer), answer.json()), (400, errors), "{body}");
    }
    let answer = world.get(&format!("{MINE}?type=reports")).await;
    let errors = json!({ "type": ["\"reports\" is not a valid choice."] });
    assert_eq!((status(&answer), answer.json()), (400, errors));
    for id in [
        "7",
        "deploy",
        "deploy-team-1",
        "deploy-project-7",
        "deploy-user",
    ] {
        let answer = world.delete(&format!("{MINE}{id}/"), "").await;
        assert_eq!(status(&answer), 404, "{id}");
    }

    // Another's, nobody's, and an organization that asks.
    let acme = token(&world, "all", ("organization", "acme"), json!("all")).await;
    let mine = world.ready.auth_token.clone().expect("a token");
    let ana = person(&world, world.ana());
    for (token, user) in [
        (&mine, bo.as_str()),
        (&mine, "7"),
        (&mine, "you"),
        (&acme, "me"),
        (&acme, &ana),
    ] {
        let path = format!("/api/0/users/{user}/notification-options/");
        let (body, one) = (wish("user", user, "never"), format!("{path}deploy-user/"));
        for (method, path, body) in [
            (Method::GET, &path, None),
            (Method::PUT, &path, Some(&body)),
            (Method::DELETE, &one, None),
        ] {
            let answer = world.request_as(token, method, path, body).await;
            let detail = text(&answer.json()["detail"]);
            assert_eq!(status(&answer), 403, "{path}: {detail}");
            assert!(
                detail.contains("Required: a token of the person"),
                "{detail}"
            );
        }
    }
    assert_eq!(status(&world.get_as("nonsense", MINE).await), 401);

    // What was given up is not there any more.
    assert_eq!(
        status(&world.delete("/api/0/projects/acme/web/", "").await),
        204
    );
    let answer = world
        .put(MINE, wish("project", &web, "never").to_string())
        .await;
    let errors = json!({ "scopeIdentifier": [no_project] });
    assert_eq!((status(&answer), answer.json()), (400, errors));
    assert_eq!(items(&world, "", "NOTIFICATION#").len(), 0);
    world.finish().await;
}

#[tokio::test]
async fn a_person_has_a_thousand_settings_at_most() {
    let world = World::quiet().await;
    let ana = person(&world, world.ana());
    let row = |n: usize| {
        let project = 10_000 + n;
        json!({ "PK": { "S": format!("USER#{ana}") },
            "SK": { "S": format!("NOTIFICATION#deploy#project-{project}") },
            "user": { "S": ana }, "type": { "S": "deploy" }, "scope": { "S": "project" },
            "scope_id": { "S": project.to_string() }, "value": { "S": "never" } })
    };
    world.put_items((1..1000).map(row).collect()).await;
    say(&world, "user", &ana, "never").await;
    let acme = organization(&world).await;
    let another = wish("organization", &acme, "never").to_string();
    let answer = world.put(MINE, another.clone()).await;
    let detail = "You have 1000 notification settings, which is the most. \
                  Delete some that you no longer need.";
    assert_eq!(
        (status(&answer), answer.json()),
        (400, json!({ "detail": detail }))
    );
    // Those that are there can be changed, and make room.
    say(&world, "user", &ana, "always").await;
    let listed = ids(&world).await;
    assert_eq!((listed.len(), listed[0].as_str()), (1000, "deploy-user"));
    assert_eq!(
        status(&world.delete(&format!("{MINE}{}/", listed[9]), "").await),
        204
    );
    assert_eq!(status(&world.put(MINE, another).await), 201);
    world.finish().await;
}

/// Deploys a release once more, and gives who is told.
async fn told_of(world: &mut World, version: &str) -> BTreeSet<String> {
    let before = world.mails().len();
    deploy(world, version, json!({})).await;
    world.settle().await;
    let mails = world.mails().split_off(before);
    let to: Vec<_> = mails.into_iter().flat_map(|mail| mail.to).collect();
    let people: BTreeSet<_> = to.iter().cloned().collect();
    assert_eq!(people.len(), to.len(), "one mail to each: {to:?}");
    people
}

#[tokio::test]
async fn a_deploy_is_told_to_those_who_want_to_hear_of_it() {
    let mut world = World::start().await;
    let (ana, bo, cy) = [world.ana(), world.bo(), world.cy()]
        .map(str::to_owned)
        .into();
    let set = |people: &[&String]| {
        people
            .iter()
            .map(|it| (*it).clone())
            .collect::<BTreeSet<_>>()
    };
    let (acme, web) = (
        organization(&world).await,
        world.ready.project_id.clone().expect("a project"),
    );
    let (bos, cys) = (token_of(&world, &bo).await, token_of(&world, &cy).await);
    let says = async |world: &World, token: &str, wish: Value| {
        let answer = world.put_as(token, MINE, wish.to_string()).await;
        assert_eq!(status(&answer), 201, "{}", answer.text());
    };
    project(&world, "api", "web-team").await;
    let commits = json!([commit("abc", &ana)]);
    release(&world, "web@1.0", json!({ "commits": commits })).await;
    release(
        &world,
        "both@1.0",
        json!({ "commits": commits, "projects": ["web", "api"] }),
    )
    .await;

    // Who said nothing hears of their own commits.
    assert_eq!(told_of(&mut world, "web@1.0").await, set(&[&ana]));
    // Cy wants all, and sees nothing.
    says(&world, &cys, wish("user", "me", "always")).await;
    says(&world, &bos, wish("user", "me", "always")).await;
    say(&world, "project", &web, "never").await;
    assert_eq!(told_of(&mut world, "web@1.0").await, set(&[&bo]));
    let mail = world.mails().pop().expect("a mail");
    let why = "because you asked to hear of its deploys.";
    assert!(mail.text.expect("a text").contains(why));
    // Of the other project Ana did not say so.
    assert_eq!(told_of(&mut world, "both@1.0").await, set(&[&ana, &bo]));
    // The organization before all, the project before the organization.
    says(&world, &bos, wish("organization", &acme, "never")).await;
    assert_eq!(told_of(&mut world, "web@1.0").await, set(&[]));
    says(&world, &bos, wish("project", &web, "always")).await;
    say(&world, "project", &web, "committed_only").await;
    assert_eq!(told_of(&mut world, "web@1.0").await, set(&[&ana, &bo]));
    say(&world, "user", "me", "never").await;
    let path = format!("{MINE}deploy-project-{web}/");
    assert_eq!(status(&world.delete(&path, "").await), 204);
    assert_eq!(told_of(&mut world, "web@1.0").await, set(&[&bo]));

    // Who is out hears nothing, nor does who did not prove where they are to be told.
    let user = |verified: bool, active: bool| {
        json!({ "command": "create-user", "email": bo, "name": "Bo Li", "verified": verified,
            "active": active })
    };
    for (verified, active) in [(false, true), (true, false)] {
        world.operator(user(verified, active)).await;
        assert_eq!(
            told_of(&mut world, "web@1.0").await,
            set(&[]),
            "{verified} {active}"
        );
    }
    world.operator(user(true, true)).await;
    assert_eq!(told_of(&mut world, "web@1.0").await, set(&[&bo]));
    let member = format!("MEMBER#{}", person(&world, &bo));
    world
        .remove_items(items(&world, &format!("ORG#{acme}"), &member))
        .await;
    assert_eq!(told_of(&mut world, "web@1.0").await, set(&[]));
    world.finish().await;
}
