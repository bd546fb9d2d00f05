//! Commits that clients only name: what the repositories' hosts are asked, what a release shows of the answers,
//! and who hears of trouble.

use local::{
    ses::Mail,
    trackers::{AZURE_REPOSITORY, Mode, Provider, Request},
};
use serde_json::{Value, json};
use tests::World;

use crate::{
    git::Repository,
    releases::{RELEASES, commit, items, path_of, post, project, put, shas},
};

pub(crate) const GITHUB: Provider = Provider::Github;

/// Makes a release whose newest commits these are, or names them anew.
pub(crate) async fn name(world: &World, version: &str, refs: Value) {
    let new = json!({ "version": version, "projects": ["web"], "refs": refs });
    let (status, body) = post(world, RELEASES, new).await;
    assert!([201, 208].contains(&status), "{body}");
}

pub(crate) fn web(commit: &str) -> Value {
    json!([{ "repository": "acme/web", "commit": commit }])
}

/// The same with the commit after which they begin: else each release would begin where the one before ends.
pub(crate) fn range(git: &Repository) -> String {
    format!("{}..{}", git.shas[2], git.shas[0])
}

/// Ties one more repository to the seeded integration of its host.
pub(crate) async fn repository(world: &World, name: &str, provider: &str) {
    let mut new = json!({
        "command": "create-repository", "organization": "acme", "name": name,
        "provider": format!("integrations:{provider}"), "url": format!("https://host.example/{name}"),
        "integration": world.integration_of(provider),
    });
    if provider == "vsts" {
        new["external_id"] = AZURE_REPOSITORY.into();
    }
    world.operator(new).await;
}

/// The commits of a release as the API shows them.
pub(crate) async fn commits(world: &World, version: &str) -> Vec<Value> {
    let list = world.get(&format!("{}commits/", path_of(version))).await;
    list.json().as_array().cloned().unwrap_or_default()
}

/// The paths that are stored of a commit, with what happened to them.
pub(crate) fn files(world: &World, sha: &str) -> Vec<String> {
    let all = items(world, "COMMIT#", "META").into_iter();
    let commit = all.filter(|item| item["sha"]["S"] == sha);
    let files = commit.flat_map(|item| item["files"]["M"].as_object().cloned());
    let files = files.flatten();
    files
        .map(|(path, change)| format!("{} {path}", change["S"].as_str().unwrap_or_default()))
        .collect()
}

/// What a host was asked, without the repository.
pub(crate) fn asked(world: &World, provider: Provider) -> Vec<String> {
    let requests = world.stack.trackers().requests().into_iter();
    let own = requests.filter(|request| request.provider == Some(provider));
    let line = |request: Request| {
        let path = request.path;
        let rest = path
            .split_once("/acme/web/")
            .map(|(_, rest)| rest.to_owned());
        rest.unwrap_or(path)
    };
    own.map(line).collect()
}

/// The mails about fetching, as `address: subject`.
pub(crate) fn told(world: &World) -> Vec<String> {
    let mails = world.mails();
    let about = |mail: &&Mail| !mail.subject.contains("deploy");
    let line = |mail: &Mail| format!("{}: {}", mail.to.join(","), mail.subject);
    mails.iter().filter(about).map(line).collect()
}

/// What the last mail says.
pub(crate) fn last_mail(world: &World) -> String {
    let mail = world.mails().pop().expect("a mail");
    mail.text.expect("a part in plain text")
}

/// A release as it is stored.
pub(crate) fn stored(world: &World, version: &str) -> Value {
    let releases = items(world, "RELEASE#", "META").into_iter();
    let mut own = releases.filter(|item| item["version"]["S"] == version);
    own.next().expect("a release")
}

/// The newest commits of a release's repositories, as they are stored.
fn heads(world: &World, version: &str) -> Vec<String> {
    let heads = stored(world, version)["heads"]["M"].take();
    let heads = heads.as_object().cloned().unwrap_or_default();
    let text = |head: Value| head["S"].as_str().unwrap_or_default().to_owned();
    heads.into_iter().map(|(_, head)| text(head)).collect()
}

pub(crate) const UNABLE: &str = "ana@acme.example: Unable to Fetch Commits";
pub(crate) const HEALED: &str = "ana@acme.example: Commits Can Be Fetched Again";

