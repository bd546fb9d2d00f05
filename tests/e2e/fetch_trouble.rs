//! Trouble with fetching commits: what hosts do wrong, what is off, and who hears of it in which words.

use hyper::Method;
use local::trackers::{AZURE_REPOSITORY, Mode, Provider};
use serde_json::{Value, json};
use tests::World;

use crate::{
    api::token,
    deploy_notices, failures,
    fetch::{
        GITHUB, HEALED, UNABLE, asked, commits, identify, identify_as, last_mail, minutes, name,
        pass, range, repository, stored, told, web,
    },
    git::Repository,
    mail::{organization, send_message},
    releases::{RELEASES, commit, items, path_of, post, put, send_as, shas},
};

/// Names a newest commit with another token than the seeded one.
async fn name_as(world: &World, token: &str, version: &str, refs: Value) {
    let new = json!({ "version": version, "projects": ["web"], "refs": refs });
    let answer = send_as(world, token, Method::POST, RELEASES, &new).await;
    assert_eq!(answer.status.as_u16(), 201, "{}", answer.text());
}

async fn user(world: &World, email: &str, active: bool) {
    let new = json!({ "command": "create-user", "email": email, "name": "N", "active": active });
    world.operator(new).await;
}

async fn member(world: &World, email: &str) {
    user(world, email, true).await;
    let new = json!({ "command": "add-member", "organization": "acme", "email": email,
        "teams": ["web-team"] });
    world.operator(new).await;
}

#[tokio::test]
async fn a_repository_that_fails_holds_up_no_other_and_is_told_of_once_without_any_secret() {
    let git = Repository::new("three").await;
    let newest = git.shas[0].as_str();
    let mut world = World::over(git.path()).await;
    repository(&world, "acme/lib", "github").await;
    repository(&world, "web/backend", "vsts").await;
    let azure = world.stack.trackers().azure_identity();
    world
        .stack
        .trackers()
        .set_mode(Provider::Vsts, Mode::RefusedToken);
    let of = |name: &str| json!({ "repository": name, "commit": range(&git) });
    let refs = json!([of("acme/web"), of("web/backend"), of("acme/lib")]);
    for version in ["1", "2"] {
        name(&world, version, refs.clone()).await;
        world.settle_now().await;
        let body = world.get(&path_of(version)).await.json();
        assert_eq!(body["lastCommit"]["id"], newest);
    }
    let list = commits(&world, "1").await;
    let mut names: Vec<_> = list
        .iter()
        .map(|it| it["repository"]["name"].clone())
        .collect();
    names.dedup();
    names.sort_by_key(Value::to_string);
    names.dedup();
    assert_eq!(names, ["acme/lib", "acme/web"]);
    assert_eq!(told(&world), [UNABLE]);
    let text = last_mail(&world);
    for said in ["web/backend", "The token is not accepted", "Unauthorized"] {
        assert!(text.contains(said), "{text}");
    }
    for secret in [&azure.access_token, &azure.refresh_token] {
        assert!(!text.contains(secret.as_str()) && !world.log_text().contains(secret.as_str()));
    }
    // The next try finds the tracker mended: what is missing comes by itself, and that is told.
    world.stack.trackers().set_mode(Provider::Vsts, Mode::Ok);
    world.settle().await;
    assert_eq!(told(&world), [UNABLE, HEALED]);
    for version in ["1", "2"] {
        let list = commits(&world, version).await;
        assert!(
            list.iter()
                .any(|it| it["repository"]["name"] == "web/backend")
        );
    }
    world.finish().await;
}

#[tokio::test]
async fn a_refused_identity_is_told_to_its_owner_once_and_forgotten_and_a_new_one_brings_what_is_missing()
 {
    let git = Repository::new("identity").await;
    let mut world = World::over(git.path()).await;
    let host = world.integration_of("github");
    identify(&world).await;
    world.stack.trackers().set_mode(GITHUB, Mode::RefusedToken);
    let versions: Vec<_> = (0..4).map(|n| n.to_string()).collect();
    for version in &versions {
        name(&world, version, web(&range(&git))).await;
        world.settle_now().await;
    }
    let bo = format!("{}: Unable to Fetch Commits", world.bo());
    assert_eq!(told(&world), [bo.as_str()]);
    let text = last_mail(&world);
    assert!(
        text.contains("https://github.com/settings/tokens"),
        "{text}"
    );
    let kept = items(&world, &format!("INTEGRATION#{host}"), "IDENTITY#");
    assert_eq!(kept.len(), 0, "it is forgotten");
    world.stack.trackers().set_mode(GITHUB, Mode::Ok);
    identify(&world).await;
    world.settle().await;
    let healed = format!("{}: Commits Can Be Fetched Again", world.bo());
    assert_eq!(told(&world), [bo, healed]);
    for version in &versions {
        assert_ne!(shas(&world, version).await, [""; 0], "{version}");
    }
    world.finish().await;
}

