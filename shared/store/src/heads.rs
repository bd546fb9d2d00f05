//! The newest commits of a release's repositories, and what is to be fetched up to them.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{
    CommitRef, Fetch, FetchCommits, Message, MessageId, Release, RepositoryId, Timestamp, TraceId,
};

use crate::{
    commits::pages_of,
    error::StoreError,
    fetches::record_deploys,
    keys,
    table::{Store, text, value},
    transaction::{Change, Commit as Committed},
};

/// What the hosts of repositories are to be asked for.
#[derive(Debug)]
pub struct NewFetches<'a> {
    /// The request.
    pub request: MessageId,
    /// Of each repository.
    pub fetches: BTreeMap<RepositoryId, Fetch>,
    /// Follows it to its end.
    pub trace: &'a TraceId,
    /// When it was made.
    pub now: Timestamp,
}

impl Store {
    /// Names the newest commits of repositories, and asks for those before them where `fetches` says so, in a
    /// message of the same transaction. `None`: the release is gone.
    pub async fn set_heads(
        &self,
        release: &Release,
        heads: &[CommitRef],
        fetches: Option<&NewFetches<'_>>,
    ) -> Result<Option<Release>, StoreError> {
        // Of several of one repository the last one counts.
        let heads: BTreeMap<_, _> = heads
            .iter()
            .map(|head| (head.repository, &head.sha))
            .collect();
        let mut change = Change {
            expression: "SET commit_seq = commit_seq + :one".into(),
            condition: "id = :id".into(),
            names: Vec::new(),
            values: [
                (":one".into(), value(&1)?),
                (":id".into(), value(&release.id)?),
            ]
            .into(),
        };
        for (n, (repository, sha)) in heads.into_iter().enumerate() {
            change
                .expression
                .push_str(&format!(", heads.#r{n} = :h{n}"));
            change
                .names
                .push((format!("#r{n}"), repository.to_string()));
            change.values.insert(format!(":h{n}"), text(sha));
            if let Some(fetch) = fetches.and_then(|new| new.fetches.get(&repository)) {
                change
                    .expression
                    .push_str(&format!(", fetches.#r{n} = :f{n}"));
                change.values.insert(format!(":f{n}"), value(fetch)?);
            }
        }
        let key = keys::release(release.organization, &release.version);
        let mut transaction = self.transaction().update(&key, change)?;
        if let Some(new) = fetches {
            let message = Message::FetchCommits(FetchCommits {
                organization: release.organization,
                version: release.version.clone(),
                release: release.id,
                request: new.request,
                of: None,
            });
            transaction = transaction.send(message, new.trace, new.now, new.now)?;
        }
        match transaction.commit().await? {
            Committed::Done => self.release_again(release).await,
            Committed::Refused(_) => Ok(None),
        }
    }

    /// Takes all commits from a release, and those that it waits for. `None`: it is gone.
    pub async fn clear_commits(
        &self,
        release: &Release,
        trace: &TraceId,
        now: Timestamp,
    ) -> Result<Option<Release>, StoreError> {
        let change = Change {
            expression:
                "SET commit_seq = commit_seq + :one, lists = :none, heads = :none, fetches = :none"
                    .into(),
            condition: "id = :id".into(),
            names: Vec::new(),
            values: [
                (":one".into(), value(&1)?),
                (":id".into(), value(&release.id)?),
                (":none".into(), AttributeValue::M(HashMap::new())),
            ]
            .into(),
        };
        let key = keys::release(release.organization, &release.version);
        let mut transaction = self.transaction().update(&key, change)?;
        if !release.fetches.is_empty() {
            transaction = transaction.send(record_deploys(release), trace, now, now)?;
        }
        if transaction.commit().await? != Committed::Done {
            return Ok(None);
        }
        let old = release.lists.values();
        let old = old.flat_map(|list| pages_of(release, list));
        let _ = self.delete_all(old.collect()).await;
        self.release_again(release).await
    }
}
