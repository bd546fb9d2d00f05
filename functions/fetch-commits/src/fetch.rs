//! One step of fetching the commits of one repository: load, ask the host, decide, commit.

use std::{collections::HashMap, time::Duration};

use domain::{
    CommitList, CommitRef, Fault, FetchAnswer, FetchCommits, FetchStep, Timestamp, TraceId,
};
use providers::HostedCommit;
use store::{FetchEnding, FetchWork};
use tokio::time::Instant;
use tracing::Span;

use crate::{
    Context,
    host::{Host, Stop},
    tell::tell,
};

/// For how many details one message asks, and until when it begins with another one, in milliseconds from its
/// beginning: the rest is another message's. Each asks for one at least, so none leaves all to the next.
const MOST_DETAILS: usize = 100;
const LONGEST: i64 = 50_000;

/// How long after its beginning a message waits for a host's list, and for the details of a commit. Both are
/// many calls, each of which may be slow; a host that is slower than this is asked again later. What is left
/// until the function has to end is for the table.
const LISTING: Duration = Duration::from_secs(45);
const DETAILS: Duration = Duration::from_secs(70);

/// How often a host is asked again when others changed meanwhile what follows.
const ROUNDS: u32 = 8;

/// When the work on a message began.
#[derive(Clone, Copy)]
struct Began {
    at: Timestamp,
    instant: Instant,
}

/// What a host's answer comes to.
pub(crate) struct Asked {
    pub(crate) answer: FetchAnswer,
    /// The commits, if there are any.
    list: Option<CommitList>,
    /// What was said, for people to read.
    pub(crate) detail: Option<String>,
}

pub(crate) async fn fetch(
    context: &Context,
    message: &FetchCommits,
    trace: &TraceId,
) -> Result<(), Fault> {
    Span::current().record("org.id", message.organization.number());
    let began = Began {
        at: context.clock.now(),
        instant: Instant::now(),
    };
    for _ in 0..ROUNDS {
        let Some(mut work) = load(context, message, trace).await? else {
            return Ok(());
        };
        let asked = match ask(context, &mut work, began, trace).await {
            Ok(asked) => asked,
            Err(Stop::Answer(answer, detail)) => Asked {
                answer,
                list: None,
                detail,
            },
            Err(Stop::Fault(fault)) => return Err(fault),
        };
        if end(context, message, &work, &asked, trace).await? {
            return Ok(());
        }
    }
    Err(Fault::Retry("what is to be fetched kept changing".into()))
}

/// What the message is about. `None`: nothing, or not any more, or of several repositories each has a message
/// of its own now.
async fn load(
    context: &Context,
    message: &FetchCommits,
    trace: &TraceId,
) -> Result<Option<FetchWork>, Fault> {
    let store = &context.store;
    let (organization, version) = (message.organization, &message.version);
    let Some(release) = context
        .release(organization, version, message.release)
        .await?
    else {
        return Ok(None);
    };
    let new = release
        .fetches
        .iter()
        .filter(|(_, fetch)| fetch.request == message.request && fetch.step == 0);
    let new: Vec<_> = new.map(|(repository, _)| *repository).collect();
    let place = match (message.of, &new[..]) {
        (Some(place), _) => place,
        (None, [repository]) => FetchStep {
            repository: *repository,
            step: 0,
        },
        (None, _) => {
            let now = context.clock.now();
            store.spread_fetches(message, &new, trace, now).await?;
            return Ok(None);
        }
    };
    Ok(store.fetch_work(&release, message, place).await?)
}