#[tokio::test]
async fn of_a_refused_identity_that_several_repositories_need_its_owner_alone_hears_and_once() {
    let git = Repository::new("shared identity").await;
    let mut world = World::over(git.path()).await;
    identify(&world).await;
    repository(&world, "acme/lib", "github").await;
    repository(&world, "acme/api", "github").await;
    world.stack.trackers().set_mode(GITHUB, Mode::RefusedToken);
    let refs = ["acme/web", "acme/lib", "acme/api"];
    let refs = refs.map(|name| json!({ "repository": name, "commit": range(&git) }));
    name(&world, "1", json!(refs)).await;
    world.settle_now().await;
    let bo = format!("{}: Unable to Fetch Commits", world.bo());
    assert_eq!(told(&world), [bo.as_str()]);
    world.stack.trackers().set_mode(GITHUB, Mode::Ok);
    identify(&world).await;
    world.settle().await;
    let healed = format!("{}: Commits Can Be Fetched Again", world.bo());
    assert_eq!(told(&world), [bo, healed]);
    assert_eq!(stored(&world, "1")["fetches"]["M"], json!({}));
    world.finish().await;
}

#[tokio::test]
async fn trouble_that_passes_is_waited_for_and_nobody_hears_of_it() {
    let git = Repository::new("passes").await;
    let mut world = World::over(git.path()).await;
    let trackers = world.stack.trackers().clone();
    trackers.set_mode(GITHUB, Mode::RateLimited { retry_after: 900 });
    name(&world, "1", web(&range(&git))).await;
    world.settle_now().await;
    trackers.set_mode(GITHUB, Mode::Failing);
    name(&world, "2", web(&range(&git))).await;
    world.settle_now().await;
    trackers.set_mode(GITHUB, Mode::Ok);
    pass(&mut world, minutes(14)).await;
    assert_eq!(shas(&world, "1").await, [""; 0], "it is not asked sooner");
    assert_eq!(shas(&world, "2").await, git.shas[..2]);
    pass(&mut world, minutes(2)).await;
    assert_eq!(shas(&world, "1").await, git.shas[..2]);
    assert_eq!(told(&world), [""; 0]);
    world.finish().await;
}

#[tokio::test]
async fn a_host_that_is_away_for_a_day_is_told_of_once() {
    let git = Repository::new("away").await;
    let mut world = World::quiet_over(git.path()).await;
    let trackers = world.stack.trackers().clone();
    trackers.set_mode(GITHUB, Mode::Failing);
    name(&world, "1", web(&range(&git))).await;
    world.settle().await;
    assert_eq!(told(&world), [UNABLE]);
    let text = last_mail(&world);
    assert!(text.contains("has not answered for a day"), "{text}");
    assert!(!text.contains("it is broken"), "not in any words: {text}");
    trackers.set_mode(GITHUB, Mode::Ok);
    assert_eq!(shas(&world, "1").await, [""; 0]);
    world.finish().await;
}

#[tokio::test]
async fn of_a_refused_token_hears_whoever_asked_where_no_mail_reaches_its_owner() {
    let git = Repository::new("departed").await;
    let mut world = World::over(git.path()).await;
    let host = world.integration_of("github");
    member(&world, "gone@acme.example").await;
    user(&world, "gone@acme.example", false).await;
    user(&world, "stranger@acme.example", true).await;
    member(&world, "bot@localhost").await;
    let mut expected = Vec::new();
    for (n, owner) in [
        "gone@acme.example",
        "stranger@acme.example",
        "bot@localhost",
    ]
    .into_iter()
    .enumerate()
    {
        identify_as(&world, owner).await;
        world.stack.trackers().set_mode(GITHUB, Mode::RefusedToken);
        name(&world, &n.to_string(), web(&range(&git))).await;
        world.settle_now().await;
        expected.push(UNABLE);
        assert_eq!(told(&world), expected, "{owner}");
        assert!(last_mail(&world).contains("The token is not accepted"));
        let kept = items(&world, &format!("INTEGRATION#{host}"), "IDENTITY#");
        assert_eq!(
            kept.len(),
            1,
            "whose it is was not told that it is forgotten"
        );
        world.stack.trackers().set_mode(GITHUB, Mode::Ok);
        pass(&mut world, minutes(1)).await;
        expected.push(HEALED);
        assert_eq!(told(&world), expected, "{owner}");
    }
    world.finish().await;
}

