//! The commits of Azure DevOps, seen from its side.

use domain::{FileChange, RepositoryName, Secret};
use providers::{
    CallError, Limits,
    vsts::{client::Client, commits::Repository},
};
use serde_json::json;

use crate::server::{Server, reply};

fn client(server: &Server) -> Client {
    Client::new(
        server.outside(Limits::default()),
        "https://dev.azure.com/acme",
        "acme".parse().unwrap(),
        Secret::new("tok-1"),
    )
}

const AT: &str = "/dev.azure.com/acme/_apis/git/repositories/5febef5a";

#[tokio::test]
async fn a_range_is_asked_for_as_a_batch_and_recent_history_as_ten_commits() {
    let name = RepositoryName::new("web/backend").unwrap();
    let repository = Repository {
        external_id: "5febef5a",
        name: &name,
    };
    let author = json!({ "name": "Ann", "email": "ann@acme.test", "date": "2026-01-01T00:00:00Z" });
    let page = json!({ "count": 2, "value": [
        { "commitId": "c2", "author": author, "comment": "beginn", "commentTruncated": true },
        { "commitId": "c1", "comment": "whole" },
    ] });
    let server =
        Server::start([reply(200, &page.to_string()), reply(200, r#"{"value":[]}"#)]).await;
    let client = client(&server);
    let commits = client.compare(repository, "c0", "c2").await.unwrap();
    let shown: Vec<_> = commits
        .iter()
        .map(|it| (it.commit.sha.as_str(), it.truncated))
        .collect();
    assert_eq!(shown, [("c2", true), ("c1", false)]);
    assert_eq!(commits[1].commit.author, None);
    assert_eq!(client.recent(repository, "c2").await, Ok(Vec::new()));
    let asked = server.finish();
    assert_eq!(
        (asked[0].method.as_str(), asked[0].target.as_str()),
        ("POST", &*format!("{AT}/commitsBatch"))
    );
    assert_eq!(asked[0].header("x-http-method-override"), Some("POST"));
    assert_eq!(asked[0].header("content-type"), Some("application/json"));
    let expected = json!({
        "itemVersion": { "versionType": "commit", "version": "c0" },
        "compareVersion": { "versionType": "commit", "version": "c2" },
    });
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&asked[0].body).unwrap(),
        expected
    );
    assert_eq!(asked[1].target, format!("{AT}/commits?commit=c2&$top=10"));
}

#[tokio::test]
async fn of_changes_only_those_of_files_count_that_can_be_said_in_three_words() {
    let name = RepositoryName::new("web/backend").unwrap();
    let repository = Repository {
        external_id: "5febef5a",
        name: &name,
    };
    let change = |kind: &str, object: &str, path: &str| json!({ "changeType": kind, "item": { "gitObjectType": object, "path": path } });
    let changes = json!({ "changes": [
        change("add", "blob", "/a"), change("edit", "blob", "/m"), change("delete", "blob", "/d"),
        change("edit", "tree", "/dir"), change("edit, rename", "blob", "/r"), { "changeType": "add" },
    ] });
    let server = Server::start([
        reply(200, &changes.to_string()),
        reply(200, r#"{"comment":"the whole message"}"#),
        reply(404, r#"{"message":"TF401175"}"#),
        reply(200, r#"{"commitId":"c1whole"}"#),
        reply(203, "<html>"),
    ])
    .await;
    let client = client(&server);
    let files = client.changes(repository, "c1").await;
    let expected = [
        ("/a", FileChange::Added),
        ("/d", FileChange::Deleted),
        ("/m", FileChange::Modified),
    ];
    assert_eq!(
        files,
        Ok(expected
            .map(|(path, change)| (path.to_owned(), change))
            .into())
    );
    assert_eq!(
        client.message(repository, "c1").await,
        Ok("the whole message".into())
    );
    assert_eq!(client.hash(repository, "c9").await, Ok(None));
    assert_eq!(
        client.hash(repository, "c1").await,
        Ok(Some("c1whole".into()))
    );
    assert_eq!(
        client.has_repository(repository).await,
        Err(CallError::Unauthorized)
    );
    let asked = server.finish();
    assert_eq!(asked[0].target, format!("{AT}/commits/c1/changes"));
    assert_eq!(asked[3].target, format!("{AT}/commits/c1"));
    assert_eq!(asked[4].target, AT);
}
