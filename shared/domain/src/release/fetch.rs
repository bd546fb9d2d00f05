//! Commits that a ref names and nobody sent: what is to be asked of the repository's host, and what follows
//! from how it answers.
//!
//! What is to be fetched lies in the release, one for each repository. A message is about one step of it, and
//! whoever puts the work off or ends it moves it on in the same write: copies of a message come too late. A
//! newer request, or a list that a client sends, takes its place or takes it away.

use serde::{Deserialize, Serialize};

use crate::{Failing, MessageId, Timestamp, UserId};

/// The commits of one repository that a release waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// The request that asked for them.
    pub request: MessageId,
    /// Rises whenever the work is put off.
    pub step: u32,
    /// The newest commit, as the request named it, and by its own name once the host has said which one
    /// that is: the name of a branch soon means another.
    pub commit: String,
    /// After which commit they begin; `None`: the host's recent history.
    pub start: Option<FetchStart>,
    /// Who asked; `None` for a token of the organization, which its owners answer for.
    pub user: Option<UserId>,
    /// Of how many of the commits the details are stored.
    pub done: u32,
    /// How often the host did not know the commit yet.
    pub waits: u32,
    /// Since when the host cannot be asked, and how often that was tried.
    pub failing: Option<Failing>,
}

/// A commit after which those of a release begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FetchStart {
    /// The request named it.
    Named(String),
    /// The newest one of the release before. It may be gone, by a push that rewrote history.
    Previous(String),
}

impl FetchStart {
    /// Its name.
    pub fn commit(&self) -> &str {
        match self {
            Self::Named(commit) | Self::Previous(commit) => commit,
        }
    }
}

impl Fetch {
    /// What a request asks for.
    pub fn new(
        request: MessageId,
        commit: String,
        start: Option<FetchStart>,
        user: Option<UserId>,
    ) -> Self {
        Self {
            request,
            step: 0,
            commit,
            start,
            user,
            done: 0,
            waits: 0,
            failing: None,
        }
    }

    /// Whether it waits for something other than its turn: a commit, or a host.
    pub fn is_put_off(&self) -> bool {
        self.waits > 0 || self.failing.is_some()
    }

    fn next(&self) -> Self {
        Self {
            step: self.step + 1,
            ..self.clone()
        }
    }
}

/// How long a commit is waited for that the host does not know, in milliseconds: pipelines name commits that
/// are pushed a little later.
const WAITS: [i64; 4] = [60_000, 5 * 60_000, 15 * 60_000, 60 * 60_000];

/// Why commits cannot be fetched. People are told of each once, until they could be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FetchCause {
    /// The host does not take the credentials, or there are none.
    Credentials,
    /// The host knows no such repository, or does not show it.
    Repository,
    /// The repository has no such commit, and did not get it.
    Commit,
    /// The host did not answer as it should for a day.
    Unavailable,
    /// The host refuses for another reason, which it names.
    Refused,
    /// The integration is off, or does not serve the organization any more.
    Integration,
    /// The release has commits of as many repositories as it can note.
    TooManyRepositories,
    /// Something that nobody outside can mend.
    Internal,
}

impl FetchCause {
    /// What to do about it, for whoever asked for the commits.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Credentials => {
                "Give the integration a token that is valid and may read the repository. What was asked for within \
                 the last day is then fetched by itself."
            }
            Self::Repository => {
                "Check the repository's name and external id, and that the integration's token may read it."
            }
            Self::Commit => {
                "Push the commit, or name one that the repository has, and set the commits again."
            }
            Self::Unavailable => "Set the commits again when the host is back.",
            Self::Refused => "Mend what the host names, and set the commits again.",
            Self::Integration => {
                "Enable the integration, or tie the repository to one that the organization uses, and set the commits \
                 again."
            }
            Self::TooManyRepositories => {
                "Give the repository's commits to a release of its own, or clear those of this release first."
            }
            Self::Internal => "The log of fetch-commits says more.",
        }
    }

    /// What is wrong, in a few words.
    pub fn summary(self) -> &'static str {
        match self {
            Self::Credentials => "The token is not accepted.",
            Self::Repository => "The repository cannot be found.",
            Self::Commit => "The commit cannot be found.",
            Self::Unavailable => "The host has not answered for a day.",
            Self::Refused => "The host refuses the request.",
            Self::Integration => "The repository's integration is disabled or detached.",
            Self::TooManyRepositories => "The release has commits of too many repositories.",
            Self::Internal => "An internal error occurred.",
        }
    }
}

