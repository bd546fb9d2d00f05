//! Who hears of a deploy, when, and that they hear of it once.

use local::{ses::Mail, trackers::Mode};
use serde_json::{Value, json};
use tests::World;

use crate::{
    fetch::{GITHUB, minutes, pass},
    releases::{RELEASES, closed_project, items, path_of, post, project},
};

/// A commit by this address.
pub(crate) fn commit(sha: &str, email: &str) -> Value {
    json!({ "id": sha, "repository": "acme/web", "message": "m", "author_name": "A",
        "author_email": email, "timestamp": "2026-01-01T00:00:00Z" })
}

pub(crate) async fn release(world: &World, version: &str, more: Value) {
    let mut new = json!({ "version": version, "projects": ["web"] });
    new.as_object_mut()
        .expect("an object")
        .extend(more.as_object().cloned().unwrap_or_default());
    let (status, body) = post(world, RELEASES, new).await;
    assert!([201, 208].contains(&status), "{body}");
}

/// Deploys a release and gives the deploy's id.
pub(crate) async fn deploy(world: &World, version: &str, more: Value) -> String {
    let mut new = json!({ "environment": "production" });
    new.as_object_mut()
        .expect("an object")
        .extend(more.as_object().cloned().unwrap_or_default());
    let path = format!("{}deploys/", path_of(version));
    let (status, body) = post(world, &path, new).await;
    assert_eq!(status, 201, "{body}");
    body["id"].as_str().expect("an id").to_owned()
}

/// Deploys a release with a commit by Ana.
pub(crate) async fn deployed(world: &World) {
    let commits = json!([commit("abc", world.ana())]);
    release(world, "web@9.0", json!({ "commits": commits })).await;
    deploy(world, "web@9.0", json!({})).await;
}

fn lines(mails: &[Mail]) -> Vec<String> {
    let line = |mail: &Mail| format!("{}: {}", mail.to.join(", "), mail.subject);
    mails.iter().map(line).collect()
}

/// The deploys that the projects' activities tell of.
pub(crate) fn told(world: &World) -> Vec<(String, String)> {
    let rows = items(world, "PROJECT#", "ACT#deploy#");
    let text = |row: &Value, name: &str| row[name]["S"].as_str().unwrap_or_default().to_owned();
    rows.iter()
        .map(|row| (text(row, "deploy"), text(row, "PK")))
        .collect()
}

#[tokio::test]
async fn whose_commits_are_deployed_hears_of_it_once_if_they_can_see_the_project() {
    let mut world = World::start().await;
    project(&world, "a", "web-team").await;
    closed_project(&world).await;
    for email in ["new@acme.example", "gone@acme.example"] {
        world
            .operator(
                json!({ "command": "create-user", "email": email, "name": "N",
                "verified": email.starts_with('g'), "active": email.starts_with('n') }),
            )
            .await;
        world
            .operator(
                json!({ "command": "add-member", "organization": "acme", "email": email,
                "teams": ["web-team"] }),
            )
            .await;
    }
    // Of these only Ana is verified, active, and in a team of one of the release's projects.
    let authors = [
        world.ana(),
        world.cy(),
        "new@acme.example",
        "gone@acme.example",
        "nobody@acme.example",
        "not an address",
    ];
    let commits = authors.iter().enumerate();
    let commits: Vec<_> = commits
        .map(|(n, email)| commit(&format!("{n}"), email))
        .collect();
    release(
        &world,
        "web@1.0",
        json!({ "commits": commits, "projects": ["web", "a"] }),
    )
    .await;
    let first = json!({ "url": "https://deploy.example/1?a=1&b=2", "name": "blue" });
    let first = deploy(&world, "web@1.0", first).await;
    world.settle().await;
    let mails = world.mails();
    let subject = format!("{}: Re: web@1.0 was deployed to production", world.ana());
    assert_eq!(lines(&mails), [subject.as_str()]);
    let mail = &mails[0];
    let text = mail.text.as_deref().expect("a text");
    for fact in [
        "Environment: production",
        "Commits: 6",
        "Deploy: blue",
        "Organization: Acme",
        "See the deploy: https://deploy.example/1?a=1&b=2",
    ] {
        assert!(text.contains(fact), "{fact} in {text}");
    }
    let html = mail.html.as_deref().expect("HTML");
    assert!(
        html.contains("href=\"https://deploy.example/1?a=1&#38;b=2\""),
        "{html}"
    );
    assert_eq!(mail.header("X-SMTPAPI"), Some("{\"category\":\"deploy\"}"));
    let list = mail.header("List-Id").expect("a list");
    assert!(
        ["<a.acme.acme.example>", "<web.acme.acme.example>"].contains(&list),
        "{list}"
    );
    let deploys = told(&world);
    assert_eq!(deploys.len(), 2, "a line for each project: {deploys:?}");
    assert!(deploys.iter().all(|(deploy, _)| *deploy == first));

    // Another one is told of as well, in the same thread.
    deploy(&world, "web@1.0", json!({})).await;
    world.settle().await;
    let mails = world.mails();
    assert_eq!(lines(&mails), [subject.as_str(), subject.as_str()]);
    assert_eq!(
        mails[1].header("In-Reply-To"),
        mails[0].header("Message-ID")
    );
    assert_eq!(told(&world).len(), 4);
    world.finish().await;
}

