//! The deletion of a project, from the request to the last item.

use std::collections::{BTreeMap, BTreeSet};

use local::{client::Answer, dynamodb::Used};
use serde_json::{Value, json};
use tests::World;

use crate::notification_options::say;

const PAGE: &str = include_str!("../../docs/table.md");

/// How many groups the large project has; `PROJECT_GROUPS=10000` for a long run.
const GROUPS: u64 = 150;

const ORGANIZATION: &str = "/api/0/organizations/acme";

/// After how many calls the worker ends; `EVERY=1` for each of them.
const EVERY: u64 = 7;

#[expect(clippy::disallowed_methods, reason = "for those who want more of it")]
fn number(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn path(project: &str) -> String {
    format!("/api/0/projects/acme/{project}/")
}

fn status(answer: &Answer) -> u16 {
    answer.status.as_u16()
}

/// Makes a project of the seeded team, and gives its id.
async fn project(world: &World, slug: &str) -> String {
    let project = json!({
        "command": "create-project", "organization": "acme", "team": "web-team", "slug": slug,
        "name": "Shop",
    });
    let made = world.operator(project).await;
    assert_eq!(made["created"], true, "{slug} is there already");
    text(&made["project"]["id"])
}

/// Makes an issue of a project, linked to a work item, assigned, watched, with a line of activity.
async fn issue(world: &World, project: &str, title: &str) -> String {
    let issue = json!({
        "command": "create-issue", "organization": "acme", "project": project, "title": title,
    });
    let issue = world.operator(issue).await["issue"].take();
    let id = text(&issue["id"]);
    let link = json!({
        "command": "link-external-issue", "organization": "acme", "issue": id,
        "integration": world.integration(), "key": "77",
    });
    world.operator(link).await;
    let body = json!({ "assignedTo": world.ana(), "isSubscribed": true });
    let answer = world
        .put(&format!("/api/0/issues/{id}/"), body.to_string())
        .await;
    assert_eq!(status(&answer), 200, "{}", answer.text());
    id
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn key(item: &Value) -> (String, String) {
    (text(&item["PK"]["S"]), text(&item["SK"]["S"]))
}

fn table(world: &World) -> BTreeMap<(String, String), Value> {
    let items = world.items().into_iter();
    items.map(|item| (key(&item), item)).collect()
}

/// What the table holds more than before, by the beginning of its keys; nothing else may have changed.
fn more_than(before: &BTreeMap<(String, String), Value>, world: &World) -> Vec<String> {
    let after = table(world);
    for (key, item) in before {
        // Tokens are refreshed as time goes on.
        if key.1.starts_with("IDENTITY#") {
            continue;
        }
        assert_eq!(after.get(key), Some(item), "{key:?} is not of the project");
    }
    let kind = |text: &str| text.split('#').next().unwrap_or_default().to_owned();
    let new = after.keys().filter(|key| !before.contains_key(*key));
    let kinds = new.map(|(pk, sk)| format!("{} {}", kind(pk), kind(sk)));
    kinds
        .filter(|kind| !OTHERS.contains(&kind.as_str()))
        .collect()
}

/// What the bundle notes meanwhile of its own machine and of trackers.
const OTHERS: [&str; 3] = ["CONFIG REDIS", "DELIVERY META", "EXTERNAL SYNC"];

/// What a deleted project leaves behind: that it was made and deleted, for those who ask.
const LEFT: [&str; 4] = ["ORG AUDIT", "ORG AUDIT", "ORG DELETION", "TOMBSTONE META"];

async fn deletion(world: &World, project: &str) -> Value {
    let answer = world
        .get(&format!("{ORGANIZATION}/deletions/{project}/"))
        .await;
    assert_eq!(status(&answer), 200, "{}", answer.text());
    answer.json()
}

async fn slugs(world: &World) -> Vec<String> {
    let list = world.get(&format!("{ORGANIZATION}/projects/")).await.json();
    let rows = list.as_array().cloned().unwrap_or_default();
    rows.iter().map(|row| text(&row["slug"])).collect()
}

#[tokio::test]
async fn a_deleted_project_is_gone_at_once_and_then_all_that_belonged_to_it() {
    let mut world = World::start().await;
    let web = world.ready.project_id.clone().expect("a project");
    say(&world, "project", &web, "never").await;
    world.settle().await;
    let before = table(&world);
    let id = project(&world, "shop").await;
    let issue = issue(&world, "shop", "Broken").await;
    say(&world, "project", &id, "always").await;
    let settings = |world: &World| {
        let keys = table(world).into_keys();
        let settings = keys.filter(|(_, sk)| sk.starts_with("NOTIFICATION#"));
        settings.map(|(pk, _)| pk).collect::<Vec<_>>()
    };
    let ana = format!("USER#{}", world.ready.members[0].id);
    let (shop, web) = (format!("PROJECT#{id}"), format!("PROJECT#{web}"));
    let mut there = [shop, web.clone(), ana.clone(), ana.clone()];
    there.sort();
    assert_eq!(settings(&world), there);
    world.settle().await;
    // What comes again later finds no group any more.
    world.replay().await;
    let short_id = world.get(&format!("/api/0/issues/{issue}/")).await.json()["shortId"].take();
    assert_eq!(short_id, "SHOP-1");

    let answer = world.delete(&path("shop"), "").await;
    assert_eq!((status(&answer), answer.text().as_str()), (204, ""));
    let record = deletion(&world, &id).await;
    assert_eq!(
        (&record["status"], &record["progress"]),
        (&json!("pending"), &json!(0))
    );
    assert_eq!(record["slug"], "shop");
    assert_eq!(slugs(&world).await, ["web"]);
    for gone in [
        path("shop"),
        path(&id),
        format!("/api/0/issues/{issue}/"),
        format!("/api/0/issues/{issue}/activities/"),
        format!("/api/0/issues/{issue}/sync/"),
        format!("{ORGANIZATION}/issues/SHOP-1/"),
    ] {
        let answer = world.get(&gone).await;
        assert_eq!(status(&answer), 404, "{gone}: {}", answer.text());
    }
    let body = json!({ "assignedTo": null }).to_string();
    let put = world.put(&format!("/api/0/issues/{issue}/"), body).await;
    assert_eq!(status(&put), 404);
    for again in [path("shop"), path(&id)] {
        let answer = world.delete(&again, "").await;
        assert_eq!(status(&answer), 404, "{again}");
    }

    world.settle().await;
    assert_eq!(more_than(&before, &world), LEFT);
    assert_eq!(settings(&world), [web, ana]);
    let record = deletion(&world, &id).await;
    assert_eq!(
        (&record["status"], &record["progress"]),
        (&json!("finished"), &json!(100))
    );
    world.finish().await;
}

#[tokio::test]
async fn two_who_delete_at_once_make_one_deletion() {
    let mut world = World::start().await;
    let id = project(&world, "shop").await;
    let (shop, by_id) = (path("shop"), path(&id));
    let answers = tokio::join!(
        world.delete(&shop, ""),
        world.delete(&by_id, ""),
        world.delete(&shop, ""),
    );
    let mut statuses = [status(&answers.0), status(&answers.1), status(&answers.2)];
    statuses.sort_unstable();
    assert_eq!(statuses[0], 204, "{statuses:?}");
    assert!(
        statuses.iter().all(|it| [204, 404].contains(it)),
        "{statuses:?}"
    );
    let count = |kind: (&str, &str)| {
        let items = table(&world).into_keys();
        let same = |(pk, sk): &(String, String)| pk.starts_with(kind.0) && sk.starts_with(kind.1);
        items.filter(same).count()
    };
    assert_eq!(
        (count(("ORG#", "DELETION#")), count(("DELETIONS", ""))),
        (1, 1)
    );
    assert_eq!(removals(&world).len(), 1);
    world.settle().await;
    world.finish().await;
}

/// What the audit log says of projects that were given up.
fn removals(world: &World) -> Vec<Value> {
    let items = world.items().into_iter();
    let removal = |item: &Value| {
        let event = item["event"]["S"].as_str().unwrap_or_default();
        event.starts_with("project.remove")
    };
    items.filter(removal).collect()
}

#[tokio::test]
async fn who_may_not_delete_a_project_does_not() {
    let world = World::quiet().await;
    let before = table(&world);
    let token = async |command: Value| text(&world.operator(command).await["token"]["text"]);
    let weak = token(
        json!({ "command": "create-token", "organization": "acme", "name": "weak",
        "scopes": ["project:read", "project:write", "org:admin"] }),
    )
    .await;
    world
        .operator(json!({ "command": "create-organization", "slug": "other", "name": "Other" }))
        .await;
    let foreign = token(
        json!({ "command": "create-token", "organization": "other", "name": "all",
        "scopes": "all" }),
    )
    .await;
    let bo = world.bo();
    let member =
        token(json!({ "command": "create-token", "email": bo, "name": "all", "scopes": "all" }))
            .await;
    let id = world.ready.project_id.clone().expect("a project");
    for token in [&weak, &member] {
        let answer = world.delete_as(token, &path("web"), "").await;
        assert_eq!(status(&answer), 403, "{}", answer.text());
    }
    for path in [
        path("web"),
        format!("/api/0/projects/other/{id}/"),
        path("no-such"),
    ] {
        let answer = world.delete_as(&foreign, &path, "").await;
        assert_eq!(status(&answer), 404, "{path}: {}", answer.text());
    }
    let unknown = world.delete_as("nonsense", &path("web"), "").await;
    assert_eq!(status(&unknown), 401);
    let malformed = world.delete(&path("web"), "{\"origin\"").await;
    assert_eq!(status(&malformed), 400);
    let detail = text(&malformed.json()["detail"]);
    assert!(detail.starts_with("JSON parse error - "), "{detail}");
    let odd = world.delete(&path("web"), "{\"origin\":7}").await;
    assert_eq!(odd.json(), json!({ "origin": ["Not a valid string."] }));
    let new = more_than(&before, &world);
    assert!(new.iter().all(|kind| !kind.contains("DELETION")), "{new:?}");
    world.finish().await;
}

#[tokio::test]
async fn the_installations_own_project_stays() {
    let world = World::deployed_with(&[("InternalProject", "web")]).await;
    let before = table(&world);
    let id = world.ready.project_id.clone().expect("a project");
    for path in [path("web"), path(&id)] {
        let answer = world.delete(&path, "").await;
        assert_eq!(status(&answer), 403);
        let error = "Cannot remove projects internally used by Sentry.";
        assert_eq!(answer.json(), json!({ "error": error }));
    }
    // Nor does it go with its organization.
    let answer = world.delete(&format!("{ORGANIZATION}/"), "").await;
    assert_eq!(status(&answer), 400);
    let detail =
        "This organization has the project web of the installation itself. It cannot be removed.";
    assert_eq!(answer.json(), json!({ "detail": detail }));
    assert_eq!(world.get(&path("web")).await.json()["isInternal"], true);
    assert_eq!(more_than(&before, &world), Vec::<String>::new());
    world.finish().await;
}

#[tokio::test]
async fn what_a_project_was_deleted_for_is_in_the_audit_log() {
    let mut world = World::start().await;
    project(&world, "one").await;
    project(&world, "two").await;
    assert_eq!(
        status(
            &world
                .delete(&path("one"), "{\"origin\":\"settings\"}")
                .await
        ),
        204
    );
    assert_eq!(status(&world.delete(&path("two"), "[]").await), 204);
    let mut said: Vec<_> = removals(&world)
        .iter()
        .map(|entry| {
            let data = &entry["data"]["M"];
            assert_eq!(text(&data["transaction_id"]["S"]).len(), 32);
            [
                &entry["event"]["S"],
                &data["slug"]["S"],
                &data["origin"]["S"],
            ]
            .map(Value::clone)
        })
        .collect();
    said.sort_by_key(|row| row[1].to_string());
    let expected = [
        [
            json!("project.remove-with-origin"),
            json!("one"),
            json!("settings"),
        ],
        [json!("project.remove"), json!("two"), Value::Null],
    ];
    assert_eq!(said, expected);
    world.settle().await;
    world.finish().await;
}

#[tokio::test]
async fn a_new_project_takes_the_slug_at_once_and_keeps_what_is_its_own() {
    let mut world = World::start().await;
    let old = project(&world, "shop").await;
    let old_issue = issue(&world, "shop", "Broken").await;
    world.settle().await;
    world.replay().await;
    assert_eq!(status(&world.delete(&path("shop"), "").await), 204);
    let new = project(&world, "shop").await;
    assert_ne!(old, new);
    let new_issue = issue(&world, "shop", "Broken").await;
    assert_ne!(old_issue, new_issue);
    let by_short_id = format!("{ORGANIZATION}/issues/SHOP-1/");
    assert_eq!(world.get(&by_short_id).await.json()["id"], json!(new_issue));
    world.settle().await;
    assert_eq!(deletion(&world, &old).await["status"], "finished");
    assert_eq!(world.get(&by_short_id).await.json()["id"], json!(new_issue));
    assert_eq!(
        world.assignee_of(&new_issue).await.as_deref(),
        Some(world.ana())
    );
    assert_eq!(slugs(&world).await, ["shop", "web"]);
    world.finish().await;
}

/// Writes a project of so many groups, each with links, assignee, subscriptions and activity like the one
/// that is made as clients make it. Gives its id.
async fn large_project(world: &mut World, groups: u64) -> String {
    let id = project(world, "shop").await;
    let issue = issue(world, "shop", "Broken").await;
    world.settle().await;
    let changed_it = json!({ "PK": { "S": format!("GROUP#{issue}") },
        "SK": { "S": "SUB#user:1#status_change" }, "at": { "N": "1" } });
    world.put_items(vec![changed_it]).await;
    let items = world.items();
    let theirs = |item: &&Value| item.to_string().contains(&issue);
    let model: Vec<String> = items.iter().filter(theirs).map(Value::to_string).collect();
    assert!(model.len() > 8, "{model:#?}");
    let hash = model.iter().find_map(|item| item.split("\"HASH#").nth(1));
    let hash = &hash.expect("a fingerprint")[..64];
    let base: u64 = issue.parse().expect("a number");
    let mut copies = Vec::new();
    for n in 1..groups {
        let number = domain::ShortId::new(&"shop".parse().unwrap(), n + 1);
        for item in &model {
            let copy = item
                .replace(&issue, &(base + n).to_string())
                .replace(hash, &format!("{n:064x}"))
                .replace("SHORT_ID#1\"", &format!("SHORT_ID#{}\"", number.number()));
            copies.push(serde_json::from_str(&copy).expect("JSON"));
        }
    }
    world.put_items(copies).await;
    let counter = json!({ "PK": { "S": format!("PROJECT#{id}") }, "SK": { "S": "COUNTER" },
        "groups": { "N": groups.to_string() } });
    let waiting = json!({ "PK": { "S": format!("PROJECT#{id}") },
        "SK": { "S": format!("PENDING_RESOLUTION#{issue}") }, "group": { "S": issue } });
    world.put_items(vec![counter, waiting]).await;
    id
}

/// Holds one invocation to what it may use of the table, and gives what it deleted and the pages it read.
fn assert_bounded(used: &[Used], invocation: usize) -> (usize, usize) {
    let count = |operation: &str| used.iter().filter(|it| it.operation == operation).count();
    let deleted: usize = used.iter().map(|it| it.deletes).sum();
    let (pages, requests) = (count("Query"), used.len());
    // The second one deletes a client key, and before it what leads to it.
    let apart = usize::from(invocation == 2);
    let expected = deleted.div_ceil(25) + apart + pages + 2;
    assert_eq!(
        requests, expected,
        "{deleted} deleted, {pages} pages: {used:#?}"
    );
    assert!(requests <= 130, "{requests} requests in one invocation");
    (deleted, pages)
}

#[tokio::test]
async fn a_large_project_goes_in_bounded_batches_and_nothing_names_it_any_more() {
    let groups = number("PROJECT_GROUPS", GROUPS);
    let mut world = World::quiet().await;
    world.settle().await;
    let before = table(&world);
    let id = large_project(&mut world, groups).await;
    let items = table(&world).len() - before.len();
    assert_eq!(status(&world.delete(&path("shop"), "").await), 204);

    let (mut progress, mut totals, mut invocations) = (vec![0], (0, 0), 0);
    let mut keys_went_at = None;
    loop {
        world.relay().await;
        world.stack.dynamodb().measure();
        if world.step("project-delete").await == 0 {
            // The next pass waits until whoever knew the groups is done.
            world.stack.clock().advance(domain::QUIET);
            world.stack.step_schedules().await.expect("the schedules");
            continue;
        }
        let used: Vec<_> = world.stack.dynamodb().measure();
        let used: Vec<_> = used
            .into_iter()
            .filter(|it| it.caller == "project-delete")
            .collect();
        invocations += 1;
        let (deleted, pages) = assert_bounded(&used, invocations);
        totals = (totals.0 + deleted, totals.1 + pages);
        let record = deletion(&world, &id).await;
        progress.push(record["progress"].as_u64().expect("a number"));
        if keys_went_at.is_none() && !has_keys(&world, &id) {
            keys_went_at = Some(invocations);
        }
        if record["status"] == "finished" {
            break;
        }
    }
    assert!(progress.is_sorted(), "{progress:?}");
    assert_eq!(progress.last(), Some(&100));
    assert!(
        progress.iter().collect::<BTreeSet<_>>().len() > 4,
        "{progress:?}"
    );
    assert_eq!(keys_went_at, Some(2), "keys go with the first batch");
    println!(
        "{groups} groups, {items} items: {invocations} invocations, {totals:?} deleted and pages"
    );
    if groups == GROUPS {
        let (deleted, pages) = totals;
        let line =
            format!("| a project of {groups} groups | {deleted} | {pages} | {invocations} |");
        assert!(PAGE.contains(&line), "docs/table.md does not say: {line}");
    }
    world.settle().await;
    assert_eq!(more_than(&before, &world), LEFT);
    world.finish().await;
}

/// Whether clients can still find the project by a key.
fn has_keys(world: &World, project: &str) -> bool {
    let items = world.items().into_iter();
    let mut keys = items.filter(|item| text(&item["PK"]["S"]).starts_with("CLIENT_KEY#"));
    keys.any(|item| item["project"]["S"] == project)
}

#[tokio::test]
async fn wherever_the_worker_ends_another_one_goes_on_and_it_comes_to_the_same() {
    let mut world = World::quiet().await;
    world.settle().await;
    let (every, mut nth) = (number("EVERY", EVERY), 0);
    loop {
        nth += every;
        let before = table(&world);
        let id = project(&world, "shop").await;
        for title in ["One", "Two"] {
            issue(&world, "shop", title).await;
        }
        say(&world, "project", &id, "never").await;
        world.settle().await;
        assert_eq!(status(&world.delete(&path("shop"), "").await), 204);
        world.stack.dynamodb().end_after("project-delete", nth);
        world.settle().await;
        assert_eq!(more_than(&before, &world), LEFT, "ended after call {nth}");
        let record = deletion(&world, &id).await;
        let ended = (&record["status"], &record["progress"], &record["lastError"]);
        assert_eq!(ended, (&json!("finished"), &json!(100), &Value::Null));
        if world.stack.dynamodb().will_end() {
            break;
        }
    }
    assert!(nth > 21, "only {nth} calls");
    world.finish().await;
}

#[tokio::test]
async fn a_project_that_was_restored_is_left_alone() {
    let mut world = World::start().await;
    let id = project(&world, "shop").await;
    let issue = issue(&world, "shop", "Broken").await;
    world.settle().await;
    world.replay().await;
    let whole = table(&world);
    assert_eq!(status(&world.delete(&path("shop"), "").await), 204);
    // By somebody who knows nothing of deletions.
    let meta = (format!("PROJECT#{id}"), "META".to_owned());
    world.put_items(vec![whole[&meta].clone()]).await;
    world.settle().await;
    let answer = world.get(&format!("{ORGANIZATION}/deletions/{id}/")).await;
    assert_eq!(status(&answer), 404);
    assert_eq!(
        status(&world.get(&format!("/api/0/issues/{issue}/")).await),
        200
    );
    let now = table(&world);
    assert!(now.keys().all(|(pk, _)| pk != "DELETIONS"));
    world.finish().await;
}

#[tokio::test]
async fn a_deletion_can_be_undone_until_it_begins() {
    let mut world = World::deployed_with(&[("DeletionDelayHours", "48")]).await;
    let id = project(&world, "shop").await;
    let issue = issue(&world, "shop", "Broken").await;
    world.settle().await;
    let undelete = |project: &str, slug: Option<&str>| {
        let mut command =
            json!({ "command": "undelete-project", "organization": "acme", "project": project });
        if let Some(slug) = slug {
            command["slug"] = slug.into();
        }
        command
    };
    let before = table(&world);
    assert_eq!(status(&world.delete(&path("shop"), "").await), 204);
    let answer = world.operator(undelete("shop", None)).await;
    assert_eq!(answer["restored"], true);
    let mut new = more_than(&before, &world);
    new.retain(|kind| kind != "ORG AUDIT");
    // The message is on its way, and will find nothing to do.
    assert_eq!(new.len(), 1);
    assert!(new[0].starts_with("OUT "), "{new:?}");
    assert_eq!(world.operator(undelete(&id, None)).await["restored"], false);
    assert_eq!(
        status(&world.get(&format!("/api/0/issues/{issue}/")).await),
        200
    );

    assert_eq!(status(&world.delete(&path("shop"), "").await), 204);
    project(&world, "shop").await;
    let refused = world.operator_raw(undelete(&id, None)).await;
    let taken = "Another project has the slug \"shop\".";
    assert_eq!(refused["error"]["fields"], json!({ "slug": [taken] }));
    let answer = world.operator(undelete(&id, Some("shop-again"))).await;
    assert_eq!(answer["project"]["slug"], "shop-again");
    assert_eq!(slugs(&world).await, ["shop", "shop-again", "web"]);

    assert_eq!(status(&world.delete(&path("shop-again"), "").await), 204);
    world.settle().await;
    assert_eq!(deletion(&world, &id).await["status"], "finished");
    let refused = world.operator_raw(undelete(&id, None)).await;
    let late = "It is being deleted, or is gone: there is nothing to give back.";
    assert_eq!(refused["error"]["fields"], json!({ "project": [late] }));
    let refused = world.operator_raw(undelete("shop-again", None)).await;
    assert_eq!(refused["error"]["fields"], json!({ "project": [late] }));
    world.finish().await;
}

#[tokio::test]
async fn what_an_undone_deletion_sent_does_not_begin_a_later_one_early() {
    const DAY: i64 = 24 * 3_600_000;
    let mut world = World::deployed_with(&[("DeletionDelayHours", "48")]).await;
    let id = project(&world, "shop").await;
    world.settle().await;
    assert_eq!(status(&world.delete(&path("shop"), "").await), 204);
    world.relay().await;
    world.stack.clock().advance(DAY);
    let undelete =
        json!({ "command": "undelete-project", "organization": "acme", "project": "shop" });
    assert_eq!(world.operator(undelete).await["restored"], true);
    assert_eq!(status(&world.delete(&path("shop"), "").await), 204);
    // Two days after the first request, one after the second.
    world.stack.clock().advance(DAY + 60_000);
    world.stack.step_schedules().await.expect("a sweep");
    world.relay().await;
    assert_eq!(world.step("project-delete").await, 1);
    assert_eq!(deletion(&world, &id).await["status"], "pending");
    world.settle().await;
    assert_eq!(deletion(&world, &id).await["status"], "finished");
    world.finish().await;
}

/// Takes all messages off a queue for good.
fn lose(world: &World, queue: &str) -> usize {
    let messages = world.stack.sqs().receive(queue, 10);
    for message in &messages {
        world.stack.sqs().delete(queue, &message.receipt_handle);
    }
    messages.len()
}

#[tokio::test]
async fn a_message_that_was_lost_is_sent_again() {
    let mut world = World::quiet().await;
    let id = project(&world, "shop").await;
    world.settle().await;
    assert_eq!(status(&world.delete(&path("shop"), "").await), 204);
    world.relay().await;
    assert_eq!(lose(&world, "project-delete"), 1);
    let minutes = |minutes: i64| world.stack.clock().advance(minutes * 60_000);
    minutes(14);
    world.stack.step_schedules().await.expect("the schedules");
    world.settle().await;
    assert_eq!(deletion(&world, &id).await["status"], "pending");
    let minutes = |minutes: i64| world.stack.clock().advance(minutes * 60_000);
    minutes(1);
    world.stack.step_schedules().await.expect("the schedules");
    // Twice is not more than once.
    world.stack.step_schedules().await.expect("the schedules");
    world.relay().await;
    world.drain("jobs").await;
    world.relay().await;
    assert_eq!(world.stack.sqs().messages("project-delete").len(), 1);
    world.settle().await;
    assert_eq!(deletion(&world, &id).await["status"], "finished");
    world.finish().await;
}

#[tokio::test]
async fn a_deletion_that_fails_for_good_says_so_and_is_tried_again_after_a_day() {
    let mut world = World::quiet().await;
    world.settle().await;
    let before = table(&world);
    let id = project(&world, "shop").await;
    issue(&world, "shop", "Broken").await;
    world.settle().await;
    let row = (format!("PROJECT#{id}"), "SHORT_ID#1".to_owned());
    let good = table(&world)[&row].clone();
    let mut bad = good.clone();
    bad["group"] = json!({ "S": "none" });
    world.put_items(vec![bad]).await;
    assert_eq!(status(&world.delete(&path("shop"), "").await), 204);
    world.expect_dead("project-delete", 1);
    world.settle().await;
    let record = deletion(&world, &id).await;
    assert_eq!(record["status"], "in_progress");
    assert_eq!(
        record["lastError"],
        "An item cannot be deleted. The log says which."
    );
    let dead = world.stack.sqs().stats()["project-delete"].dead;
    assert_eq!(dead, 1);

    world.put_items(vec![good]).await;
    world.stack.clock().advance(24 * 3_600_000 - 1_000_000);
    world.stack.step_schedules().await.expect("the schedules");
    world.settle().await;
    assert_eq!(deletion(&world, &id).await["status"], "in_progress");
    world.stack.clock().advance(1_000_000);
    world.stack.step_schedules().await.expect("the schedules");
    world.settle().await;
    let record = deletion(&world, &id).await;
    assert_eq!(
        (&record["status"], &record["lastError"]),
        (&json!("finished"), &Value::Null)
    );
    assert_eq!(more_than(&before, &world), LEFT);
    world.finish().await;
}

#[tokio::test]
async fn a_write_that_was_under_way_is_found_in_the_next_pass() {
    let mut world = World::quiet().await;
    world.settle().await;
    let before = table(&world);
    let id = project(&world, "shop").await;
    let issue = issue(&world, "shop", "Broken").await;
    world.settle().await;
    let late: Vec<_> = world
        .items()
        .into_iter()
        .filter(|item| {
            let (pk, sk) = key(item);
            pk == format!("GROUP#{issue}") && (sk.starts_with("ACT#") || sk.starts_with("LINK#"))
                || pk.starts_with("EXTERNAL#") && sk == format!("GROUP#{issue}")
        })
        .collect();
    assert_eq!(late.len(), 3, "{late:#?}");
    assert_eq!(status(&world.delete(&path("shop"), "").await), 204);
    while deletion(&world, &id).await["pass"] != 2 {
        world.relay().await;
        assert_eq!(world.step("project-delete").await, 1);
    }
    let left = |world: &World| {
        table(world)
            .into_keys()
            .filter(|(pk, _)| *pk == format!("GROUP#{issue}"))
            .count()
    };
    assert_eq!(left(&world), 0);
    world.put_items(late).await;
    world.settle().await;
    assert_eq!(more_than(&before, &world), LEFT);
    world.finish().await;
}

#[tokio::test]
async fn what_comes_for_a_group_after_it_was_deleted_does_not_bring_it_back() {
    let mut world = World::quiet().await;
    project(&world, "shop").await;
    let issue = issue(&world, "shop", "Broken").await;
    world.settle().await;
    // A change of the tracker that waits, and a push that does.
    world
        .stack
        .trackers()
        .change_as_user(local::trackers::Provider::Vsts, "77", None);
    world.stack.trackers().deliver_hooks().await;
    world.drain("issue-sync").await;
    let body = json!({ "assignedTo": world.bo() }).to_string();
    world.put(&format!("/api/0/issues/{issue}/"), body).await;
    world.relay().await;
    let waiting = world.stack.sqs().messages("outbound-sync").len()
        + world.stack.sqs().messages("deassign").len();
    assert!(waiting >= 1, "{:?}", world.stack.sqs().stats());
    assert_eq!(status(&world.delete(&path("shop"), "").await), 204);
    for _ in 0..8 {
        world.relay().await;
        world.drain("project-delete").await;
        world.stack.clock().advance(domain::QUIET);
        world.stack.step_schedules().await.expect("the schedules");
    }
    world.settle().await;
    let named: Vec<_> = world
        .items()
        .iter()
        .filter(|item| item.to_string().contains(&issue))
        .map(key)
        .collect();
    assert_eq!(named, Vec::new());
    world.finish().await;
}

#[test]
fn a_pass_begins_after_every_function_that_could_know_what_the_last_one_deleted() {
    let template = include_str!("../../infra/template.yaml");
    let template = local::template::Template::parse(template).expect("the template");
    let longest = template
        .functions
        .iter()
        .map(|function| function.timeout)
        .max();
    let longest = longest.expect("a function").as_millis();
    // The clocks of two functions may differ.
    let quiet = u128::from(domain::QUIET.unsigned_abs());
    assert!(longest + 20_000 <= quiet, "{longest} ms");
}
