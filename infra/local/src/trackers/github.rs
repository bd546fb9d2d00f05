//! GitHub as far as the bundle calls it: the commits of the repositories of "acme", and of what else it is told.

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use super::git::{Commit, Git};
use super::wire::{Answer, Asked};

const HOST: &str = "api.github.com";
/// All of them have the same commits.
const REPOSITORIES: [&str; 3] = ["acme/web", "acme/api", "acme/lib"];

/// How many commits of one list there are at most, whatever is asked for.
const MOST: usize = 10_000;
const MOST_FILES: usize = 300;

/// What calls to GitHub are made with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GithubIdentity {
    /// Goes with every call.
    pub access_token: String,
}

#[derive(Debug)]
pub(super) struct GitHub {
    identity: GithubIdentity,
    /// With their owners.
    repositories: Vec<String>,
}

impl GitHub {
    pub(super) fn new() -> Self {
        let access_token = format!("local-github-{:016x}", rand::random::<u64>());
        Self {
            identity: GithubIdentity { access_token },
            repositories: REPOSITORIES.map(str::to_owned).into(),
        }
    }

    pub(super) fn identity(&self) -> GithubIdentity {
        self.identity.clone()
    }

    /// Lets there be one more repository.
    pub(super) fn add_repository(&mut self, name: &str) {
        self.repositories.push(name.to_owned());
    }

    /// `git` is `None` while no commit is known.
    pub(super) fn answer(&self, asked: &Asked, git: Option<&Git>) -> Result<Answer, Answer> {
        let segments = asked.segments();
        let [HOST, "repos", owner, name, resource @ ..] = &segments[..] else {
            return Err(Answer::not_emulated(asked));
        };
        let expected = format!("Bearer {}", self.identity.access_token);
        if asked.header("authorization") != Some(&expected) {
            return Err(refusal(StatusCode::UNAUTHORIZED, "Bad credentials"));
        }
        let full_name = format!("{owner}/{name}");
        if !self.repositories.contains(&full_name) {
            return Err(not_found());
        }
        let resource: Vec<_> = resource.iter().map(|part| decoded(part)).collect();
        let resource: Vec<_> = resource.iter().map(String::as_str).collect();
        match (asked.method(), &resource[..]) {
            ("GET", []) => {
                let body = json!({ "id": 1, "name": name, "full_name": full_name });
                Ok(Answer::json(StatusCode::OK, &body))
            }
            ("GET", ["commits"]) => {
                let end = asked.parameter("sha").unwrap_or_else(|| "HEAD".into());
                let size = number(asked, "per_page", 30);
                let commits = git.and_then(|git| git.log(None, &end, size));
                let commits = commits.ok_or_else(|| missing(git, not_found()))?;
                let body: Vec<_> = commits.iter().map(shown).collect();
                Ok(Answer::json(StatusCode::OK, &json!(body)))
            }
            ("GET", ["compare", range]) => {
                let (start, end) = range.split_once("...").ok_or_else(not_found)?;
                let commits = git.and_then(|git| git.log(Some(start), end, MOST));
                let mut commits = commits.ok_or_else(not_found)?;
                if git.is_some_and(|git| !git.related(start, end)) {
                    let text = format!("No common ancestor between {start} and {end}.");
                    return Err(refusal(StatusCode::NOT_FOUND, &text));
                }
                // The oldest first.
                commits.reverse();
                let (size, page) = (number(asked, "per_page", 250), number(asked, "page", 1));
                let listed = commits.iter().skip((page - 1) * size).take(size);
                let listed: Vec<_> = listed.map(shown).collect();
                let body = json!({
                    "status": "ahead", "total_commits": commits.len(), "commits": listed,
                });
                Ok(Answer::json(StatusCode::OK, &body))
            }
            ("GET", ["commits", sha]) => commit(asked, git, sha),
            _ => Err(Answer::not_emulated(asked)),
        }
    }
}

fn commit(asked: &Asked, git: Option<&Git>, sha: &str) -> Result<Answer, Answer> {
    let unknown = || {
        let text = format!("No commit found for SHA: {sha}");
        missing(git, refusal(StatusCode::UNPROCESSABLE_ENTITY, &text))
    };
    let git = git.ok_or_else(unknown)?;
    let commits = git.log(None, sha, 1).ok_or_else(unknown)?;
    let changes = git.changes(sha).ok_or_else(unknown)?;
    let page = number(asked, "page", 1);
    let files = changes
        .iter()
        .skip((page - 1) * MOST_FILES)
        .take(MOST_FILES);
    let files = files.map(|change| {
        let status = match change.status {
            'A' => "added",
            'D' => "removed",
            'R' => "renamed",
            'C' => "copied",
            _ => "modified",
        };
        let mut file = json!({ "filename": change.path, "status": status });
        if let Some(before) = &change.before {
            file["previous_filename"] = before.as_str().into();
        }
        file
    });
    let mut body = commits.first().map(shown).ok_or_else(unknown)?;
    body["files"] = files.collect();
    let answer = Answer::json(StatusCode::OK, &body);
    Ok(match changes.len() > page * MOST_FILES {
        true => answer.with(
            "link",
            format!("<https://{}?page={}>; rel=\"next\"", HOST, page + 1),
        ),
        false => answer,
    })
}

fn shown(commit: &Commit) -> Value {
    json!({
        "sha": commit.sha,
        "commit": {
            "author": { "name": commit.author, "email": commit.email, "date": commit.date },
            "message": commit.message,
        },
    })
}

fn number(asked: &Asked, name: &str, default: usize) -> usize {
    let given = asked.parameter(name).and_then(|text| text.parse().ok());
    given.unwrap_or(default).max(1)
}

fn decoded(segment: &str) -> String {
    percent_encoding::percent_decode_str(segment)
        .decode_utf8_lossy()
        .into_owned()
}

/// What is said of a commit that is not there: of a repository without any it is the repository.
fn missing(git: Option<&Git>, answer: Answer) -> Answer {
    match git {
        Some(git) if !git.has("HEAD") => refusal(StatusCode::CONFLICT, "Git Repository is empty."),
        Some(_) | None => answer,
    }
}

fn not_found() -> Answer {
    refusal(StatusCode::NOT_FOUND, "Not Found")
}

/// An error in GitHub's shape.
pub(super) fn refusal(status: StatusCode, message: &str) -> Answer {
    let body = json!({ "message": message, "documentation_url": "https://docs.github.com/rest" });
    Answer::json(status, &body)
}