#[tokio::test]
async fn the_owners_hear_of_what_a_token_of_the_organization_asked_for_and_nobody_for_who_is_gone()
{
    let git = Repository::new("owners").await;
    let mut world = World::over(git.path()).await;
    let ci = token(&world, "ci", ("organization", "acme"), json!(["org:ci"])).await;
    let role = json!({ "command": "set-role", "organization": "acme", "email": world.bo(), "role": "owner" });
    world.operator(role).await;
    member(&world, "dee@acme.example").await;
    let scopes = json!(["project:releases"]);
    let dee = token(&world, "dee", ("email", "dee@acme.example"), scopes).await;
    world.stack.trackers().set_mode(GITHUB, Mode::Forbidden);
    name_as(&world, &dee, "0", web(&range(&git))).await;
    user(&world, "dee@acme.example", false).await;
    world.settle_now().await;
    assert_eq!(told(&world), [""; 0], "nobody");

    world.stack.trackers().set_mode(GITHUB, Mode::RefusedToken);
    for version in ["1", "2"] {
        name_as(&world, &ci, version, web(&range(&git))).await;
        world.settle_now().await;
    }
    let mut mails = told(&world);
    mails.sort();
    let (ana, bo) = (world.ana().to_owned(), world.bo().to_owned());
    let to_bo = |subject: &str| subject.replace(&ana, &bo);
    assert_eq!(mails, [UNABLE.to_owned(), to_bo(UNABLE)]);
    assert!(last_mail(&world).contains("own the organization"));
    // Ana, who is told as an owner too, asks herself, and trouble of another kind is told to her.
    world.stack.trackers().set_mode(GITHUB, Mode::Forbidden);
    name(&world, "3", web("other")).await;
    world.settle_now().await;
    world.stack.trackers().set_mode(GITHUB, Mode::Ok);
    pass(&mut world, minutes(1)).await;
    let mut mails = told(&world).split_off(2);
    mails.sort();
    assert_eq!(mails, [HEALED.to_owned(), to_bo(HEALED)], "each one");
    for version in ["1", "2"] {
        assert_eq!(shas(&world, version).await, git.shas[..2]);
    }
    world.finish().await;
}

#[tokio::test]
async fn a_host_that_refuses_is_told_of_in_its_own_words_and_a_fault_of_ours_in_none() {
    let git = Repository::new("words").await;
    let mut world = World::over(git.path()).await;
    world.stack.trackers().set_mode(GITHUB, Mode::Forbidden);
    name(&world, "1", web(&range(&git))).await;
    world.settle_now().await;
    assert_eq!(told(&world), [UNABLE]);
    let refused = "The host refuses the request. Error Communicating with GitHub (HTTP 403): the token may not read this";
    assert_eq!(last_mail(&world).lines().next(), Some(refused));

    let new = json!({ "command": "create-integration", "organization": "acme", "provider": "vsts",
        "external_id": "other", "name": "No account/secret", "domain_name": "https://dev.azure.com/other/" });
    let other = world.operator(new).await["integration"]["id"].take();
    let azure = world.stack.trackers().azure_identity();
    let set = json!({ "command": "set-identity", "organization": "acme", "integration": other,
        "identity": { "vsts": azure } });
    world.operator(set).await;
    let new = json!({ "command": "create-repository", "organization": "acme", "name": "web/other",
        "provider": "integrations:vsts", "url": "https://host.example/other",
        "integration": other, "external_id": AZURE_REPOSITORY });
    world.operator(new).await;
    let refs = json!([{ "repository": "web/other", "commit": git.shas[0] }]);
    name(&world, "2", refs).await;
    world.settle_now().await;
    assert_eq!(told(&world), [UNABLE, UNABLE]);
    let text = last_mail(&world);
    assert_eq!(text.lines().next(), Some("An internal error occurred."));
    assert!(!text.contains("secret"), "{text}");
    world.finish().await;
}

