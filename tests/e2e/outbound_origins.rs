//! Each change from each origin: those trackers are told that do not know of it, and no other.

use domain::{
    ApiOrigin, CodeChange, CodeOrigin, CommitRef, MessageId, Origin, Timestamp, TrackerOrigin,
};
use serde_json::{Value, json};
use tests::World;

use crate::{
    outbound::{at_azure, here, told},
    releases::{RELEASES, path_of, post, put},
    subscriptions::team,
};

/// The origins, one after the other. A new one does not compile before it has its place here, and a row below.
fn after(origin: Option<&Origin>) -> Option<Origin> {
    let id = MessageId::new(Timestamp::from_millis(0), 0);
    let tracker = TrackerOrigin {
        provider: domain::Provider::Vsts,
        integration: "9".parse().expect("an id"),
        external_issue: "31".parse().expect("a key"),
        revision: None,
        delivery: id,
    };
    let commit = CommitRef {
        repository: "5".parse().expect("an id"),
        sha: "c1".into(),
    };
    let code = CodeOrigin {
        change: CodeChange::Commit(commit),
        release: None,
        cause: id,
    };
    let (user, request) = (None, id);
    match origin {
        None => Some(Origin::Tracker(tracker)),
        Some(Origin::Tracker(_)) => Some(Origin::Api(ApiOrigin { user, request })),
        Some(Origin::Api(_)) => Some(Origin::Code(code)),
        Some(Origin::Code(_)) => None,
    }
}

/// What is to be so.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Change {
    Ana,
    Bo,
    Nobody,
    Team,
    Resolved,
    Unresolved,
}

use Change::{Ana, Bo, Nobody, Resolved, Team, Unresolved};

/// What can come from an origin. Texts name no team, and take an issue from nobody; work items have no teams.
fn changes(origin: &Origin) -> &'static [Change] {
    match origin {
        Origin::Tracker(_) => &[Ana, Bo, Resolved, Nobody, Unresolved],
        Origin::Api(_) => &[Team, Resolved, Ana, Bo, Nobody, Unresolved],
        Origin::Code(_) => &[Bo, Resolved, Ana],
    }
}

/// The origins in a row in which each comes after each, itself included.
fn row(origins: &[Origin]) -> Vec<Origin> {
    let mut row = Vec::new();
    for (place, first) in origins.iter().enumerate() {
        row.push(first.clone());
        for second in &origins[place + 1..] {
            row.extend([first.clone(), second.clone()]);
        }
    }
    row
}

async fn here_status(world: &World, status: &str) {
    let group = world.ready.group_id.clone().expect("a seeded issue");
    let body = json!({ "status": status }).to_string();
    let answer = world.put(&format!("/api/0/issues/{group}/"), body).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
}

/// Carries a change out, the `number`th of all.
async fn carry_out(world: &mut World, origin: &Origin, change: Change, number: usize) {
    let address = match change {
        Ana => Some(world.ana().to_owned()),
        Bo => Some(world.bo().to_owned()),
        Nobody | Team | Resolved | Unresolved => None,
    };
    match (origin, change) {
        (Origin::Tracker(_), Ana | Bo | Nobody) => at_azure(world, address.as_deref()).await,
        (Origin::Tracker(_), Resolved | Unresolved) => {
            let (old, new) = match change == Resolved {
                true => ("Active", "Resolved"),
                false => ("Resolved", "Active"),
            };
            let revision = world.stack.trackers().work_item(31).rev;
            let mut body = world.work_item(revision, Value::Null);
            body["resource"]["fields"] =
                json!({ "System.State": { "oldValue": old, "newValue": new } });
            world.deliver(&body).await;
        }
        (Origin::Api(_), Ana | Bo | Nobody) => here(world, json!(address)).await,
        (Origin::Api(_), Team) => here(world, json!(team(world))).await,
        (Origin::Api(_), Resolved | Unresolved) => {
            let status = if change == Resolved {
                "resolved"
            } else {
                "unresolved"
            };
            here_status(world, status).await;
        }
        (Origin::Code(_), Ana | Bo) => {
            let save = json!({ "command": "save-pull-request", "organization": "acme",
                "repository": "acme/web", "key": number.to_string(), "title": "Fixes WEB-1",
                "author_email": address });
            world.operator(save).await;
        }
        (Origin::Code(_), Resolved) => {
            let commit = json!({ "id": format!("c{number}"), "repository": "acme/web",
                "message": "Fixes WEB-1", "author_email": "x@example.com", "author_name": "X",
                "timestamp": "2026-01-01T00:00:00Z" });
            let (status, body) = put(world, &path_of("1"), json!({ "commits": [commit] })).await;
            assert_eq!(status, 200, "{body}");
        }
        (Origin::Tracker(_), Team) | (Origin::Code(_), Nobody | Team | Unresolved) => {
            panic!("{change:?} does not come from there")
        }
    }
    world.settle().await;
}

/// What both trackers have of what a change is about, by name.
fn at_trackers(world: &World, change: Change) -> [Option<String>; 2] {
    let trackers = world.stack.trackers();
    let azure = trackers.work_item(31);
    match change {
        Ana | Bo | Nobody | Team => {
            let name = |address: String| address.split('@').next().map(str::to_lowercase);
            [azure.assignee.and_then(name), trackers.jira_issue("WEB-7")]
        }
        Resolved | Unresolved => {
            let resolved = |status: &str| Some((status == "Resolved").to_string());
            [
                resolved(azure.state),
                resolved(trackers.jira_status("WEB-7")),
            ]
        }
    }
}

