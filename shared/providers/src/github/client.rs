//! Calls to GitHub: which commits there are between two, and what each of them changed.

use std::{
    collections::BTreeMap,
    time::{Duration, UNIX_EPOCH},
};

use domain::{FileChange, GivenCommit, RepositoryName, Secret};
use http::{HeaderName, Method, StatusCode, header};
use serde::Deserialize;

use crate::{
    CallError, HostedCommit, Outside,
    commits::Author,
    http::{Call, Response, encode, segment},
};

const JSON: &str = "application/vnd.github+json";
const API_VERSION: HeaderName = HeaderName::from_static("x-github-api-version");
const VERSION: &str = "2022-11-28";

/// How many commits of recent history are taken where nothing says where they begin.
const RECENT: usize = 20;
/// How many commits come on a page, and of how many the newest are taken.
const PAGE: usize = 100;
const MOST_COMMITS: usize = 2_000;
/// Over how many pages the files of one commit are read: GitHub lists 3,000 at most.
const MOST_FILE_PAGES: usize = 10;

/// GitHub, as the holder of a token sees it.
#[derive(Debug, Clone)]
pub struct Client {
    outside: Outside,
    base: String,
    token: Secret,
}

impl Client {
    /// `domain_name` is where people see it: `https://github.com/`, or an Enterprise server, whose API lies
    /// below it.
    pub fn new(outside: Outside, domain_name: &str, token: Secret) -> Self {
        let site = domain_name.trim_end_matches('/');
        let base = match site {
            "https://github.com" => "https://api.github.com".to_owned(),
            site => format!("{site}/api/v3"),
        };
        Self {
            outside,
            base,
            token,
        }
    }

    /// Whether GitHub shows the repository.
    pub async fn has_repository(&self, repository: &RepositoryName) -> Result<bool, CallError> {
        let url = self.url(repository, "")?;
        Ok(found(self.get(url).await)?.is_some())
    }

    /// The hash of the commit that this name means now, if the repository has it.
    pub async fn hash(
        &self,
        repository: &RepositoryName,
        commit: &str,
    ) -> Result<Option<String>, CallError> {
        // Of its files, which come with it, as few as can be.
        let rest = format!("/commits/{}?per_page=1", segment(commit)?);
        match found(self.get(self.url(repository, &rest)?).await)? {
            Some(answer) => Ok(Some(answer.json::<Named>()?.sha)),
            None => Ok(None),
        }
    }

    /// The last commits up to this one, the newest first.
    pub async fn recent(
        &self,
        repository: &RepositoryName,
        commit: &str,
    ) -> Result<Vec<HostedCommit>, CallError> {
        let rest = format!("/commits?sha={}&per_page={RECENT}", encode(commit));
        let answer = self.get(self.url(repository, &rest)?).await?;
        let listed: Vec<Listed> = answer.json()?;
        let listed = listed.into_iter().take(RECENT);
        Ok(listed.map(|listed| listed.hosted(repository)).collect())
    }

    /// The commits that the second has and the first has not, the newest first; of very many the newest. Where
    /// their histories have nothing in common, the last ones.
    pub async fn compare(
        &self,
        repository: &RepositoryName,
        start: &str,
        end: &str,
    ) -> Result<Vec<HostedCommit>, CallError> {
        let range = format!("{}...{}", segment(start)?, segment(end)?);
        let page = async |number: usize| {
            let rest = format!("/compare/{range}?per_page={PAGE}&page={number}");
            let answer = self.get(self.url(repository, &rest)?).await?;
            answer.json::<Comparison>()
        };
        let first = match page(1).await {
            Err(error) if is_unrelated(&error) => return self.recent(repository, end).await,
            first => first?,
        };
        let pages = first.total_commits.div_ceil(PAGE).max(1);
        let skipped = pages.saturating_sub(MOST_COMMITS / PAGE);
        let mut commits = match skipped {
            0 => first.commits,
            _ => Vec::new(),
        };
        for number in skipped.max(1) + 1..=pages {
            commits.extend(page(number).await?.commits);
        }
        // GitHub lists the oldest first.
        let newest_first = commits.into_iter().rev();
        Ok(newest_first
            .map(|listed| listed.hosted(repository))
            .collect())
    }

