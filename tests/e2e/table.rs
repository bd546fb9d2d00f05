//! docs/table.md against the code and against what the flows write.

use std::collections::BTreeSet;

use local::trackers::{Mode, Provider};
use serde_json::json;
use store::{CHART, ChartRow, INDEX_CHART};
use tests::{World, assigned_to};

use crate::{failures::send, git::Repository, notification_options, pictures, releases::path_of};

const PAGE: &str = include_str!("../../docs/table.md");

/// The cells of the first table under a heading.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let section = PAGE
        .split("\n## ")
        .find(|section| section.starts_with(heading));
    let lines = section
        .expect("the section")
        .lines()
        .filter(|line| line.starts_with('|'));
    let cells = |line: &str| {
        let cells = line.trim_matches('|').replace("\\|", "\u{1}");
        cells
            .split('|')
            .map(|cell| cell.replace('\u{1}', "|").trim().replace('`', ""))
            .collect()
    };
    lines.skip(2).map(cells).collect()
}

#[test]
fn the_key_chart_of_the_page_is_the_codes() {
    let in_code = CHART.map(|row| vec![row.item.to_owned(), row.pk.to_owned(), row.sk.to_owned()]);
    assert_eq!(rows("Keys"), in_code);
    let of_index = INDEX_CHART.map(|row| [row.item, row.pk, row.sk].map(str::to_owned).to_vec());
    assert_eq!(rows("The index"), of_index);
}

#[test]
fn every_access_pattern_names_a_method_of_the_store_and_its_kind() {
    let source: String =
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/store/src"))
            .unwrap()
            .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
            .collect();
    let patterns = rows("Access patterns");
    for row in &patterns {
        let method = &row[1];
        assert!(
            ["(", "<"]
                .iter()
                .any(|end| source.contains(&format!("pub async fn {method}{end}"))),
            "no method {method}"
        );
        assert!(["E", "L"].contains(&row[2].as_str()), "{row:?}");
    }
    let documented: BTreeSet<_> = patterns.iter().map(|row| row[1].clone()).collect();
    let public = source.split("    pub async fn ").skip(1);
    let public: BTreeSet<_> = public
        .filter_map(|text| text.split(['(', '<']).next())
        .map(str::to_owned)
        .collect();
    // Not about the table: the connections, and the sequences and caches in Redis.
    let others = [
        "warm",
        "next",
        "save_with_snowflake_id",
        "save_under_free_slug",
        "find_or_save",
        "recall",
        "remember",
        "clear",
        "clear_project",
    ]
    .map(str::to_owned);
    let missing: Vec<_> = public
        .difference(&documented)
        .filter(|name| !others.contains(name))
        .collect();
    assert!(missing.is_empty(), "not in docs/table.md: {missing:?}");
}

/// Whether a text is a pattern with its placeholders filled in.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((before, rest)) = pattern.split_once('<') else {
        return pattern == text;
    };
    let Some(text) = text.strip_prefix(before) else {
        return false;
    };
    let (_, after) = rest.split_once('>').expect("a placeholder ends");
    (1..=text.len())
        .filter(|end| text.is_char_boundary(*end))
        .any(|end| matches(after, &text[end..]))
}

/// Deletes a project to its end, and gives what the table held meanwhile.
async fn a_deletion_that_waits(world: &mut World) -> Vec<serde_json::Value> {
    world.settle().await;
    world.replay().await;
    let answer = world.delete("/api/0/projects/acme/website/", "").await;
    assert_eq!(answer.status.as_u16(), 204, "{}", answer.text());
    let mut items = world.items();
    let project = world.ready.project_id.clone().expect("a project");
    let is = |item: &serde_json::Value, pk: &str, sk: &str| {
        item["PK"]["S"] == pk && item["SK"]["S"] == sk
    };
    // Of what the bundle cannot read it cannot tell.
    let key = format!("PROJECT#{project}");
    for _ in 0..1000 {
        world.relay().await;
        world.step("project-delete").await;
        if !world.items().iter().any(|item| is(item, &key, "META")) {
            break;
        }
        world.stack.clock().advance(domain::QUIET);
        let _ = world.stack.step_schedules().await;
    }
    items.extend(world.items());
    let unreadable = json!({ "PK": { "S": key }, "SK": { "S": "META" }, "id": { "S": "none" } });
    world.put_items(vec![unreadable.clone()]).await;
    world.relay().await;
    world.drain("jobs").await;
    items.extend(world.items());
    world.remove_items(vec![unreadable]).await;
    world.settle().await;
    items
}