#[tokio::test]
async fn the_line_about_a_deploy_begins_with_the_version_and_has_the_time_of_the_deploy() {
    let mut world = World::quiet().await;
    let version = "v".repeat(200);
    release(&world, &version, json!({})).await;
    deploy(
        &world,
        &version,
        json!({ "dateFinished": "2026-01-01T00:01:00Z" }),
    )
    .await;
    // Nothing is waited for: it is told of at once.
    world.settle_now().await;
    let rows = items(&world, "PROJECT#", "ACT#deploy#");
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["ident"]["S"], "v".repeat(64));
    assert_eq!(rows[0]["version"]["S"], version);
    assert_eq!(rows[0]["environment"]["S"], "production");
    assert_eq!(rows[0]["at"]["N"], "1767225660000");
    // Nobody's commits are in it.
    assert_eq!(world.mails().len(), 0);
    world.finish().await;
}

/// A release that names its newest commit, whose commits are not known yet, and its deploy.
async fn waiting(world: &mut World) {
    let refs = json!([{ "repository": "acme/web", "commit": "abc" }]);
    release(world, "web@2.0", json!({ "refs": refs })).await;
    deploy(world, "web@2.0", json!({})).await;
    world.relay().await;
    world.drain("jobs").await;
    assert_eq!(told(world), [], "it waits for the commits");
}

#[tokio::test]
async fn a_deploy_waits_for_the_commits_of_its_release_until_they_are_known() {
    let mut world = World::start().await;
    waiting(&mut world).await;
    let commits = json!([commit("abc", world.bo())]);
    release(&world, "web@2.0", json!({ "commits": commits })).await;
    world.settle_now().await;
    assert_eq!(told(&world).len(), 1);
    // What it waited for in vain changes nothing any more.
    world.settle().await;
    let subject = format!("{}: Re: web@2.0 was deployed to production", world.bo());
    assert_eq!(lines(&world.mails()), [subject]);
    world.finish().await;
}

#[tokio::test]
async fn a_deploy_whose_commits_cannot_be_fetched_is_told_of_after_two_hours() {
    let mut world = World::start().await;
    world.stack.trackers().set_mode(GITHUB, Mode::Failing);
    waiting(&mut world).await;
    world.settle_now().await;
    pass(&mut world, minutes(119)).await;
    assert_eq!(told(&world), []);
    pass(&mut world, minutes(2)).await;
    assert_eq!(told(&world).len(), 1);
    world.stack.trackers().set_mode(GITHUB, Mode::Ok);
    world.settle().await;
    assert_eq!(told(&world).len(), 1);
    // Nobody's commits are deployed; whoever named them has heard that they could not be fetched.
    let ana = format!("{}: Unable to Fetch Commits", world.ana());
    assert_eq!(lines(&world.mails()), [ana]);
    world.finish().await;
}

#[tokio::test]
async fn a_deploy_that_was_deleted_with_its_release_is_not_told_of() {
    let mut world = World::start().await;
    release(
        &world,
        "web@3.0",
        json!({ "commits": [commit("abc", world.ana())] }),
    )
    .await;
    deploy(&world, "web@3.0", json!({})).await;
    assert_eq!(
        crate::releases::delete(&world, &path_of("web@3.0")).await,
        204
    );
    world.settle().await;
    assert_eq!((told(&world).len(), world.mails().len()), (0, 0));
    world.finish().await;
}

#[tokio::test]
async fn neither_a_mail_nor_a_log_shows_a_secret_or_whom_it_goes_to() {
    let mut world = World::start().await;
    deployed(&world).await;
    world.settle().await;
    let mails = serde_json::to_string(&world.mails()).expect("JSON");
    assert!(mails.contains("web@9.0"));
    let ring = &world.stack.environments()["operator"]["KEY_RING"];
    let secrets = [
        world.ready.auth_token.as_deref(),
        world.ready.vsts_shared_secret.as_deref(),
        ring.split_once(':').map(|(_, text)| text),
    ];
    for secret in secrets {
        let secret = secret.expect("a secret");
        assert!(!mails.contains(secret), "a secret in a mail");
        assert!(!world.log_text().contains(secret), "a secret in the log");
    }
    assert!(
        !world.log_text().contains(world.ana()),
        "an address in the log"
    );
    world.finish().await;
}