#[tokio::test]
async fn an_integration_that_is_disabled_or_detached_is_told_of_with_what_helps() {
    let git = Repository::new("disabled").await;
    let mut world = World::over(git.path()).await;
    let set = async |world: &World, status: &str| {
        let new = json!({ "command": "create-integration", "organization": "acme", "provider": "github",
            "external_id": "acme", "name": "acme", "domain_name": "https://github.com/", "status": status });
        world.operator(new).await;
    };
    set(&world, "disabled").await;
    for version in ["1", "2"] {
        name(&world, version, web(&range(&git))).await;
        world.settle_now().await;
    }
    assert_eq!(told(&world), [UNABLE], "once");
    let text = last_mail(&world);
    for said in [
        "integration is disabled or detached",
        "Enable the integration",
    ] {
        assert!(text.contains(said), "{text}");
    }
    set(&world, "active").await;
    name(&world, "1", web(&range(&git))).await;
    world.settle_now().await;
    assert_eq!(shas(&world, "1").await, git.shas[..2]);
    assert_eq!(told(&world), [UNABLE, HEALED]);
    let host = world.integration_of("github");
    let attached = items(&world, &format!("INTEGRATION#{host}"), "ORG#");
    assert_eq!(attached.len(), 1);
    world.remove_items(attached).await;
    name(&world, "2", web(&range(&git))).await;
    world.settle_now().await;
    assert_eq!(told(&world), [UNABLE, HEALED, UNABLE]);
    world.finish().await;
}

#[tokio::test]
async fn a_release_that_can_note_no_other_repository_says_so() {
    let git = Repository::new("full").await;
    let mut world = World::quiet_over(git.path()).await;
    let new = json!({ "version": "1", "projects": ["web"],
        "commits": [commit("own", "elsewhere", "2027-01-01T00:00:00Z")] });
    assert_eq!(post(&world, RELEASES, new).await.0, 201);
    let fill = async |world: &World, ids: Vec<String>| {
        let mut release = stored(world, "1");
        let lists = release["lists"]["M"].as_object().expect("lists");
        let list = lists.values().next().expect("a list").clone();
        let lists = ids.into_iter().map(|id| (id, list.clone()));
        release["lists"]["M"] = Value::Object(lists.collect());
        world.put_items(vec![release]).await;
    };
    fill(&world, (1..=300).map(|n| n.to_string()).collect()).await;
    name(&world, "1", web(&range(&git))).await;
    world.settle_now().await;
    assert_eq!(told(&world), [UNABLE]);
    let text = last_mail(&world);
    for said in ["commits of too many repositories", "a release of its own"] {
        assert!(text.contains(said), "{text}");
    }
    assert_eq!(stored(&world, "1")["fetches"]["M"], json!({}));
    // One that it has commits of takes no more room.
    let known = items(&world, "REPOSITORY#", "META").into_iter();
    let mut known = known.filter(|item| item["name"]["S"] == "acme/web");
    let id = known.next().expect("a repository")["id"]["S"].take();
    let mut ids: Vec<_> = (1..300).map(|n| n.to_string()).collect();
    ids.push(id.as_str().expect("an id").to_owned());
    fill(&world, ids).await;
    name(&world, "1", web(&range(&git))).await;
    world.settle_now().await;
    assert_eq!(told(&world), [UNABLE, HEALED]);
    assert_eq!(
        stored(&world, "1")["lists"]["M"][id.as_str().expect("an id")]["M"]["listed"]["N"],
        "2"
    );
    // So is it for a list that a client sends.
    for (repository, expected) in [("acme/web", 200), ("acme/new", 400)] {
        let list = json!({ "commits": [{ "id": "c".repeat(40), "repository": repository }] });
        let (status, body) = put(&world, &path_of("1"), list).await;
        assert_eq!(status, expected, "{body}");
    }
    world.finish().await;
}

#[tokio::test]
async fn a_repository_without_commits_is_waited_for_like_a_commit_that_is_not_there() {
    let mut git = Repository::empty("empty").await;
    let mut world = World::over(git.path()).await;
    name(&world, "1", web("trunk")).await;
    world.settle_now().await;
    git.git(&["checkout", "--quiet", "-b", "trunk"], 0).await;
    let waits = [1, 5, 15];
    for wait in waits {
        pass(&mut world, minutes(wait)).await;
        assert_eq!(told(&world), [""; 0]);
    }
    pass(&mut world, minutes(60)).await;
    assert_eq!(told(&world), [UNABLE]);
    let text = last_mail(&world);
    assert!(text.contains("The commit cannot be found"), "{text}");
    name(&world, "2", web("trunk")).await;
    world.settle_now().await;
    git.commit(1).await;
    pass(&mut world, minutes(1)).await;
    assert_eq!(shas(&world, "2").await, git.shas);
    assert_eq!(told(&world), [UNABLE, HEALED]);
    world.finish().await;
}