#[tokio::test]
async fn every_item_is_of_a_kind_in_the_chart_and_every_kind_occurs() {
    let git = Repository::new("kinds").await;
    let mut world = World::over(git.path()).await;
    world
        .operator(json!({ "command": "create-token", "organization": "acme", "name": "ci", "scopes": ["org:ci"] }))
        .await;
    crate::releases::released(&world).await;
    world
        .operator(
            json!({ "command": "create-issue", "organization": "acme", "project": "web",
            "title": "First", "release": "web@1.0" }),
        )
        .await;
    crate::deploy_notices::deployed(&world).await;
    let acme = notification_options::organization(&world).await;
    let web = world.ready.project_id.clone().expect("a project");
    for (scope, id) in [("organization", acme.as_str()), ("project", &web)] {
        notification_options::say(&world, scope, id, "always").await;
    }
    crate::fetch::fetched(&mut world, &git).await;
    crate::resolution::resolved(&world).await;
    let renamed = json!({ "slug": "website" }).to_string();
    world.put("/api/0/projects/acme/web/", renamed).await;
    let limited = Mode::RateLimited { retry_after: 60 };
    let trackers = world.stack.trackers().clone();
    trackers.set_mode_for(Provider::JiraServer, limited, 1);
    world.assign(1, world.ana()).await;
    world.drain("issue-sync").await;
    world.relay().await;
    let push = world.stack.sqs().messages("outbound-sync").remove(0);
    world.settle().await;
    let group = world.ready.group_id.clone().expect("a group");
    let choice = json!({ "isSubscribed": true }).to_string();
    world.put(&format!("/api/0/issues/{group}/"), choice).await;
    // Faults may fail one look for the cache, and the next one finds it.
    for _ in 0..3 {
        let _ = world.stack.step_schedules().await;
    }
    let mut unlinked = world.work_item(1, assigned_to(world.ana()));
    unlinked["resource"]["workItemId"] = 99.into();
    world.deliver(&unlinked).await;
    world.settle().await;
    world.unassign(2).await;
    world.drain("issue-sync").await;
    assert_eq!(
        crate::releases::delete(&world, &path_of("web@9.0")).await,
        204
    );
    let kinds = |item: &serde_json::Value| -> Vec<ChartRow> {
        let (pk, sk) = (
            item["PK"]["S"].as_str().unwrap(),
            item["SK"]["S"].as_str().unwrap(),
        );
        let fits = |row: &ChartRow| matches(row.pk, pk) && matches(row.sk, sk);
        CHART.into_iter().filter(fits).collect()
    };
    let mut seen = BTreeSet::new();
    // What is there while a deletion waits, and while an update cannot be told.
    let mut items = world.items();
    items.extend(a_deletion_that_waits(&mut world).await);
    send(&world, "outbound-sync", &push).await;
    world.settle().await;
    items.extend(world.items());
    // And while an organization waits for its end, under another name than before.
    let path = "/api/0/organizations/acme/";
    let mut renamed = pictures::upload();
    renamed["slug"] = "acme-two".into();
    assert_eq!(
        world.put(path, renamed.to_string()).await.status.as_u16(),
        200
    );
    assert_eq!(world.delete(path, "").await.status.as_u16(), 202);
    items.extend(world.items());
    for item in items {
        let kinds = kinds(&item);
        assert_eq!(kinds.len(), 1, "{} {}", item["PK"], item["SK"]);
        seen.insert(kinds[0].item);
        let listed = INDEX_CHART.iter().find(|row| row.item == kinds[0].item);
        let places = ["GSI1PK", "GSI1SK"].map(|name| item[name]["S"].as_str());
        match (listed, places) {
            (Some(row), [Some(pk), Some(sk)]) => {
                assert!(matches(row.pk, pk) && matches(row.sk, sk), "{pk} {sk}");
            }
            (listed, places) => assert_eq!((listed, places), (None, [None, None])),
        }
    }
    let all: BTreeSet<_> = CHART.iter().map(|row| row.item).collect();
    assert_eq!(seen, all);
    world.finish().await;
}
