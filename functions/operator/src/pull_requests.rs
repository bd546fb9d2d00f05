//! Pull requests, as far as nobody else tells of them.

use domain::{Fault, GivenAuthor, MessageId, PullRequest, Ref, RepositoryName, TraceId};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Context,
    fields::{bounded, organization, unknown},
};

/// Longest title and description that are kept, in characters.
const MAX_TITLE: usize = 1_000;
const MAX_MESSAGE: usize = 64 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavePullRequest {
    organization: String,
    repository: String,
    key: String,
    title: Option<String>,
    message: Option<String>,
    author_email: Option<String>,
    merge_commit: Option<String>,
}

pub(crate) async fn save(context: &Context, new: SavePullRequest) -> Result<Value, Fault> {
    let organization = organization(context, &new.organization).await?;
    let name = RepositoryName::new(&new.repository);
    let name = name.ok_or_else(|| unknown("repository", &new.repository))?;
    let known = context
        .store
        .repositories_named(organization.id, std::slice::from_ref(&name))
        .await?;
    let repository = known.get(&name.folded());
    let repository = *repository.ok_or_else(|| unknown("repository", &new.repository))?;
    let text = |field: &str, text: Option<String>, most| {
        let given = text.filter(|text| !text.trim().is_empty());
        given.map(|text| bounded(field, &text, most)).transpose()
    };
    let author = GivenAuthor::new(new.author_email.as_deref(), None);
    let now = context.clock.now();
    let pull_request = PullRequest {
        repository,
        key: bounded("key", &new.key, PullRequest::MAX_KEY)?,
        title: text("title", new.title, MAX_TITLE)?,
        message: text("message", new.message, MAX_MESSAGE)?,
        author: author.map(|author| author.email().to_owned()),
        merge_commit: text("merge_commit", new.merge_commit, Ref::MAX_COMMIT)?,
        created: now,
        groups: Vec::new(),
    };
    let trace = TraceId::new(MessageId::new(now, rand::random()).to_string());
    let store = &context.store;
    let saved = store.put_pull_request(organization.id, &pull_request, &trace, now);
    let saved = saved.await?;
    let pull_request = &saved.entity;
    Ok(json!({
        "created": saved.created,
        "pull_request": {
            "repository": pull_request.repository, "key": pull_request.key,
            "merge_commit": pull_request.merge_commit, "groups": pull_request.groups,
        },
    }))
}
