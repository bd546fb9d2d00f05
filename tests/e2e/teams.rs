//! Teams and members, and what a role allows.

use hyper::Method;
use serde_json::{Value, json};
use tests::World;

use crate::{api::token, issue_update::closed};

const TEAMS: &str = "/api/0/organizations/acme/teams/";

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// The membership's id of somebody with this address.
async fn member(world: &World, email: &str) -> String {
    world.stack.dynamodb().catch_up();
    let members = world.get("/api/0/organizations/acme/members/").await.json();
    let mut all = members.as_array().unwrap().iter();
    let found = all.find(|member| member["email"] == email);
    text(found.expect("a member"), "id").to_owned()
}

async fn events(world: &World, query: &str) -> Vec<String> {
    world.stack.dynamodb().catch_up();
    let path = format!("/api/0/organizations/acme/audit-logs/?{query}");
    let rows = world.get(&path).await.json()["rows"].take();
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| text(row, "event").to_owned()).collect()
}

#[tokio::test]
async fn a_team_is_made_listed_shown_and_renamed_and_its_maker_is_in_it() {
    let world = World::start().await;
    let answer = world
        .post_json(TEAMS, &json!({ "name": "Äpps & Co" }))
        .await;
    assert_eq!(answer.status.as_u16(), 201, "{}", answer.text());
    let team = answer.json();
    assert_eq!(
        (text(&team, "slug"), text(&team, "name")),
        ("apps-co", "Äpps & Co")
    );
    assert_eq!(team["isMember"], true);
    let again = world
        .post_json(TEAMS, &json!({ "name": "Äpps & Co" }))
        .await;
    let again = again.json()["slug"].take();
    assert!(again.as_str().unwrap().starts_with("apps-co-"), "{again}");
    let slug_alone = world.post_json(TEAMS, &json!({ "slug": "ops" })).await;
    assert_eq!(text(&slug_alone.json(), "name"), "ops");
    let taken = world
        .post_json(TEAMS, &json!({ "name": "x", "slug": "ops" }))
        .await;
    let conflict = json!({ "detail": "A team with this slug already exists." });
    assert_eq!((taken.status.as_u16(), taken.json()), (409, conflict));
    let empty = world.post_json(TEAMS, &json!({})).await;
    let error = json!({ "non_field_errors": ["Name or slug is required"] });
    assert_eq!((empty.status.as_u16(), empty.json()), (400, error));

    world.stack.dynamodb().catch_up();
    let rows = world.get(TEAMS).await.json();
    let rows: Vec<_> = rows.as_array().unwrap().iter().collect();
    let slugs: Vec<_> = rows.iter().map(|row| text(row, "slug")).collect();
    assert_eq!(
        slugs,
        ["apps-co", again.as_str().unwrap(), "ops", "web-team"]
    );
    let counts: Vec<_> = rows.iter().map(|row| row["memberCount"].as_u64()).collect();
    assert_eq!(counts, [Some(1), Some(1), Some(1), Some(2)]);

    let id = text(&team, "id");
    for path in [
        format!("/api/0/teams/acme/{id}/"),
        "/api/0/teams/acme/apps-co/".to_owned(),
    ] {
        let shown = world.get(&path).await.json();
        assert_eq!(
            (text(&shown, "id"), &shown["memberCount"]),
            (id, &json!(1)),
            "{path}"
        );
    }
    let put = async |path: &str, body: Value| {
        let answer = world.put(path, body.to_string()).await;
        (answer.status.as_u16(), answer.json())
    };
    let path = format!("/api/0/teams/acme/{id}/");
    let (status, renamed) = put(&path, json!({ "slug": "apps", "name": "Apps" })).await;
    assert_eq!((status, text(&renamed, "slug")), (200, "apps"));
    assert_eq!(
        world
            .get("/api/0/teams/acme/apps-co/")
            .await
            .status
            .as_u16(),
        404
    );
    let (status, body) = put(&path, json!({ "slug": "ops" })).await;
    let message = "The slug \"ops\" is already in use.";
    assert_eq!((status, body), (400, json!({ "slug": [message] })));
    // The old slug is free, and a project may still be made in the team.
    let free = world.post_json(TEAMS, &json!({ "slug": "apps-co" })).await;
    assert_eq!(free.status.as_u16(), 201, "{}", free.text());
    let expected = [
        "team.create",
        "team.edit",
        "team.create",
        "team.create",
        "team.create",
    ];
    let mut log = events(&world, "").await;
    log.retain(|event| event.starts_with("team."));
    assert_eq!(log[..5], expected);
    world.finish().await;
}