/// What asking a host comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchAnswer {
    /// The commits, which may be none, with all that is to be known of them.
    Commits,
    /// Details of so many commits are stored, and more are missing than one message has room for.
    Partly(u32),
    /// There is no host to be asked: none that can be, or nobody has tied the repository to an integration.
    NotSupported,
    /// The integration that the repository is tied to is off, or does not serve the organization.
    Detached,
    /// The release has no room for the commits of another repository.
    NoRoom,
    /// The repository is there, and the commit is not.
    UnknownCommit,
    /// The host shows no such repository.
    UnknownRepository,
    /// The credentials are missing, have ended or are refused.
    InvalidIdentity,
    /// It may pass: too many calls, trouble at the host, no answer in time; at the earliest after so many
    /// milliseconds, where the host says so.
    Unavailable(Option<i64>),
    /// The host refuses for good.
    Refused,
    /// Anything else.
    Internal,
}

/// What follows from an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchEnd {
    /// The work goes on from here, not before `due`.
    Again {
        /// How it stands then.
        fetch: Fetch,
        /// When.
        due: Timestamp,
        /// What somebody is to be told of meanwhile.
        tell: Option<FetchCause>,
    },
    /// It is over.
    Over {
        /// What somebody is to be told of.
        tell: Option<FetchCause>,
    },
}

/// Decides what follows from what a host answered.
pub fn end_fetch(fetch: &Fetch, answer: &FetchAnswer, now: Timestamp) -> FetchEnd {
    let over = |tell| FetchEnd::Over { tell };
    match answer {
        FetchAnswer::Commits | FetchAnswer::NotSupported => over(None),
        FetchAnswer::Detached => over(Some(FetchCause::Integration)),
        FetchAnswer::NoRoom => over(Some(FetchCause::TooManyRepositories)),
        FetchAnswer::Partly(done) => FetchEnd::Again {
            fetch: Fetch {
                done: *done,
                failing: None,
                ..fetch.next()
            },
            due: now,
            tell: None,
        },
        FetchAnswer::UnknownCommit => match WAITS.get(fetch.waits as usize) {
            Some(wait) => FetchEnd::Again {
                fetch: Fetch {
                    waits: fetch.waits + 1,
                    failing: None,
                    ..fetch.next()
                },
                due: now.plus(*wait),
                tell: None,
            },
            None => over(Some(FetchCause::Commit)),
        },
        FetchAnswer::UnknownRepository => over(Some(FetchCause::Repository)),
        // Heals when somebody gives new credentials, so they are told at once.
        FetchAnswer::InvalidIdentity => {
            let tell = Some(FetchCause::Credentials);
            later(fetch, now, None, tell).unwrap_or_else(|| over(tell))
        }
        FetchAnswer::Unavailable(wait) => {
            later(fetch, now, *wait, None).unwrap_or_else(|| over(Some(FetchCause::Unavailable)))
        }
        FetchAnswer::Refused => over(Some(FetchCause::Refused)),
        FetchAnswer::Internal => over(Some(FetchCause::Internal)),
    }
}

