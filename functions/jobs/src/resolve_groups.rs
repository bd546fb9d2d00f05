//! Resolves what the commits of a release refer to, and what was merged with them.
//!
//! Each group is resolved once for each commit and pull request: a release that is set again, or a message
//! that comes late, resolves nothing that has been opened since. A group knows of a commit before the release
//! resolves it, so what comes later of the commit alone finds it done.

use domain::{
    CodeChange, CodeOrigin, Commit, CommitRef, Facet, Fault, GroupId, GroupState, ListedCommit,
    Message, MessageId, Origin, PullRequestRef, Release, RepositoryId, ResolveGroups, TraceId,
};
use runtime::Metric;
use store::{Cause, Step};
use tracing::Span;

use crate::{Context, link_groups::Links};

/// How many commits one message comes to.
const COMMITS: usize = 25;

pub(crate) async fn resolve(
    context: &Context,
    mut message: ResolveGroups,
    trace: &TraceId,
) -> Result<(), Fault> {
    Span::current().record("org.id", message.organization.number());
    let store = &context.store;
    let release = store
        .release(message.organization, &message.version)
        .await?;
    let Some(release) = release.filter(|release| release.id == message.release) else {
        return Ok(());
    };
    let Some((repository, generation)) = message.lists.pop_first() else {
        return Ok(());
    };
    let Some(organization) = store.organization(message.organization).await? else {
        return Ok(());
    };
    let commits = store.referring_commits(&release, repository, generation);
    // A list that took its place has a message of its own.
    let commits = commits.await?.unwrap_or_default();
    let rest = commits.get(message.done as usize..).unwrap_or_default();
    let (now, later) = rest.split_at(rest.len().min(COMMITS));
    let mut work = Work {
        context,
        release: &release,
        trace,
        links: Links::new(context, &organization, trace, usize::MAX),
    };
    work.resolve(repository, now).await?;
    message.done = match later.is_empty() {
        true => 0,
        false => message.done + u32::try_from(now.len()).unwrap_or(u32::MAX),
    };
    if !later.is_empty() {
        message.lists.insert(repository, generation);
    }
    if message.lists.is_empty() {
        return Ok(());
    }
    let (rest, now) = (Message::ResolveGroups(message), context.clock.now());
    Ok(store.outbox_send(rest, trace, now, now).await?)
}

struct Work<'a> {
    context: &'a Context,
    release: &'a Release,
    trace: &'a TraceId,
    links: Links<'a>,
}

impl Work<'_> {
    async fn resolve(
        &mut self,
        repository: RepositoryId,
        listed: &[ListedCommit],
    ) -> Result<(), Fault> {
        let reference = |commit: &ListedCommit| CommitRef {
            repository,
            sha: commit.sha.clone(),
        };
        let references: Vec<_> = listed.iter().map(reference).collect();
        let known = self.context.store.commits(&references).await?;
        for commit in listed {
            let Some(known) = known.get(&reference(commit)) else {
                continue;
            };
            self.resolve_commit(known, commit.author.as_deref()).await?;
        }
        Ok(())
    }

    async fn resolve_commit(&mut self, commit: &Commit, author: Option<&str>) -> Result<(), Fault> {
        let own = CodeChange::Commit(CommitRef {
            repository: commit.repository,
            sha: commit.sha.clone(),
        });
        if !commit.groups.is_empty() {
            self.links.bring_in_step(&own).await?;
        }
        for group in &commit.groups {
            self.resolve_group(&own, author, *group).await?;
        }
        for (key, merged) in &commit.merged {
            let change = CodeChange::PullRequest(PullRequestRef {
                repository: commit.repository,
                key: key.clone(),
            });
            for group in &merged.groups {
                let author = merged.author.as_deref();
                self.resolve_group(&change, author, *group).await?;
            }
        }
        Ok(())
    }

    async fn resolve_group(
        &mut self,
        change: &CodeChange,
        author: Option<&str>,
        group: GroupId,
    ) -> Result<(), Fault> {
        let (context, release) = (self.context, self.release);
        let people = self.links.people.with_address(author).await?;
        let actor = people.first().map(|(member, _)| member.user);
        let now = context.clock.now();
        let origin = Origin::Code(CodeOrigin {
            change: change.clone(),
            release: Some(release.version.clone()),
            cause: MessageId::new(now, rand::random()),
        });
        let cause = Cause {
            origin: &origin,
            facet: Facet::Status,
            rule: None,
            handed_over: false,
            trace: self.trace,
            now,
        };
        let decide =
            |state: &GroupState| domain::resolve_in_release(state, release, actor, &origin);
        let made = context
            .store
            .resolve_group(release, change, group, decide, &cause);
        match made.await? {
            Step::Made => Metric::GroupResolved {
                instance: "in_commit",
            }
            .emit(),
            Step::Stale | Step::Gone => {}
        }
        Ok(())
    }
}
