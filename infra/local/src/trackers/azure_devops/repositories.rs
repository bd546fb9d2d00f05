//! The one repository of the account, and its commits.

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{VERSION, check_version, refusal};
use crate::trackers::git::{Change, Commit, Git};
use crate::trackers::wire::{Answer, Asked};

/// The repository's id.
pub const AZURE_REPOSITORY: &str = "5febef5a-833d-4e14-b9c0-14cb638f91e6";

/// How long a message in a list is, in characters.
const SHORT: usize = 60;
const MOST: usize = 10_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Range {
    item_version: Version,
    compare_version: Version,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

/// What lies below `_apis/git/repositories/`. `git` is `None` while no commit is known.
pub(super) fn answer(
    asked: &Asked,
    resource: &[&str],
    git: Option<&Git>,
) -> Result<Answer, Answer> {
    check_version(asked, VERSION)?;
    let [id, rest @ ..] = resource else {
        return Err(Answer::not_emulated(asked));
    };
    if *id != AZURE_REPOSITORY {
        let text = format!(
            "TF401019: The Git repository with name or identifier {id} does not exist or you do not have permissions for the operation you are attempting."
        );
        return Err(refusal(StatusCode::NOT_FOUND, &text));
    }
    match (asked.method(), rest) {
        ("GET", []) => {
            let body = json!({ "id": id, "name": "backend", "project": { "name": "web" } });
            Ok(Answer::json(StatusCode::OK, &body))
        }
        ("GET", ["commits"]) => {
            let end = asked.parameter("commit").unwrap_or_default();
            let most = asked.parameter("$top").and_then(|text| text.parse().ok());
            let commits = git.and_then(|git| git.log(None, &end, most.unwrap_or(100)));
            listed(commits.ok_or_else(|| unknown(&end))?)
        }
        ("POST", ["commitsBatch"]) => {
            let range: Range = serde_json::from_slice(asked.body())
                .map_err(|_| refusal(StatusCode::BAD_REQUEST, "The body has to be a range."))?;
            let (start, end) = (range.item_version.version, range.compare_version.version);
            let commits = git.and_then(|git| git.log(Some(&start), &end, MOST));
            listed(commits.ok_or_else(|| unknown(&end))?)
        }
        ("GET", ["commits", sha]) => {
            let commits = git.and_then(|git| git.log(None, sha, 1));
            let commits = commits.ok_or_else(|| unknown(sha))?;
            let commit = commits.first().ok_or_else(|| unknown(sha))?;
            let mut body = shown(commit);
            body["comment"] = commit.message.as_str().into();
            Ok(Answer::json(StatusCode::OK, &body))
        }
        ("GET", ["commits", sha, "changes"]) => {
            let changes = git.and_then(|git| git.changes(sha));
            let changes = changes.ok_or_else(|| unknown(sha))?;
            let changes: Vec<_> = changes.iter().map(changed).collect();
            let body = json!({ "changeCounts": {}, "changes": changes });
            Ok(Answer::json(StatusCode::OK, &body))
        }
        _ => Err(Answer::not_emulated(asked)),
    }
}

fn listed(commits: Vec<Commit>) -> Result<Answer, Answer> {
    let short = |commit: &Commit| {
        let mut body = shown(commit);
        let beginning: String = commit.message.chars().take(SHORT).collect();
        if beginning != commit.message {
            body["commentTruncated"] = true.into();
        }
        body["comment"] = beginning.into();
        body
    };
    let value: Vec<_> = commits.iter().map(short).collect();
    let body = json!({ "count": value.len(), "value": value });
    Ok(Answer::json(StatusCode::OK, &body))
}

fn shown(commit: &Commit) -> Value {
    json!({
        "commitId": commit.sha,
        "author": { "name": commit.author, "email": commit.email, "date": commit.date },
    })
}

fn changed(change: &Change) -> Value {
    let kind = match change.status {
        'A' => "add",
        'D' => "delete",
        'M' => "edit",
        _ => "edit, rename",
    };
    let path = format!("/{}", change.path);
    json!({ "changeType": kind, "item": { "gitObjectType": "blob", "path": path } })
}

fn unknown(commit: &str) -> Answer {
    let text = format!(
        "TF401175: The version descriptor <Commit: {commit} > could not be resolved to a version in the repository web/backend"
    );
    refusal(StatusCode::NOT_FOUND, &text)
}