#[tokio::test]
async fn a_host_that_is_slow_gives_a_commit_to_each_message_at_least() {
    let git = Repository::new("slow").await;
    let mut world = World::quiet_over(git.path()).await;
    let minute = Mode::Slow { seconds: 60 };
    world.stack.trackers().set_mode(GITHUB, minute);
    name(&world, "1", web(&range(&git))).await;
    world.settle_now().await;
    assert_eq!(shas(&world, "1").await, git.shas[..2]);
    let [c3, c2, c1] = [0, 1, 2].map(|n| git.shas[n].as_str());
    let list = format!("compare/{c1}...{c3}?per_page=100&page=1");
    let [first, second] = [c3, c2].map(|sha| format!("commits/{sha}?page=1"));
    let expected = [list.clone(), first, list, second];
    assert_eq!(asked(&world, GITHUB), expected);
    assert_eq!(told(&world), [""; 0]);
    world.finish().await;
}

#[tokio::test]
async fn a_host_that_hangs_is_asked_again_later_and_nothing_is_lost() {
    let git = Repository::new("hangs").await;
    let mut world = World::quiet_over(git.path()).await;
    world.stack.trackers().set_mode(GITHUB, Mode::Hang);
    name(&world, "1", web(&range(&git))).await;
    world.settle_now().await;
    let fetches = stored(&world, "1")["fetches"]["M"].take();
    let fetch = fetches.as_object().and_then(|all| all.values().next());
    let fetch = fetch.expect("it waits");
    assert_eq!(fetch["M"]["failing"]["M"]["attempts"]["N"], "1");
    world.stack.trackers().set_mode(GITHUB, Mode::Ok);
    pass(&mut world, minutes(1)).await;
    assert_eq!(shas(&world, "1").await, git.shas[..2]);
    assert_eq!(stored(&world, "1")["fetches"]["M"], json!({}));
    assert_eq!(told(&world), [""; 0]);
    world.finish().await;
}

#[tokio::test]
async fn what_comes_for_a_release_that_is_gone_is_done_and_the_log_says_so() {
    let mut world = World::quiet().await;
    name(&world, "1", web("abc")).await;
    let release = stored(&world, "1")["id"]["S"].take();
    world.relay().await;
    let path = path_of("1");
    assert_eq!(crate::releases::delete(&world, &path).await, 204);
    let record = json!({ "type": "RecordDeploys.v1", "organization": organization(&world).await,
        "version": "1", "release": release });
    send_message(&world, record.clone()).await;
    // What is no version does not come into the bundle by a message either.
    let mut invalid = record;
    invalid["version"] = "a/b".into();
    let body = json!({ "id": "01KAJ5T4QGXT9V5V3J9Z5M2C7G", "trace": "t", "message": invalid });
    failures::send(&world, "fetch-commits", &body.to_string()).await;
    world.expect_dead("fetch-commits", 1);
    world.settle_now().await;
    let gone = |line: &&Value| line["message"] == "the release is gone" && line["level"] == "ERROR";
    assert_eq!(world.logs().iter().filter(gone).count(), 2);
    world.finish().await;
}

#[tokio::test]
async fn a_deploy_is_told_of_as_soon_as_nobody_fetches_its_commits_any_more() {
    let mut world = World::start().await;
    let told = |world: &World| deploy_notices::told(world).len();
    // The commit that it waits for never comes.
    name(&world, "1", web("abc")).await;
    deploy_notices::deploy(&world, "1", json!({})).await;
    world.settle_now().await;
    for wait in [1, 5, 15] {
        pass(&mut world, minutes(wait)).await;
        assert_eq!(told(&world), 0);
    }
    pass(&mut world, minutes(60)).await;
    assert_eq!(told(&world), 1);
    // A client brings its commits, or wants none.
    let list = json!({ "commits": [commit("own", "acme/web", "2027-01-01T00:00:00Z")] });
    for (version, last) in [("2", list), ("3", json!({ "refs": [] }))] {
        let before = told(&world);
        name(&world, version, web("abc")).await;
        deploy_notices::deploy(&world, version, json!({})).await;
        world.settle_now().await;
        assert_eq!(told(&world), before, "it waits");
        assert_eq!(put(&world, &path_of(version), last).await.0, 200);
        world.settle_now().await;
        assert_eq!(told(&world), before + 1, "{version}");
    }
    // There is no host to ask.
    let new = json!({ "command": "create-repository", "organization": "acme", "name": "plain",
        "provider": "git", "url": "https://host.example/x" });
    world.operator(new).await;
    let refs = json!([{ "repository": "plain", "commit": "abc" }]);
    name(&world, "4", refs).await;
    world.settle_now().await;
    deploy_notices::deploy(&world, "4", json!({})).await;
    world.settle_now().await;
    assert_eq!(told(&world), 4);
    world.finish().await;
}