#[tokio::test]
async fn a_member_comes_into_a_team_and_leaves_it_and_with_it_access() {
    let world = World::start().await;
    // Where everybody may join, those who did not may be assigned as well.
    closed(&world, true).await;
    let cy = member(&world, world.cy()).await;
    let path = format!("/api/0/organizations/acme/members/{cy}/teams/web-team/");
    let members = async || {
        world.stack.dynamodb().catch_up();
        let rows = world
            .get("/api/0/teams/acme/web-team/members/")
            .await
            .json();
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| text(row, "email").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(members().await.len(), 2);
    let joined = world.send(Method::POST, &path, None).await;
    assert_eq!(joined.status.as_u16(), 201, "{}", joined.text());
    assert_eq!(joined.json()["slug"], "web-team");
    assert!(members().await.contains(&world.cy().to_owned()));
    let again = world.send(Method::POST, &path, None).await;
    assert_eq!((again.status.as_u16(), again.text().as_str()), (204, ""));
    let shown = world
        .get(&format!("/api/0/organizations/acme/members/{cy}/"))
        .await
        .json();
    assert_eq!(shown["teams"], json!(["web-team"]));
    // Who is in the team may be assigned.
    let group = world.ready.group_id.clone().unwrap();
    let assign = json!({ "assignedTo": world.cy() }).to_string();
    let issue = format!("/api/0/issues/{group}/");
    assert_eq!(world.put(&issue, assign.clone()).await.status.as_u16(), 200);
    let nobody = json!({ "assignedTo": "" }).to_string();
    assert_eq!(world.put(&issue, nobody).await.status.as_u16(), 200);
    for _ in 0..2 {
        let left = world.send(Method::DELETE, &path, None).await;
        assert_eq!(left.status.as_u16(), 200, "{}", left.text());
    }
    assert_eq!(members().await.len(), 2);
    assert_eq!(world.put(&issue, assign).await.status.as_u16(), 400);
    assert_eq!(events(&world, "event=member.join-team").await.len(), 1);
    assert_eq!(events(&world, "event=member.leave-team").await.len(), 1);
    for absent in [
        "/api/0/organizations/acme/members/999/teams/web-team/".to_owned(),
        format!("/api/0/organizations/acme/members/{cy}/teams/none/"),
    ] {
        let answer = world.send(Method::POST, &absent, None).await;
        assert_eq!(answer.status.as_u16(), 404, "{absent}");
    }
    world.finish().await;
}

#[tokio::test]
async fn many_changes_of_one_membership_at_once_lose_none() {
    let world = World::start().await;
    let cy = member(&world, world.cy()).await;
    for n in 0..6 {
        let team = json!({ "command": "create-team", "organization": "acme", "slug": format!("t{n}"), "name": "T" });
        world.operator(team).await;
    }
    let token = world.ready.auth_token.clone().unwrap();
    let base = world.ready.base_url.clone();
    let joins = (0..6).map(|n| {
        let url = format!("{base}/api/0/organizations/acme/members/{cy}/teams/t{n}/");
        let bearer = format!("Bearer {token}");
        tokio::spawn(async move {
            loop {
                let headers = [("authorization", bearer.as_str())];
                let answer = local::client::request(Method::POST, &url, &headers, "").await;
                match answer.unwrap().status.as_u16() {
                    503 => {}
                    status => return status,
                }
            }
        })
    });
    for join in joins.collect::<Vec<_>>() {
        assert_eq!(join.await.unwrap(), 201);
    }
    let path = format!("/api/0/organizations/acme/members/{cy}/");
    let teams = world.get(&path).await.json()["teams"].take();
    assert_eq!(teams.as_array().map(Vec::len), Some(6));
    assert_eq!(events(&world, "event=member.join-team").await.len(), 6);
    world.finish().await;
}

#[tokio::test]
async fn a_token_does_what_both_it_and_its_owners_role_allow() {
    let world = World::start().await;
    let bo_email = world.bo().to_owned();
    let bo = token(&world, "bo", ("email", &bo_email), json!("all")).await;
    let set = async |role: &str| {
        let role = json!({ "command": "set-role", "organization": "acme", "email": bo_email, "role": role });
        world.operator(role).await;
    };
    let name = json!({ "name": "x" });
    let group = world.ready.group_id.clone().unwrap();
    let issue = format!("/api/0/issues/{group}/");
    let (project, team) = ("/api/0/projects/acme/web/", "/api/0/teams/acme/web-team/");
    let log = "/api/0/organizations/acme/audit-logs/";
    let (get, put) = (Method::GET, Method::PUT);
    // By the least role that may.
    let requests = [
        ("member", &get, project, None),
        ("member", &get, TEAMS, None),
        ("member", &put, issue.as_str(), Some(&name)),
        ("admin", &put, project, Some(&name)),
        ("admin", &put, team, Some(&name)),
        ("manager", &get, log, None),
    ];
    let roles = ["member", "admin", "manager", "owner"];
    for (rank, role) in roles.iter().enumerate() {
        set(role).await;
        for (least, method, path, body) in requests {
            let answer = loop {
                let answer = world.request_as(&bo, method.clone(), path, body).await;
                if answer.status.as_u16() != 503 {
                    break answer;
                }
            };
            let may = rank >= roles.iter().position(|known| *known == least).unwrap();
            let expected = if may { 200 } else { 403 };
            assert_eq!(answer.status.as_u16(), expected, "{role}: {method} {path}");
            if !may {
                let detail = answer.json()["detail"].as_str().unwrap().to_owned();
                let why = format!("The role {role} does not allow it.");
                assert!(detail.ends_with(&why), "{detail}");
            }
        }
    }
    set("admin").await;
    let shown = world.get_as(&bo, project).await.json();
    let access: Vec<_> = shown["access"].as_array().unwrap().iter().collect();
    assert_eq!(
        access,
        [
            "project:read",
            "project:write",
            "project:admin",
            "project:releases"
        ]
    );
    set("member").await;
    let shown = world.get_as(&bo, project).await.json();
    assert_eq!(shown["access"], json!(["project:read", "project:releases"]));
    world.finish().await;
}

#[tokio::test]
async fn an_admin_looks_after_the_own_teams_and_a_manager_after_all() {
    let world = World::start().await;
    let bo_email = world.bo().to_owned();
    let bo = token(&world, "bo", ("email", &bo_email), json!("all")).await;
    let set = async |role: &str| {
        let role = json!({ "command": "set-role", "organization": "acme", "email": bo_email, "role": role });
        world.operator(role).await;
    };
    let other =
        json!({ "command": "create-team", "organization": "acme", "slug": "other", "name": "O" });
    world.operator(other).await;
    let body = json!({ "name": "theirs", "slug": "theirs" });
    world
        .post_json("/api/0/teams/acme/other/projects/", &body)
        .await;
    let cy = member(&world, world.cy()).await;
    let join = format!("/api/0/organizations/acme/members/{cy}/teams/other/");
    let (put, post) = (Method::PUT, Method::POST);
    let name = json!({ "name": "x" });
    let requests = [
        (&put, "/api/0/teams/acme/other/", Some(&name), 200),
        (&put, "/api/0/projects/acme/theirs/", Some(&name), 200),
        (&post, "/api/0/projects/acme/theirs/keys/", Some(&name), 201),
        (&post, join.as_str(), None, 201),
    ];
    for (role, may) in [("admin", false), ("manager", true)] {
        set(role).await;
        for (method, path, body, made) in requests {
            let answer = loop {
                let answer = world.request_as(&bo, method.clone(), path, body).await;
                if answer.status.as_u16() != 503 {
                    break answer;
                }
            };
            let expected = if may { made } else { 403 };
            assert_eq!(answer.status.as_u16(), expected, "{role}: {path}");
        }
    }
    world.finish().await;
}

#[tokio::test]
async fn nobody_raises_themselves_or_lowers_who_stands_above_them() {
    let world = World::start().await;
    let bo_email = world.bo().to_owned();
    let manager = json!({ "command": "set-role", "organization": "acme", "email": bo_email, "role": "manager" });
    world.operator(manager).await;
    let token_of_bo = token(&world, "bo", ("email", &bo_email), json!("all")).await;
    let path = |member: &str| format!("/api/0/organizations/acme/members/{member}/");
    let (ana, bo, cy) = (
        member(&world, world.ana()).await,
        member(&world, world.bo()).await,
        member(&world, world.cy()).await,
    );
    let set = async |who: &str, body: Value| {
        let answer = world
            .put_as(&token_of_bo, &path(who), body.to_string())
            .await;
        (answer.status.as_u16(), answer.json())
    };
    let (status, body) = set(&cy, json!({ "orgRole": "admin" })).await;
    assert_eq!((status, text(&body, "orgRole")), (200, "admin"));
    assert_eq!(set(&cy, json!({ "role": "manager" })).await.0, 200);
    let own = "You cannot change your own role.";
    let above = "You cannot give or take a role above your own.";
    for (who, role, detail) in [
        (bo.as_str(), "owner", own),
        ("me", "member", own),
        (ana.as_str(), "member", above),
        (cy.as_str(), "owner", above),
    ] {
        let answer = set(who, json!({ "orgRole": role })).await;
        assert_eq!(answer, (403, json!({ "detail": detail })), "{who} {role}");
    }
    let invalid = set(&cy, json!({ "orgRole": "king" })).await;
    let error = json!({ "orgRole": ["\"king\" is not a valid choice."] });
    assert_eq!(invalid, (400, error));
    let me = world.get_as(&token_of_bo, &path("me")).await.json();
    assert_eq!(
        (text(&me, "id"), text(&me, "role")),
        (bo.as_str(), "manager")
    );
    assert_eq!(events(&world, "event=member.edit").await.len(), 3);
    world.finish().await;
}

#[tokio::test]
async fn an_organizations_token_gives_and_takes_no_role_above_its_scopes() {
    let world = World::start().await;
    let cy = member(&world, world.cy()).await;
    let ana = member(&world, world.ana()).await;
    let scopes = json!(["org:read", "member:read", "member:write"]);
    let low = token(&world, "low", ("organization", "acme"), scopes).await;
    let high = token(&world, "high", ("organization", "acme"), json!("all")).await;
    let set = async |token: &str, who: &str, role: &str| {
        let path = format!("/api/0/organizations/acme/members/{who}/");
        let body = json!({ "orgRole": role }).to_string();
        world.put_as(token, &path, body).await.status.as_u16()
    };
    for (who, role) in [(&cy, "owner"), (&cy, "admin"), (&ana, "member")] {
        assert_eq!(set(&low, who, role).await, 403, "{role}");
    }
    assert_eq!(set(&high, &cy, "owner").await, 200);
    assert_eq!(set(&high, &ana, "member").await, 200);
    world.finish().await;
}

#[tokio::test]
async fn only_a_proven_address_identifies_its_owner() {
    let mut world = World::start().await;
    let verify = |verified: bool| json!({ "command": "verify-email", "email": "BO@acme.example", "verified": verified });
    let bo = member(&world, world.bo()).await;
    let shown = async |world: &World| {
        let path = format!("/api/0/organizations/acme/members/{bo}/");
        world.get(&path).await.json()["user"]["emails"].take()
    };
    let email = world.bo().to_owned();
    world.operator(verify(false)).await;
    assert_eq!(
        shown(&world).await,
        json!([{ "email": email, "is_verified": false }])
    );
    world.assign(1, &email).await;
    world.settle().await;
    assert_eq!(world.assignee().await, None);
    world.replay().await;
    world.operator(verify(true)).await;
    assert_eq!(shown(&world).await[0]["is_verified"], true);
    world.assign(2, &email).await;
    world.settle().await;
    assert_eq!(world.assignee().await.as_deref(), Some(email.as_str()));
    world.finish().await;
}

#[tokio::test]
async fn the_audit_log_is_paged_newest_first_and_narrowed_by_event_and_actor() {
    let world = World::start().await;
    for n in 0..5 {
        world
            .post_json(TEAMS, &json!({ "slug": format!("t{n}") }))
            .await;
    }
    let organization = token(&world, "bot", ("organization", "acme"), json!("all")).await;
    let body = json!({ "name": "by the bot" });
    let path = "/api/0/teams/acme/web-team/projects/";
    let made = loop {
        let answer = world
            .request_as(&organization, Method::POST, path, Some(&body))
            .await;
        if answer.status.as_u16() != 503 {
            break answer.status.as_u16();
        }
    };
    assert_eq!(made, 201);
    world.stack.dynamodb().catch_up();
    let log = "/api/0/organizations/acme/audit-logs/";
    let all = world.get(log).await.json();
    let all = all["rows"].as_array().unwrap().clone();
    assert_eq!(all[0]["actor"], json!({ "name": "bot" }));
    assert_eq!(all.last().unwrap()["actor"], json!({ "name": "operator" }));
    assert_eq!(text(&all[0], "note"), "created project by-the-bot");
    let times: Vec<_> = all.iter().map(|row| text(row, "dateCreated")).collect();
    assert!(
        times.is_sorted_by(|newer, older| newer >= older),
        "{times:?}"
    );

    let ana = &world.ready.members[0].id;
    for (query, count) in [
        (format!("actor={ana}"), 5),
        ("event=team.create".to_owned(), 6),
        (format!("event=team.create&actor={ana}"), 5),
        ("event=project.remove".to_owned(), 0),
    ] {
        let mut rows = Vec::new();
        for page in 0.. {
            let path = format!("{log}?per_page=2&{query}&cursor=2:{page}:0");
            let answer = world.get(&path).await;
            let more = answer.headers["link"]
                .to_str()
                .unwrap()
                .contains("rel=\"next\"; results=\"true\"");
            rows.extend(answer.json()["rows"].as_array().unwrap().clone());
            if !more {
                break;
            }
        }
        let wanted = |row: &&Value| match query.contains("event=team.create") {
            true => {
                row["event"] == "team.create"
                    && (!query.contains("actor") || row["actor"]["id"] == ana.as_str())
            }
            false => row["actor"]["id"] == ana.as_str(),
        };
        let expected: Vec<_> = all.iter().filter(wanted).map(|row| &row["id"]).collect();
        assert_eq!(rows.len(), count, "{query}");
        if count > 0 {
            let found: Vec<_> = rows.iter().map(|row| &row["id"]).collect();
            assert_eq!(found, expected, "{query}");
        }
    }
    for (query, field) in [("event=project.dance", "event"), ("actor=ana", "actor")] {
        let answer = world.get(&format!("{log}?{query}")).await;
        assert_eq!(answer.status.as_u16(), 400);
        assert!(answer.json()[field].is_array());
    }
    world.finish().await;
}
