//! Calls to Azure DevOps about the commits of a repository, which is named by its id.

use std::collections::BTreeMap;

use domain::{FileChange, GivenCommit, RepositoryName};
use http::Method;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;

use super::client::{Client, VERSION};
use crate::{CallError, HostedCommit, commits::Author, http::segment};

/// How many commits of recent history are taken where nothing says where they begin.
const RECENT: usize = 10;

/// A repository: what Azure DevOps knows it by, and what commits are stored under.
#[derive(Debug, Clone, Copy)]
pub struct Repository<'a> {
    /// Its id, or its name in the account.
    pub external_id: &'a str,
    /// Its name here.
    pub name: &'a RepositoryName,
}

impl Client {
    /// Whether Azure DevOps shows the repository.
    pub async fn has_repository(&self, repository: Repository<'_>) -> Result<bool, CallError> {
        let answer = self.read::<serde_json::Value>(repository, "").await;
        Ok(found(answer)?.is_some())
    }

    /// The hash of the commit that this name means, if the repository has it.
    pub async fn hash(
        &self,
        repository: Repository<'_>,
        commit: &str,
    ) -> Result<Option<String>, CallError> {
        let rest = format!("/commits/{}", segment(commit)?);
        let found = found(self.read::<Named>(repository, &rest).await)?;
        Ok(found.map(|it| it.commit_id))
    }

    /// The last commits up to this one, in the server's order.
    pub async fn recent(
        &self,
        repository: Repository<'_>,
        commit: &str,
    ) -> Result<Vec<HostedCommit>, CallError> {
        let rest = format!("/commits?commit={}&$top={RECENT}", segment(commit)?);
        let page: Page<Listed> = self.read(repository, &rest).await?;
        Ok(hosted(page, repository.name))
    }

    /// The commits that the second has and the first has not, in the server's order.
    pub async fn compare(
        &self,
        repository: Repository<'_>,
        start: &str,
        end: &str,
    ) -> Result<Vec<HostedCommit>, CallError> {
        let version = |commit| json!({ "versionType": "commit", "version": commit });
        let url = self.repository_url(repository, "/commitsBatch")?;
        let call = self.call(Method::POST, url, VERSION).json(&json!({
            "itemVersion": version(start), "compareVersion": version(end),
        }));
        let page: Page<Listed> = self.send(call).await?.json()?;
        Ok(hosted(page, repository.name))
    }

    /// The whole message of a commit.
    pub async fn message(
        &self,
        repository: Repository<'_>,
        sha: &str,
    ) -> Result<String, CallError> {
        let rest = format!("/commits/{}", segment(sha)?);
        let commit: Whole = self.read(repository, &rest).await?;
        Ok(GivenCommit::kept_message(&commit.comment))
    }

    /// The files that a commit changed, as far as that can be said in three words.
    pub async fn changes(
        &self,
        repository: Repository<'_>,
        sha: &str,
    ) -> Result<BTreeMap<String, FileChange>, CallError> {
        let rest = format!("/commits/{}/changes", segment(sha)?);
        let changes: Changes = self.read(repository, &rest).await?;
        let files = changes.changes.into_iter().filter_map(Change::file);
        Ok(GivenCommit::kept_files(files))
    }

    async fn read<T: DeserializeOwned>(
        &self,
        repository: Repository<'_>,
        rest: &str,
    ) -> Result<T, CallError> {
        let url = self.repository_url(repository, rest)?;
        self.send(self.call(Method::GET, url, VERSION))
            .await?
            .json()
    }

    fn repository_url(&self, repository: Repository<'_>, rest: &str) -> Result<String, CallError> {
        let id = segment(repository.external_id)?;
        Ok(format!(
            "{}_apis/git/repositories/{id}{rest}",
            self.instance()
        ))
    }
}

/// `None`: what was asked for is not there.
fn found<T>(answer: Result<T, CallError>) -> Result<Option<T>, CallError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(CallError::Api {
            status: 400 | 404, ..
        }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn hosted(page: Page<Listed>, name: &RepositoryName) -> Vec<HostedCommit> {
    let listed = page.value.into_iter();
    let hosted = listed.map(|it| {
        HostedCommit::new(
            it.commit_id,
            name,
            it.author,
            &it.comment,
            it.comment_truncated,
        )
    });
    hosted.collect()
}

#[derive(Deserialize)]
struct Page<T> {
    value: Vec<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    commit_id: String,
    author: Option<Author>,
    #[serde(default)]
    comment: String,
    #[serde(default)]
    comment_truncated: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    commit_id: String,
}

#[derive(Deserialize)]
struct Whole {
    #[serde(default)]
    comment: String,
}

#[derive(Deserialize)]
struct Changes {
    #[serde(default)]
    changes: Vec<Change>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    change_type: Option<String>,
    item: Option<Item>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    path: Option<String>,
    git_object_type: Option<String>,
}

impl Change {
    fn file(self) -> Option<(String, FileChange)> {
        let item = self.item?;
        if item.git_object_type.as_deref() != Some("blob") {
            return None;
        }
        let change = match self.change_type?.as_str() {
            "add" => FileChange::Added,
            "delete" => FileChange::Deleted,
            "edit" => FileChange::Modified,
            _ => return None,
        };
        Some((item.path?, change))
    }
}
