//! Pull requests, each in a partition of its own. The commit that one was merged with says so in its own row:
//! a release that has the commit needs no other read to know what was merged.

use std::collections::BTreeMap;

use domain::{
    CodeChange, Commit, CommitFields, CommitRef, LinkGroups, Mention, Message, OrganizationId,
    PullRequest, Timestamp, TraceId, references,
};

use crate::{
    commits::commit_change,
    error::StoreError,
    keys,
    table::{ATTEMPTS, Created, Store, step_aside, value},
    transaction::{Change, Commit as Committed, Transaction},
};

impl Store {
    /// Stores what is known of a pull request, with the groups that it refers to, and sends for them to know.
    /// One that is as it was changes nothing, unless the row of its merge commit does not say so any more.
    pub async fn put_pull_request(
        &self,
        organization: OrganizationId,
        new: &PullRequest,
        trace: &TraceId,
        now: Timestamp,
    ) -> Result<Created<PullRequest>, StoreError> {
        let ids = references(&new.text());
        let found = self.groups_named(organization, ids.clone()).await?;
        let groups = ids.iter().filter_map(|id| found.get(id).copied());
        let groups: Vec<_> = groups.collect();
        let key = keys::pull_request(&new.reference());
        for attempt in 0..ATTEMPTS {
            step_aside(attempt).await;
            let seen: Option<PullRequest> = self.get(&key).await?;
            let next = PullRequest {
                created: seen.as_ref().map_or(new.created, |seen| seen.created),
                groups: groups.clone(),
                ..new.clone()
            };
            let mut transaction = self.transaction();
            if seen.as_ref() != Some(&next) {
                let change = pull_request_change(seen.as_ref(), &next)?;
                transaction = transaction.update(&key, change)?;
            }
            for (commit, mention) in merges(seen.as_ref(), &next) {
                transaction = self
                    .merged(transaction, &next, commit, mention, now)
                    .await?;
            }
            if transaction.is_empty() {
                return Ok(Created::found(next));
            }
            let created = seen.is_none();
            if seen.is_none_or(|seen| seen.groups != next.groups) {
                let link = Message::LinkGroups(LinkGroups {
                    organization,
                    changes: vec![CodeChange::PullRequest(next.reference())],
                });
                transaction = transaction.send(link, trace, now, now)?;
            }
            if transaction.commit().await? == Committed::Done {
                let entity = next;
                return Ok(Created { entity, created });
            }
        }
        Err(StoreError::Contended("the pull request".into()))
    }

    /// Says in a commit's row what was merged with it, or no longer, where the row still says what was seen.
    async fn merged<'a>(
        &self,
        transaction: Transaction<'a>,
        pull_request: &PullRequest,
        sha: String,
        mention: Option<Mention>,
        now: Timestamp,
    ) -> Result<Transaction<'a>, StoreError> {
        let commit = CommitRef {
            repository: pull_request.repository,
            sha,
        };
        let key = keys::commit(&commit);
        let seen: Option<Commit> = self.get(&key).await?;
        let seen = seen.map(|commit| commit.merged).unwrap_or_default();
        let mut next: BTreeMap<String, Mention> = seen.clone();
        match mention {
            Some(mention) => next.insert(pull_request.key.clone(), mention),
            None => next.remove(&pull_request.key),
        };
        if next == seen {
            return Ok(transaction);
        }
        let mut change = commit_change(&commit, &CommitFields::default(), now)?;
        match next.is_empty() {
            true => change.expression.push_str(" REMOVE merged"),
            false => {
                change.expression.push_str(", merged = :merged");
                change.values.insert(":merged".into(), value(&next)?);
            }
        }
        match seen.is_empty() {
            true => change.condition = "attribute_not_exists(merged)".into(),
            false => {
                change.condition = "merged = :seen".into();
                change.values.insert(":seen".into(), value(&seen)?);
            }
        }
        transaction.update(&key, change)
    }
}

/// The commits whose rows change, with what they say of the pull request from now on.
fn merges(seen: Option<&PullRequest>, next: &PullRequest) -> BTreeMap<String, Option<Mention>> {
    let mut merges = BTreeMap::new();
    let before = seen.filter(|seen| seen.merged().is_some());
    merges.extend(before.and_then(|seen| Some((seen.merge_commit.clone()?, None))));
    let merged = next.merged();
    merges.extend(merged.and_then(|mention| Some((next.merge_commit.clone()?, Some(mention)))));
    merges
}

/// Sets all that is known; the groups that know stay. Where it still is as it was seen.
fn pull_request_change(
    seen: Option<&PullRequest>,
    next: &PullRequest,
) -> Result<Change, StoreError> {
    let mut change = Change {
        expression: "SET repository = :repository, #key = :key, title = :title, \
             message = :message, author = :author, merge_commit = :merge_commit, created = :created"
            .into(),
        condition: "attribute_not_exists(repository)".into(),
        // Reserved words.
        names: vec![
            ("#key".into(), "key".into()),
            ("#groups".into(), "groups".into()),
        ],
        values: [
            (":repository".into(), value(&next.repository)?),
            (":key".into(), value(&next.key)?),
            (":title".into(), value(&next.title)?),
            (":message".into(), value(&next.message)?),
            (":author".into(), value(&next.author)?),
            (":merge_commit".into(), value(&next.merge_commit)?),
            (":created".into(), value(&next.created)?),
        ]
        .into(),
    };
    if let Some(seen) = seen {
        change.condition =
            "merge_commit = :seen_commit AND message = :seen_message AND title = :seen_title"
                .into();
        change
            .values
            .insert(":seen_commit".into(), value(&seen.merge_commit)?);
        change
            .values
            .insert(":seen_message".into(), value(&seen.message)?);
        change
            .values
            .insert(":seen_title".into(), value(&seen.title)?);
    }
    // Like the row of a commit, it says nothing where there is none.
    match next.groups.is_empty() {
        true => change.expression.push_str(" REMOVE #groups"),
        false => {
            change.expression.push_str(", #groups = :groups");
            change.values.insert(":groups".into(), value(&next.groups)?);
        }
    }
    Ok(change)
}
