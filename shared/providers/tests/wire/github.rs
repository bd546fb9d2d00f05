//! GitHub, seen from its side.

use std::time::Duration;

use domain::{FileChange, RepositoryName, Secret};
use providers::{CallError, Limits, github::client::Client};
use serde_json::{Value, json};

use crate::server::{Asked, Server, reply, reply_with};

fn client(server: &Server) -> Client {
    let outside = server.outside(Limits::default());
    Client::new(outside, "https://github.com/", Secret::new("tok-1"))
}

fn name(text: &str) -> RepositoryName {
    RepositoryName::new(text).unwrap()
}

fn listed(sha: &str) -> Value {
    json!({
        "sha": sha,
        "commit": {
            "author": { "name": "Ann", "email": "Ann@Acme.test", "date": "2026-01-01T02:00:00+02:00" },
            "message": format!("commit {sha}"),
        },
    })
}

fn comparison(total: usize, shas: &[&str]) -> String {
    let commits: Vec<_> = shas.iter().map(|sha| listed(sha)).collect();
    json!({ "total_commits": total, "commits": commits }).to_string()
}

fn assert_headers(asked: &Asked) {
    assert_eq!(asked.header("accept"), Some("application/vnd.github+json"));
    assert_eq!(asked.header("x-github-api-version"), Some("2022-11-28"));
    assert_eq!(asked.header("authorization"), Some("Bearer tok-1"));
    assert_eq!(asked.header("host"), Some("api.github.com"));
}

#[tokio::test]
async fn a_range_is_read_page_by_page_and_turned_to_the_newest_first() {
    let first: Vec<_> = (0..100).map(|n| n.to_string()).collect();
    let first: Vec<_> = first.iter().map(String::as_str).collect();
    let server = Server::start([
        reply(200, &comparison(102, &first)),
        reply(200, &comparison(102, &["100", "101"])),
    ])
    .await;
    let (client, web) = (client(&server), name("acme/web"));
    let commits = client.compare(&web, "a b", "feature/x").await.unwrap();
    let shas: Vec<_> = commits.iter().map(|it| it.commit.sha.as_str()).collect();
    assert_eq!((shas.len(), shas[0], shas[101]), (102, "101", "0"));
    let newest = &commits[0].commit;
    assert_eq!(newest.message, Some(Some("commit 101".into())));
    assert_eq!(newest.author.as_ref().unwrap().email(), "ann@acme.test");
    assert_eq!(newest.date.unwrap().to_string(), "2026-01-01T00:00:00Z");
    let asked = server.finish();
    let compare = "/api.github.com/repos/acme/web/compare/a%20b...feature%2Fx?per_page=100&page=";
    assert_eq!(asked[0].target, format!("{compare}1"));
    assert_eq!(asked[1].target, format!("{compare}2"));
    asked.iter().for_each(assert_headers);
}

#[tokio::test]
async fn of_a_range_without_end_the_newest_commits_are_read() {
    let page = || reply(200, &comparison(1_000_000, &["x"]));
    let server = Server::start((0..21).map(|_| page())).await;
    let commits = client(&server).compare(&name("acme/web"), "a", "b").await;
    assert_eq!(commits.unwrap().len(), 20);
    let asked = server.finish();
    assert!(
        asked[1].target.ends_with("&page=9981"),
        "{}",
        asked[1].target
    );
    assert!(asked[20].target.ends_with("&page=10000"));
}