    /// The files that a commit changed. A renamed one was deleted and added.
    pub async fn changes(
        &self,
        repository: &RepositoryName,
        sha: &str,
    ) -> Result<BTreeMap<String, FileChange>, CallError> {
        let mut files = Vec::new();
        for number in 1..=MOST_FILE_PAGES {
            let rest = format!("/commits/{}?page={number}", segment(sha)?);
            let answer = self.get(self.url(repository, &rest)?).await?;
            let more = answer
                .header("link")
                .is_some_and(|link| link.contains("rel=\"next\""));
            let details: Details = answer.json()?;
            files.extend(details.files.into_iter().flat_map(File::changes));
            if !more {
                break;
            }
        }
        Ok(GivenCommit::kept_files(files))
    }

    async fn get(&self, url: String) -> Result<Response, CallError> {
        let call = Call::new(Method::GET, url)
            .header(header::ACCEPT, JSON)
            .header(API_VERSION, VERSION)
            .authorization(&format!("Bearer {}", self.token.reveal()))
            .hiding(self.token.reveal());
        let answer = self.outside.send(call).await?;
        match limited(&answer) {
            Some(retry_after) => Err(CallError::RateLimited { retry_after }),
            None => answer.accepted(),
        }
    }

    /// A name is `owner/name`; whatever else it is, no repository is called so.
    fn url(&self, repository: &RepositoryName, rest: &str) -> Result<String, CallError> {
        let (owner, name) = repository
            .as_str()
            .split_once('/')
            .unwrap_or((repository.as_str(), ""));
        let (owner, name) = (segment(owner)?, segment(name)?);
        Ok(format!("{}/repos/{owner}/{name}{rest}", self.base))
    }
}

/// Whether GitHub cannot compare two commits, which are there, because no commit leads to both. Only its words
/// tell that from a commit that is not there.
fn is_unrelated(error: &CallError) -> bool {
    matches!(
        error,
        CallError::Api { status: 404, message, .. } if message.starts_with("No common ancestor")
    )
}

/// `None`: what was asked for is not there. 422 is for a text that cannot be a hash, and 409 for a repository
/// that is empty or still being made.
fn found(answer: Result<Response, CallError>) -> Result<Option<Response>, CallError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(
            CallError::Conflict
            | CallError::Api {
                status: 404 | 422, ..
            },
        ) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether GitHub asks for fewer calls, and for how long, where it says so. It does so with 403 as well as
/// with 429, and names a time to wait, or the second in which more calls are allowed.
fn limited(answer: &Response) -> Option<Option<Duration>> {
    let status = answer.status();
    if status != StatusCode::FORBIDDEN && status != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let wait = answer.retry_after();
    let spent = answer.header("x-ratelimit-remaining") == Some("0");
    if wait.is_none() && spent {
        return Some(reset(answer));
    }
    let said = || String::from_utf8_lossy(answer.body()).contains("rate limit");
    (status == StatusCode::TOO_MANY_REQUESTS || wait.is_some() || said()).then_some(wait)
}

/// Measured from the answer's own date: our clock need not be right.
fn reset(answer: &Response) -> Option<Duration> {
    let second = answer.header("x-ratelimit-reset")?.trim().parse().ok()?;
    let reset = UNIX_EPOCH.checked_add(Duration::from_secs(second))?;
    answer.until(reset)
}

#[derive(Deserialize)]
struct Comparison {
    total_commits: usize,
    commits: Vec<Listed>,
}

#[derive(Deserialize)]
struct Named {
    sha: String,
}

#[derive(Deserialize)]
struct Listed {
    sha: String,
    commit: Said,
}

#[derive(Deserialize)]
struct Said {
    author: Option<Author>,
    message: String,
}

impl Listed {
    fn hosted(self, repository: &RepositoryName) -> HostedCommit {
        let Said { author, message } = self.commit;
        HostedCommit::new(self.sha, repository, author, &message, false)
    }
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    filename: String,
    status: String,
    previous_filename: Option<String>,
}

impl File {
    fn changes(self) -> Vec<(String, FileChange)> {
        let Self {
            filename,
            status,
            previous_filename,
        } = self;
        match status.as_str() {
            "added" => vec![(filename, FileChange::Added)],
            "modified" => vec![(filename, FileChange::Modified)],
            "removed" => vec![(filename, FileChange::Deleted)],
            "renamed" => {
                let before = previous_filename.map(|path| (path, FileChange::Deleted));
                let after = (filename, FileChange::Added);
                before.into_iter().chain([after]).collect()
            }
            // Copied, changed in its mode alone, unchanged.
            _ => Vec::new(),
        }
    }
}