pub(crate) fn minutes(minutes: i64) -> i64 {
    minutes * 60 * 1000
}

/// Lets time pass, and what was put off until then happen.
pub(crate) async fn pass(world: &mut World, time: i64) {
    world.stack.clock().advance(time);
    // Faults may fail a sweep; the next one goes on.
    for _ in 0..4 {
        let _ = world.stack.step_schedules().await;
    }
    world.settle_now().await;
}

/// Gives the seeded integration with GitHub its token, which is Bo's.
pub(crate) async fn identify(world: &World) {
    identify_as(world, world.bo()).await;
}

pub(crate) async fn identify_as(world: &World, address: &str) {
    let token = world.stack.trackers().github_identity();
    let set = json!({
        "command": "set-identity", "organization": "acme",
        "integration": world.integration_of("github"),
        "identity": { "github": token }, "acts_as": address,
    });
    world.operator(set).await;
}

/// A release whose commits are fetched when a refused token was replaced, and its deploy.
pub(crate) async fn fetched(world: &mut World, git: &Repository) {
    identify(world).await;
    world.stack.trackers().set_mode(GITHUB, Mode::RefusedToken);
    name(world, "fetched", web(&range(git))).await;
    let new = json!({ "environment": "production" });
    let path = format!("{}deploys/", path_of("fetched"));
    assert_eq!(post(world, &path, new).await.0, 201);
    world.settle_now().await;
    world.stack.trackers().set_mode(GITHUB, Mode::Ok);
    identify(world).await;
    pass(world, minutes(1)).await;
    assert_eq!(shas(world, "fetched").await, git.shas[..2]);
}

#[tokio::test]
async fn the_commits_up_to_a_ref_are_fetched_with_their_files_and_begin_after_the_release_before() {
    let git = Repository::new("range").await;
    let [c3, c2, c1] = [0, 1, 2].map(|n| git.shas[n].as_str());
    let mut world = World::over(git.path()).await;
    name(&world, "1", web(c1)).await;
    world.settle_now().await;
    assert_eq!(shas(&world, "1").await, [c1]);
    // A newer release of another project is not the one before.
    project(&world, "api", "web-team").await;
    let elsewhere = json!({ "version": "elsewhere", "projects": ["api"], "refs": web(c2) });
    assert_eq!(post(&world, RELEASES, elsewhere).await.0, 201);
    world.settle_now().await;
    name(&world, "2", web(c3)).await;
    world.settle_now().await;
    let list = commits(&world, "2").await;
    let shown = |name: &str| list.iter().map(|it| it[name].clone()).collect::<Vec<_>>();
    assert_eq!(shown("id"), [c3, c2]);
    assert_eq!(shown("message"), ["commit 3", "commit 2"]);
    assert_eq!(list[0]["author"]["email"], "ann@example.com");
    assert_eq!(list[0]["dateCreated"], "2025-12-31T22:03:00Z");
    assert_eq!(list[0]["repository"]["name"], "acme/web");
    assert_eq!(files(&world, c3), ["A 3.txt"]);

    // A range counts more than the commit named beside it, and names its repository in any case.
    let range = json!([{ "repository": "ACME/web", "commit": format!("{c2}..{c3}"), "previousCommit": c1 }]);
    name(&world, "2", range).await;
    world.settle_now().await;
    assert_eq!(shas(&world, "2").await, [c3]);
    let heads = json!([{ "repository": "acme/web", "currentId": c2, "previousId": null }]);
    let new = json!({ "version": "1", "projects": ["web"], "headCommits": heads });
    assert_eq!(post(&world, RELEASES, new).await.0, 208);
    world.settle_now().await;
    // The newest other release is 2, whose newest commit is later: nothing lies between.
    assert_eq!(shas(&world, "1").await, [c1]);
    assert_eq!(told(&world), [""; 0]);
    world.finish().await;
}