#[tokio::test]
async fn of_histories_that_have_nothing_in_common_the_last_commits_are_read() {
    let unrelated = r#"{"message":"No common ancestor between a and b."}"#;
    let server = Server::start([
        reply(404, unrelated),
        reply(200, &json!([listed("b")]).to_string()),
        reply(404, r#"{"message":"Not Found"}"#),
    ])
    .await;
    let (client, web) = (client(&server), name("acme/web"));
    let commits = client.compare(&web, "a", "b").await.unwrap();
    assert_eq!(commits[0].commit.sha, "b");
    let missing = client.compare(&web, "a", "b").await;
    assert!(
        matches!(missing, Err(CallError::Api { status: 404, .. })),
        "{missing:?}"
    );
    let asked = server.finish();
    assert_eq!(
        asked[1].target,
        "/api.github.com/repos/acme/web/commits?sha=b&per_page=20"
    );
}

#[tokio::test]
async fn recent_history_is_twenty_commits_whose_author_need_not_be_known() {
    let mut nobody = listed("c");
    nobody["commit"]["author"] = Value::Null;
    let server = Server::start([reply(200, &json!([nobody]).to_string())]).await;
    let commits = client(&server).recent(&name("acme/web"), "main&x").await;
    let commits = commits.unwrap();
    assert_eq!((commits.len(), &commits[0].commit.author), (1, &None));
    assert_eq!(commits[0].commit.date, None);
    let target = &server.finish()[0].target;
    assert_eq!(
        target,
        "/api.github.com/repos/acme/web/commits?sha=main%26x&per_page=20"
    );
}

#[tokio::test]
async fn the_files_of_a_commit_are_added_modified_or_deleted_over_all_pages() {
    let file = |name: &str, status: &str| json!({ "filename": name, "status": status });
    let mut moved = file("new", "renamed");
    moved["previous_filename"] = "old".into();
    let first =
        json!({ "files": [file("a", "added"), file("m", "modified"), file("x", "changed")] });
    let second = json!({ "files": [file("d", "removed"), moved, file("c", "copied")] });
    let next = "link: <https://api.github.com/x>; rel=\"next\"\r\n";
    let server = Server::start([
        reply_with(200, next, &first.to_string()),
        reply(200, &second.to_string()),
    ])
    .await;
    let files = client(&server).changes(&name("acme/web"), "abc").await;
    let expected = [
        ("a", FileChange::Added),
        ("d", FileChange::Deleted),
        ("m", FileChange::Modified),
        ("new", FileChange::Added),
        ("old", FileChange::Deleted),
    ];
    let expected = expected.map(|(path, change)| (path.to_owned(), change));
    assert_eq!(files, Ok(expected.into()));
    assert!(server.finish()[1].target.ends_with("/commits/abc?page=2"));
}

#[tokio::test]
async fn a_request_for_fewer_calls_is_known_in_each_of_its_forms() {
    let date = "date: Sat, 21 Nov 2026 08:00:00 GMT\r\n";
    // 90 s after that.
    let reset = format!("{date}x-ratelimit-remaining: 0\r\nx-ratelimit-reset: 1795248090\r\n");
    for (status, headers, body, wait) in [
        (403, reset.as_str(), "{}", Some(90)),
        (429, reset.as_str(), "{}", Some(90)),
        (403, "retry-after: 7\r\n", "{}", Some(7)),
        (429, "retry-after: 7\r\n", "{}", Some(7)),
        (429, "", "{}", None),
        (
            403,
            "",
            r#"{"message":"You have exceeded a secondary rate limit."}"#,
            None,
        ),
    ] {
        let server = Server::start([reply_with(status, headers, body)]).await;
        let answer = client(&server).has_repository(&name("acme/web")).await;
        let retry_after = wait.map(Duration::from_secs);
        assert_eq!(
            answer,
            Err(CallError::RateLimited { retry_after }),
            "{headers}"
        );
        server.finish();
    }
    let refusal = r#"{"message":"Resource not accessible by personal access token"}"#;
    let spare = "x-ratelimit-remaining: 12\r\n";
    let server = Server::start([reply_with(403, spare, refusal)]).await;
    let answer = client(&server).has_repository(&name("acme/web")).await;
    assert!(
        matches!(answer, Err(CallError::Api { status: 403, .. })),
        "{answer:?}"
    );
    server.finish();
}

#[tokio::test]
async fn what_is_not_there_is_no_error_and_the_token_is_in_none() {
    let server = Server::start([
        reply(200, "{}"),
        reply(404, r#"{"message":"Not Found"}"#),
        reply(422, r#"{"message":"No commit found for SHA: abc"}"#),
        reply(409, r#"{"message":"Git Repository is empty."}"#),
        reply(200, r#"{"sha":"abcdef","commit":{"message":"m"}}"#),
        reply(401, r#"{"message":"Bad credentials tok-1"}"#),
        reply(500, r#"{"message":"no tok-1 today"}"#),
    ])
    .await;
    let (client, web) = (client(&server), name("acme/web"));
    assert_eq!(client.has_repository(&web).await, Ok(true));
    assert_eq!(client.has_repository(&web).await, Ok(false));
    assert_eq!(client.hash(&web, "abc").await, Ok(None));
    assert_eq!(client.hash(&web, "main").await, Ok(None), "empty");
    let hash = client.hash(&web, "feature/x").await;
    assert_eq!(hash, Ok(Some("abcdef".into())));
    let refused = client.hash(&web, "abc").await;
    assert_eq!(refused, Err(CallError::Unauthorized));
    let failed = client.hash(&web, "abc").await.unwrap_err();
    assert!(!failed.to_string().contains("tok-1"), "{failed}");
    let named = "/api.github.com/repos/acme/web/commits/feature%2Fx?per_page=1";
    assert_eq!(server.finish()[4].target, named);
}

#[tokio::test]
async fn an_enterprise_server_is_asked_below_its_own_url() {
    let server = Server::start([reply(200, "{}")]).await;
    let outside = server.outside(Limits::default());
    let client = Client::new(outside, "https://git.acme.test/", Secret::new("t"));
    assert_eq!(client.has_repository(&name("a/b c")).await, Ok(true));
    let target = &server.finish()[0].target;
    assert_eq!(target, "/git.acme.test/api/v3/repos/a/b%20c");
}