/// What is here of what a change is about, and by what it is so.
fn here_is(issue: &Value, change: Change) -> Option<String> {
    match change {
        Ana | Bo | Nobody | Team => {
            let name = issue["assignedTo"]["name"].as_str()?.to_lowercase();
            name.split(' ').next().map(str::to_owned)
        }
        Resolved | Unresolved => {
            let resolved = issue["status"] == "resolved";
            Some(format!("{resolved} {}", issue["statusDetails"]))
        }
    }
}

/// What the activity calls the cause of a change.
fn cause(origin: &Origin) -> &'static [&'static str] {
    match origin {
        Origin::Tracker(_) => &["delivery"],
        Origin::Api(_) => &["request"],
        Origin::Code(_) => &["commit", "pullRequest"],
    }
}

/// The issue and its activity, as clients see them.
async fn shown(world: &World) -> (Value, Value) {
    let group = world.ready.group_id.as_deref().expect("a seeded issue");
    let path = format!("/api/0/issues/{group}/");
    let activities = format!("{path}activities/?per_page=100");
    let (issue, activity) = tokio::join!(world.get(&path), world.get(&activities));
    (issue.json(), activity.json()["activity"].take())
}

/// The lines of the activity that tell of a change of this kind, the newest first.
fn lines(activity: &Value, change: Change) -> Vec<&Value> {
    let lines = activity.as_array().expect("a list").iter();
    let tells = |line: &&Value| {
        let kind = line["type"].as_str().unwrap_or_default();
        match change {
            Ana | Bo | Nobody | Team => ["assigned", "unassigned"].contains(&kind),
            Resolved | Unresolved => {
                ["set_resolved", "set_unresolved", "set_resolved_in_release"].contains(&kind)
            }
        }
    };
    lines.filter(tells).collect()
}

#[tokio::test]
async fn whatever_changes_from_wherever_exactly_those_are_told_who_do_not_know() {
    let origins: Vec<_> =
        std::iter::successors(after(None), |origin| after(Some(origin))).collect();
    let mut world = World::start().await;
    let release = json!({ "version": "1", "projects": ["web"] });
    assert_eq!(post(&world, RELEASES, release).await.0, 201);
    // It has been looked at.
    here_status(&world, "unresolved").await;
    world.settle().await;
    let mut left: Vec<_> = origins
        .iter()
        .map(|origin| (origin.clone(), changes(origin).iter().cycle()))
        .collect();
    let row = row(&origins);
    let (mut seen, mut shown_last) = (Vec::new(), shown(&world).await);
    for (number, origin) in row.iter().cycle().take(2 * row.len()).enumerate() {
        let own = left.iter_mut().find(|(it, _)| it == origin);
        let change = *own
            .and_then(|(_, changes)| changes.next())
            .expect("a change");
        seen.push((origin.clone(), change));
        world.stack.trackers().forget_requests();
        let before = at_trackers(&world, change);
        carry_out(&mut world, origin, change, number).await;
        let now = shown(&world).await;
        let (was, is) = (here_is(&shown_last.0, change), here_is(&now.0, change));

        let wanted = match change {
            Ana => Some("ana".to_owned()),
            Bo => Some("bo".to_owned()),
            Nobody => None,
            Team => Some("web-team".to_owned()),
            Resolved => Some("true".to_owned()),
            Unresolved => Some("false".to_owned()),
        };
        let differs = |has: &&Option<String>| **has != wanted;
        let (holds, expected) = match (origin, change) {
            // A state of theirs stays there.
            (Origin::Tracker(_), Resolved | Unresolved) => (was.clone(), 0),
            (Origin::Tracker(_), _) => (wanted.clone(), before[1..].iter().filter(differs).count()),
            // Trackers know people only.
            (_, Team) => (wanted.clone(), 0),
            (_, _) => (wanted.clone(), before.iter().filter(differs).count()),
        };
        let (told, case) = (told(&world), format!("{number}: {origin:?} {change:?}"));
        assert_eq!(told.len(), expected, "{case}: {told:?}");
        let bare = |it: &Option<String>| {
            let it = it.as_ref()?;
            it.split(' ').next().map(str::to_owned)
        };
        assert_eq!(bare(&is), bare(&holds), "{case}");
        let apart = match (origin, change) {
            (Origin::Tracker(_), Resolved | Unresolved) | (_, Team) => true,
            (Origin::Tracker(_) | Origin::Api(_) | Origin::Code(_), _) => false,
        };
        if !apart {
            let have = at_trackers(&world, change);
            assert_eq!(have, [wanted.clone(), wanted], "{case}");
        }
        let (past, told) = (lines(&shown_last.1, change), lines(&now.1, change));
        assert_eq!(told.len() - past.len(), usize::from(was != is), "{case}");
        if was != is {
            let data = &told[0]["data"];
            let causes = cause(origin).iter();
            let causes = causes.filter(|name| data["cause"][**name].is_string());
            assert_eq!(causes.count(), 1, "{case}: {data}");
        }
        shown_last = now;
    }
    for origin in &origins {
        for change in changes(origin) {
            assert!(
                seen.contains(&(origin.clone(), *change)),
                "{origin:?} {change:?}"
            );
        }
        let follows = |second: &Origin| {
            seen.windows(2)
                .any(|pair| pair[0].0 == *origin && pair[1].0 == *second)
        };
        assert!(origins.iter().all(follows), "{origin:?}");
    }
    world.without_replay();
    world.finish().await;
}