#[tokio::test]
async fn azure_devops_is_asked_by_the_repositorys_id_and_for_whole_messages() {
    let git = Repository::new("azure").await;
    let long = format!("commit 4\n\n{}", "why ".repeat(40));
    std::fs::write(git.path().join("1.txt"), "other").expect("the repository");
    std::fs::remove_file(git.path().join("2.txt")).expect("the repository");
    git.git(&["commit", "--quiet", "--all", "--message", &long], 4)
        .await;
    let newest = git.git(&["rev-parse", "HEAD"], 4).await;
    let world = World::over(git.path()).await;
    let mut world = world;
    repository(&world, "web/backend", "vsts").await;
    let refs =
        json!([{ "repository": "web/backend", "commit": newest, "previousCommit": git.shas[1] }]);
    name(&world, "1", refs).await;
    world.settle_now().await;
    let list = commits(&world, "1").await;
    let ids: Vec<_> = list
        .iter()
        .map(|it| it["id"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(ids, [newest.as_str(), git.shas[0].as_str()]);
    assert_eq!(list[0]["message"], long.trim_end());
    assert_eq!(list[0]["repository"]["name"], "web/backend");
    assert_eq!(files(&world, &newest), ["M /1.txt", "D /2.txt"]);
    // A token that has ended is renewed first.
    world.stack.trackers().set_token_lifetime(3600);
    world.stack.clock().advance(minutes(61));
    name(
        &world,
        "2",
        json!([{ "repository": "web/backend", "commit": range(&git) }]),
    )
    .await;
    world.settle_now().await;
    assert_eq!(shas(&world, "2").await, git.shas[..2]);
    world.finish().await;
}

#[tokio::test]
async fn a_release_that_names_a_branch_begins_where_the_branch_was_at_the_release_before() {
    let mut git = Repository::new("branch").await;
    git.git(&["checkout", "--quiet", "-b", "trunk"], 3).await;
    let mut world = World::over(git.path()).await;
    repository(&world, "acme/lib", "github").await;
    let both = json!([
        { "repository": "acme/web", "commit": "trunk" },
        { "repository": "acme/lib", "commit": git.shas[1] },
    ]);
    name(&world, "1", both).await;
    let mut named = heads(&world, "1");
    named.sort();
    let mut expected = ["trunk", &git.shas[1]];
    expected.sort_unstable();
    assert_eq!(named, expected, "of each repository");
    world.settle_now().await;
    let mut named = heads(&world, "1");
    named.sort();
    let mut expected = [git.shas[0].clone(), git.shas[1].clone()];
    expected.sort();
    assert_eq!(named, expected, "by their own names");
    // Nothing new on the branch is no commit, and it is known where it stands all the same.
    name(&world, "2", web("trunk")).await;
    world.settle_now().await;
    assert_eq!(shas(&world, "2").await, [""; 0]);
    assert_eq!(heads(&world, "2"), git.shas[..1]);
    git.commit(4).await;
    name(&world, "3", web("trunk")).await;
    world.settle_now().await;
    assert_eq!(shas(&world, "3").await, git.shas[..1]);
    // What a later request names without asking for commits is not replaced by what comes late.
    name(&world, "4", web("trunk")).await;
    let other = json!({ "refs": web("other"),
        "commits": [commit("own", "elsewhere", "2027-01-01T00:00:00Z")] });
    assert_eq!(put(&world, &path_of("4"), other).await.0, 200);
    world.settle_now().await;
    assert!(heads(&world, "4").contains(&"other".to_owned()));
    assert_eq!(told(&world), [""; 0]);
    world.finish().await;
}

#[tokio::test]
async fn what_is_known_of_a_commit_is_not_asked_for_again() {
    let git = Repository::new("known").await;
    let [c3, c2, c1] = [0, 1, 2].map(|n| git.shas[n].as_str());
    let mut world = World::quiet_over(git.path()).await;
    let range = |end: &str| json!([{ "repository": "acme/web", "commit": format!("{c1}..{end}") }]);
    name(&world, "1", range(c2)).await;
    world.settle_now().await;
    let compare = |end: &str| format!("compare/{c1}...{end}?per_page=100&page=1");
    let commit = |sha: &str| format!("commits/{sha}?page=1");
    assert_eq!(asked(&world, GITHUB), [compare(c2), commit(c2)]);
    world.stack.trackers().forget_requests();
    name(&world, "2", range(c3)).await;
    world.settle_now().await;
    assert_eq!(asked(&world, GITHUB), [compare(c3), commit(c3)]);
    assert_eq!(shas(&world, "2").await, [c3, c2]);
    world.finish().await;
}

#[tokio::test]
async fn a_push_that_comes_after_the_release_brings_the_commits_and_no_mail() {
    let git = Repository::new("late").await;
    let mut world = World::over(git.path()).await;
    let newest = git.shas[0].as_str();
    let trackers = world.stack.trackers().clone();
    trackers.set_mode(GITHUB, Mode::UnknownCommit);
    name(&world, "1", web(newest)).await;
    world.settle_now().await;
    pass(&mut world, minutes(1)).await;
    assert_eq!(shas(&world, "1").await, [""; 0]);
    // Pushed 90 s after the release.
    world.stack.clock().advance(30_000);
    trackers.set_mode(GITHUB, Mode::Ok);
    pass(&mut world, minutes(6)).await;
    assert_eq!(shas(&world, "1").await, git.shas);
    assert_eq!(told(&world), [""; 0]);
    world.finish().await;
}

#[tokio::test]
async fn a_commit_that_never_comes_is_told_of_after_its_waits_once_and_so_is_the_end_of_it() {
    let git = Repository::new("never").await;
    let mut world = World::over(git.path()).await;
    let missing = "0123456789012345678901234567890123456789";
    for version in ["1", "2"] {
        name(&world, version, web(missing)).await;
    }
    world.settle_now().await;
    for wait in [1, 5, 15] {
        pass(&mut world, minutes(wait)).await;
        assert_eq!(told(&world), [""; 0]);
    }
    pass(&mut world, minutes(60)).await;
    assert_eq!(told(&world), [UNABLE]);
    let text = last_mail(&world);
    for said in ["acme/web", missing, "Push the commit"] {
        assert!(text.contains(said), "{text}");
    }
    name(&world, "3", web(&git.shas[0])).await;
    world.settle_now().await;
    assert_eq!(told(&world), [UNABLE, HEALED]);
    // What a request's script had no commit for is refused at once.
    let refs = json!([{ "repository": "acme/web", "commit": "abc", "previousCommit": "null" }]);
    let new = json!({ "version": "4", "projects": ["web"], "refs": refs });
    let (status, body) = post(&world, RELEASES, new).await;
    assert_eq!(status, 400);
    assert!(body["refs"]["previousCommit"].is_array(), "{body}");
    world.finish().await;
}

#[tokio::test]
async fn a_rewritten_history_begins_anew_where_nobody_named_its_start() {
    let git = Repository::new("rewritten").await;
    let mut world = World::over(git.path()).await;
    let gone = "0123456789012345678901234567890123456789";
    let list = json!([commit(gone, "acme/web", "2026-01-01T00:00:00Z")]);
    let new = json!({ "version": "1", "projects": ["web"], "commits": list });
    assert_eq!(post(&world, RELEASES, new).await.0, 201);
    name(&world, "2", web(&git.shas[0])).await;
    world.settle_now().await;
    assert_eq!(shas(&world, "2").await, git.shas);
    // Its new history has nothing in common with the old one, which the host still has.
    git.git(&["checkout", "--quiet", "--orphan", "new"], 4)
        .await;
    git.git(&["commit", "--quiet", "--message", "new"], 4).await;
    let new = git.git(&["rev-parse", "HEAD"], 4).await;
    name(&world, "3", web(&new)).await;
    world.settle_now().await;
    assert_eq!(shas(&world, "3").await, [new]);
    assert_eq!(told(&world), [""; 0]);
    world.finish().await;
}

#[tokio::test]
async fn what_a_newer_request_or_a_list_brings_is_not_replaced_by_what_comes_late() {
    let git = Repository::new("older").await;
    let [c3, c2, c1] = [0, 1, 2].map(|n| git.shas[n].as_str());
    let mut world = World::over(git.path()).await;
    // Named twice before anything is fetched: the later one counts.
    name(&world, "1", web(&format!("{c1}..{c3}"))).await;
    name(&world, "1", web(&format!("{c1}..{c2}"))).await;
    world.settle_now().await;
    assert_eq!(shas(&world, "1").await, [c2]);
    // A list takes the place of what was to be fetched of its repository, and of no other.
    repository(&world, "acme/lib", "github").await;
    let refs = json!([
        { "repository": "acme/web", "commit": c3 },
        { "repository": "acme/lib", "commit": format!("{c2}..{c3}") },
    ]);
    name(&world, "2", refs).await;
    let list = json!({ "commits": [commit("own", "acme/web", "2027-01-01T00:00:00Z")] });
    assert_eq!(put(&world, &path_of("2"), list).await.0, 200);
    world.settle_now().await;
    assert_eq!(shas(&world, "2").await, ["own", c3]);
    // Commits and refs at once: the refs name the newest, and nothing is fetched.
    let both = json!({ "version": "3", "projects": ["web"], "refs": web(c3),
        "commits": [commit("own", "acme/web", "2027-01-01T00:00:00Z")] });
    assert_eq!(post(&world, RELEASES, both).await.0, 201);
    world.settle_now().await;
    assert_eq!(shas(&world, "3").await, ["own"]);
    // Cleared before they came.
    name(&world, "4", web(c3)).await;
    assert_eq!(
        put(&world, &path_of("4"), json!({ "refs": [] })).await.0,
        200
    );
    world.settle_now().await;
    assert_eq!(shas(&world, "4").await, [""; 0]);
    assert_eq!(told(&world), [""; 0]);
    world.finish().await;
}

#[tokio::test]
async fn of_repositories_without_a_host_that_can_be_asked_the_log_alone_tells() {
    let git = Repository::new("silent").await;
    let mut world = World::over(git.path()).await;
    for (name, provider) in [
        ("plain", "git"),
        ("elsewhere", "integrations:gitlab"),
        ("acme/api", "integrations:github"),
    ] {
        let new = json!({ "command": "create-repository", "organization": "acme", "name": name,
            "provider": provider, "url": "https://host.example/x" });
        world.operator(new).await;
    }
    let list = json!([commit("abc", "known/from-commits", "2026-01-01T00:00:00Z")]);
    let new = json!({ "version": "0", "projects": ["web"], "commits": list });
    assert_eq!(post(&world, RELEASES, new).await.0, 201);
    let refs = ["plain", "elsewhere", "acme/api", "known/from-commits"]
        .map(|name| json!({ "repository": name, "commit": "abc" }));
    name(&world, "1", json!(refs)).await;
    world.settle_now().await;
    assert_eq!(shas(&world, "1").await, [""; 0]);
    assert_eq!(told(&world), [""; 0]);
    let logs = world.logs();
    for (name, does) in [
        ("plain", "have to be sent"),
        ("elsewhere", "have to be sent"),
        ("acme/api", "the operator's command create-repository"),
        (
            "known/from-commits",
            "the operator's command create-repository",
        ),
    ] {
        let line = logs
            .iter()
            .find(|line| line["name"] == name && line["level"] == "WARN");
        let remedy = line.expect(name)["remedy"].as_str().unwrap_or_default();
        assert!(remedy.contains(does), "{name}: {remedy}");
    }
    let listed = world.get("/api/0/organizations/acme/repos/").await.json();
    let of = |name: &str| {
        let mut rows = listed.as_array().expect("a list").iter();
        let row = rows.find(|row| row["name"] == name).expect(name);
        row["integrationId"].clone()
    };
    assert_eq!(of("acme/web"), world.integration_of("github"));
    assert_eq!(of("acme/api"), Value::Null);
    assert_eq!(listed[0]["externalSlug"], listed[0]["name"]);
    // A repository that GitHub does not show is said to be unknown.
    repository(&world, "acme/gone", "github").await;
    name(
        &world,
        "2",
        json!([{ "repository": "acme/gone", "commit": "abc" }]),
    )
    .await;
    world.settle_now().await;
    assert_eq!(told(&world), [UNABLE]);
    let text = last_mail(&world);
    for said in [
        "The repository cannot be found",
        "Error Communicating with GitHub (HTTP 404): Not Found",
    ] {
        assert!(text.contains(said), "{text}");
    }
    // None is tied to an integration with another host.
    let refused = world
        .operator_raw(
            json!({ "command": "create-repository", "organization": "acme", "name": "x",
            "provider": "integrations:github", "url": "https://host.example/x",
            "integration": world.integration_of("vsts") }),
        )
        .await;
    assert!(
        refused["error"]["fields"]["integration"].is_array(),
        "{refused}"
    );
    world.finish().await;
}

#[tokio::test]
async fn a_long_range_comes_in_parts_and_is_shown_when_it_is_whole() {
    let git = Repository::new("long").await;
    let mut script = String::new();
    for n in 0..105 {
        script.push_str(&format!(
            "commit refs/heads/long\ncommitter Ann <ann@example.com> {} +0000\ndata 1\nm\n{}M 100644 inline {n}.txt\ndata 1\nx\n",
            1_800_000_000 + n,
            if n == 0 { format!("from {}\n", git.shas[0]) } else { String::new() },
        ));
    }
    git.import(&script).await;
    let mut world = World::quiet_over(git.path()).await;
    name(&world, "1", web(&format!("{}..long", git.shas[0]))).await;
    world.relay().await;
    assert_eq!(world.step("fetch-commits").await, 1);
    assert_eq!(shas(&world, "1").await, [""; 0], "not half a list");
    assert_eq!(
        items(&world, "COMMIT#", "META").len(),
        100,
        "what has come is kept"
    );
    // The branch moves meanwhile. What it meant at first is what comes.
    let first = git.git(&["rev-parse", "long"], 4).await;
    git.import(
        "commit refs/heads/long\ncommitter Ann <ann@example.com> 1900000000 +0000\ndata 1\nm\n\
         from refs/heads/long^0\nM 100644 inline later.txt\ndata 1\nx\n",
    )
    .await;
    world.settle_now().await;
    assert_eq!(heads(&world, "1"), [first]);
    let body = world.get(&path_of("1")).await.json();
    assert_eq!(body["commitCount"], 105);
    let stored = items(&world, "COMMIT#", "META");
    let whole = stored.iter().filter(|item| {
        item["files"]["M"]
            .as_object()
            .is_some_and(|it| it.len() == 1)
    });
    assert_eq!(whole.count(), 105);
    let asked = asked(&world, GITHUB).into_iter();
    let of = |path: &String| path.starts_with("commits/");
    let (name, details): (Vec<_>, Vec<_>) = asked
        .filter(of)
        .partition(|path| path.starts_with("commits/long?"));
    assert_eq!((name.len(), details.len()), (1, 105), "each once");
    world.finish().await;
}

#[tokio::test]
async fn what_is_deployed_where_is_noted_once_the_commits_are_known_and_no_older_deploy_takes_its_place()
 {
    let git = Repository::new("deployed").await;
    let [c3, c2, c1] = [0, 1, 2].map(|n| git.shas[n].as_str());
    let mut world = World::over(git.path()).await;
    let deploy = async |world: &World, version: &str, finished: &str| {
        let new = json!({ "environment": "production", "dateFinished": finished });
        let (status, body) = post(world, &format!("{}deploys/", path_of(version)), new).await;
        assert_eq!(status, 201, "{body}");
        body["id"].clone()
    };
    let noted = |world: &World| {
        let rows = items(world, "REPOSITORY#", "DEPLOYED#production");
        assert_eq!(rows.len(), 1);
        ["release", "deploy", "commit"].map(|name| rows[0][name]["S"].clone())
    };
    name(&world, "2", web(c3)).await;
    let later = deploy(&world, "2", "2026-02-02T00:00:00Z").await;
    world.settle_now().await;
    let release = stored(&world, "2")["id"]["S"].take();
    let of_later = [release, later, json!(c3)];
    assert_eq!(noted(&world), of_later);
    let told_of = items(&world, "RELEASE_ID#", "DEPLOY#");
    assert_eq!(
        told_of[0]["notified"]["BOOL"], true,
        "it waited for the commits"
    );
    name(&world, "1", web(&format!("{c1}..{c2}"))).await;
    deploy(&world, "1", "2026-02-01T00:00:00Z").await;
    world.settle_now().await;
    assert_eq!(noted(&world), of_later);
    // Nothing comes of it: people are told all the same, and nobody can say what is deployed.
    name(&world, "3", web(&format!("{c3}..{c3}"))).await;
    deploy(&world, "3", "2026-02-03T00:00:00Z").await;
    world.settle_now().await;
    assert_eq!(noted(&world), of_later);
    let told_of = items(&world, "RELEASE_ID#", "DEPLOY#");
    let told_of = told_of
        .iter()
        .filter(|item| item["notified"]["BOOL"] == true);
    assert_eq!(told_of.count(), 3);
    world.finish().await;
}