/// Asks the host for the commits and for what each of them changed. What is stored of a commit with its files
/// is whole, whoever brought it, and not asked for again.
async fn ask(
    context: &Context,
    work: &mut FetchWork,
    began: Began,
    trace: &TraceId,
) -> Result<Asked, Stop> {
    // Not cut short: a token that is renewed has to be kept.
    let host = Host::open(context, work).await?;
    if !work.release.has_room(work.repository_id) {
        return Err(Stop::answer(FetchAnswer::NoRoom));
    }
    let mut hosted = within(began.instant + LISTING, host.commits(&mut work.fetch)).await?;
    let reference = |hosted: &HostedCommit| CommitRef {
        repository: work.repository_id,
        sha: hosted.commit.sha.clone(),
    };
    let references: Vec<_> = hosted.iter().map(reference).collect();
    let known = context.store.known_commits(&references).await?;
    let known: HashMap<_, _> = known.iter().map(|known| (&*known.sha, known)).collect();
    let done = work.fetch.done as usize;
    let (mut asked, mut stopped) = (0, None);
    for (number, it) in hosted.iter_mut().enumerate() {
        let stored = known.get(&*it.commit.sha);
        let whole = number < done || stored.is_some_and(|stored| !stored.files.is_empty());
        if whole || number >= host.most_details() {
            if it.truncated && stored.is_some_and(|stored| stored.message.is_some()) {
                it.commit.message = None;
            }
            continue;
        }
        let late = context.clock.now().millis() - began.at.millis() > LONGEST;
        if asked == MOST_DETAILS || (late && asked > 0) {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            stopped = Some((number, Stop::Answer(FetchAnswer::Partly(number), None)));
            break;
        }
        asked += 1;
        if let Err(stop) = within(began.instant + DETAILS, complete(&host, it)).await {
            stopped = Some((u32::try_from(number).unwrap_or(u32::MAX), stop));
            break;
        }
    }
    let commits = hosted.into_iter().map(|hosted| hosted.commit);
    let Some((number, stop)) = stopped else {
        let commits: Vec<_> = commits.collect();
        return Ok(Asked {
            answer: FetchAnswer::Commits,
            list: (!commits.is_empty()).then(|| CommitList::new(commits)),
            detail: None,
        });
    };
    // What has come is kept, whatever becomes of the rest.
    let come = commits.take(number as usize).skip(done).collect();
    let (list, now) = (CommitList::new(come), context.clock.now());
    context
        .store
        .note_commits(&work.release, &list, trace, now)
        .await?;
    work.fetch.done = number;
    Err(stop)
}

/// What a host answers until then.
async fn within<T>(
    until: Instant,
    answer: impl Future<Output = Result<T, Stop>>,
) -> Result<T, Stop> {
    let in_time = tokio::time::timeout_at(until, answer).await;
    in_time.unwrap_or_else(|_| {
        let detail = "The host takes too long.".to_owned();
        Err(Stop::Answer(FetchAnswer::Unavailable(None), Some(detail)))
    })
}

/// Adds what the host's list does not say of a commit.
async fn complete(host: &Host, hosted: &mut HostedCommit) -> Result<(), Stop> {
    let sha = &hosted.commit.sha;
    let files = host.changes(sha).await?;
    if hosted.truncated
        && let Some(message) = host.message(sha).await?
    {
        hosted.commit.message = Some(Some(message));
    }
    hosted.commit.files = files;
    Ok(())
}

/// Commits what follows. `false`: others have changed what it was decided on, like who has been told.
async fn end(
    context: &Context,
    message: &FetchCommits,
    work: &FetchWork,
    asked: &Asked,
    trace: &TraceId,
) -> Result<bool, Fault> {
    let now = context.clock.now();
    let end = domain::end_fetch(&work.fetch, &asked.answer, now);
    let repository = work.repository_id.to_string();
    let name = work.repository.as_ref().map(|it| it.name.as_str());
    if asked.answer == FetchAnswer::NotSupported && name.is_some() {
        tracing::warn!(
            repository,
            name,
            remedy = asked.detail,
            "there is nobody who can be asked for the commits of a repository"
        );
    } else {
        tracing::info!(
            repository,
            name,
            answer = format!("{:?}", asked.answer),
            detail = asked.detail,
            "a host was asked for commits"
        );
    }
    let told = tell(context, work, asked, &end, now).await?;
    let ending = FetchEnding {
        end: &end,
        list: asked.list.as_ref(),
        told: told.told,
        mails: told.mails,
        forget_identity: told.forget_identity,
    };
    let ended = context.store.end_fetch(work, message, ending, trace, now);
    Ok(ended.await?)
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn a_host_that_takes_too_long_is_asked_again_later() {
        let now = Instant::now();
        let answer = within(now, pending::<Result<(), Stop>>()).await;
        let put_off = FetchAnswer::Unavailable(None);
        assert!(
            matches!(&answer, Err(Stop::Answer(answer, _)) if *answer == put_off),
            "{answer:?}"
        );
        let answer = within(now + LISTING, ready(Ok(1))).await;
        assert!(matches!(answer, Ok(1)), "{answer:?}");
    }
}