/// `None`: it has failed for a day.
fn later(
    fetch: &Fetch,
    now: Timestamp,
    wait: Option<i64>,
    tell: Option<FetchCause>,
) -> Option<FetchEnd> {
    let (failing, due) = Failing::again(fetch.failing, now, wait)?;
    let fetch = Fetch {
        failing: Some(failing),
        ..fetch.next()
    };
    Some(FetchEnd::Again { fetch, due, tell })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);
    const DAY: i64 = 24 * 60 * 60 * 1000;

    fn fetch() -> Fetch {
        Fetch::new(MessageId::new(NOW, 1), "abc".into(), None, None)
    }

    /// Answers the same again and again: the pauses in seconds, and what is told with each and at the end.
    fn run(answer: &FetchAnswer) -> (Vec<i64>, Vec<Option<FetchCause>>) {
        let (mut fetch, mut now) = (fetch(), NOW);
        let (mut pauses, mut told) = (Vec::new(), Vec::new());
        loop {
            match end_fetch(&fetch, answer, now) {
                FetchEnd::Again {
                    fetch: next,
                    due,
                    tell,
                } => {
                    assert_eq!(
                        next.step,
                        fetch.step + 1,
                        "a copy of the message comes too late"
                    );
                    assert!(next.is_put_off());
                    pauses.push((due.millis() - now.millis()) / 1000);
                    told.push(tell);
                    (fetch, now) = (next, due);
                }
                FetchEnd::Over { tell } => {
                    told.push(tell);
                    return (pauses, told);
                }
            }
        }
    }

    #[test]
    fn a_commit_that_is_not_there_yet_is_waited_for_before_anybody_hears_of_it() {
        let (pauses, told) = run(&FetchAnswer::UnknownCommit);
        assert_eq!(pauses, [60, 300, 900, 3600]);
        let expected = [None, None, None, None, Some(FetchCause::Commit)];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_host_that_is_away_is_asked_again_for_a_day() {
        let (pauses, told) = run(&FetchAnswer::Unavailable(None));
        assert_eq!(pauses[..4], [15, 30, 60, 120]);
        assert_eq!(pauses.last(), Some(&3600));
        let total: i64 = pauses.iter().sum();
        assert!(
            total * 1000 <= DAY && (total + 3600) * 1000 > DAY,
            "{total}"
        );
        assert!(told[..pauses.len()].iter().all(Option::is_none));
        assert_eq!(told.last(), Some(&Some(FetchCause::Unavailable)));
        // As long as the host asks, which never means sooner.
        for (asked, pause) in [(900_000, 900_000), (7_000, 15_000), (0, 15_000)] {
            let named = FetchAnswer::Unavailable(Some(asked));
            let FetchEnd::Again { due, .. } = end_fetch(&fetch(), &named, NOW) else {
                panic!("it is tried again");
            };
            assert_eq!(due, NOW.plus(pause), "{asked}");
        }
    }

    #[test]
    fn refused_credentials_are_told_at_once_and_tried_again_for_a_day() {
        let (pauses, told) = run(&FetchAnswer::InvalidIdentity);
        assert!(pauses.len() > 20);
        assert!(
            told.iter()
                .all(|tell| *tell == Some(FetchCause::Credentials))
        );
    }

    #[test]
    fn what_nothing_mends_is_told_at_once_and_over() {
        for (answer, tell) in [
            (FetchAnswer::Commits, None),
            (FetchAnswer::NotSupported, None),
            (FetchAnswer::UnknownRepository, Some(FetchCause::Repository)),
            (FetchAnswer::Refused, Some(FetchCause::Refused)),
            (FetchAnswer::Detached, Some(FetchCause::Integration)),
            (FetchAnswer::NoRoom, Some(FetchCause::TooManyRepositories)),
            (FetchAnswer::Internal, Some(FetchCause::Internal)),
        ] {
            assert_eq!(end_fetch(&fetch(), &answer, NOW), FetchEnd::Over { tell });
        }
    }

    #[test]
    fn a_long_range_goes_on_at_once_where_it_stopped() {
        let FetchEnd::Again { fetch, due, tell } =
            end_fetch(&fetch(), &FetchAnswer::Partly(150), NOW)
        else {
            panic!("it goes on");
        };
        assert_eq!((fetch.done, due, tell), (150, NOW, None));
        assert!(!fetch.is_put_off());
    }
}
