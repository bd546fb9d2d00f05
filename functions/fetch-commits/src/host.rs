//! The hosts of repositories as this function sees them: what they are asked, and what a refusal means.

use std::{collections::BTreeMap, time::Duration};

use domain::{
    Fault, Fetch, FetchAnswer, FetchStart, FileChange, Identity, Integration, OrganizationId, Ref,
    RepositoryName, RepositoryProvider,
};
use providers::{
    CallError, HostedCommit, Remedy, github,
    vsts::{self, commits::Repository, tokens::RefreshError},
};
use store::{FetchWork, KeyRingError, KnownIdentity, RenewalError, StoreError};

use crate::Context;

/// Of how many commits Azure DevOps is asked for details: two calls each.
const MOST_AZURE_DETAILS: usize = 91;

/// What whoever runs the installation can do about commits that nobody can be asked for.
const UNTIED: &str = "Tie the repository to an integration with its host: the operator's command \
     create-repository, with its name, provider, url and `integration`.";
const OTHER_HOST: &str = "Commits are fetched from GitHub and Azure DevOps; those of other hosts have \
     to be sent.";

/// A repository at its host, as the holder of an identity sees it.
pub(crate) enum Host {
    GitHub(Box<github::client::Client>, RepositoryName),
    AzureDevOps(Box<vsts::client::Client>, RepositoryName, String),
}

/// Why a host could not be asked, or did not answer.
#[derive(Debug)]
pub(crate) enum Stop {
    /// What it comes to, and what was said, for people to read.
    Answer(FetchAnswer, Option<String>),
    /// The message comes back.
    Fault(Fault),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Fault(error.into())
    }
}

impl From<KeyRingError> for Stop {
    /// Heals when the ring has the key again.
    fn from(error: KeyRingError) -> Self {
        Self::Fault(Fault::Retry(error.to_string()))
    }
}

impl Stop {
    pub(crate) fn answer(answer: FetchAnswer) -> Self {
        Self::Answer(answer, None)
    }

    /// Nobody hears of it but who reads the log.
    fn not_supported(detail: &str) -> Self {
        Self::Answer(FetchAnswer::NotSupported, Some(detail.to_owned()))
    }

    fn invalid_identity(detail: &str) -> Self {
        Self::Answer(FetchAnswer::InvalidIdentity, Some(detail.to_owned()))
    }
}

impl Host {
    /// The host of a repository, with credentials that have not ended.
    pub(crate) async fn open(context: &Context, work: &FetchWork) -> Result<Self, Stop> {
        let gone = || Stop::not_supported("The repository is gone.");
        let repository = work.repository.as_ref().ok_or_else(gone)?;
        let provider = match repository.provider {
            Some(provider @ (RepositoryProvider::GitHub | RepositoryProvider::AzureDevOps)) => {
                provider
            }
            Some(
                RepositoryProvider::Git
                | RepositoryProvider::GitLab
                | RepositoryProvider::Bitbucket,
            ) => return Err(Stop::not_supported(OTHER_HOST)),
            None => return Err(Stop::not_supported(UNTIED)),
        };
        let integration =
            work.integration
                .as_ref()
                .ok_or_else(|| match repository.integration {
                    Some(_) => Stop::answer(FetchAnswer::Detached),
                    None => Stop::not_supported(UNTIED),
                })?;
        let known = work.identity(&context.ring);
        let known = known.ok_or_else(|| Stop::invalid_identity("There is no token."))??;
        let organization = work.release.organization;
        let identity = fresh(context, integration, organization, known).await?;
        let (outside, name) = (context.outside.clone(), repository.name.clone());
        match (provider, identity) {
            (RepositoryProvider::GitHub, Identity::Github(identity)) => {
                let token = identity.access_token;
                let client = github::client::Client::new(outside, &integration.domain_name, token);
                Ok(Self::GitHub(Box::new(client), name))
            }
            (RepositoryProvider::AzureDevOps, Identity::Vsts(identity)) => {
                let (Ok(account), Some(id)) =
                    (integration.name.parse(), repository.external_id.clone())
                else {
                    return Err(Stop::answer(FetchAnswer::Internal));
                };
                let (instance, token) = (&*integration.domain_name, identity.access_token);
                let client = vsts::client::Client::new(outside, instance, account, token);
                Ok(Self::AzureDevOps(Box::new(client), name, id))
            }
            // The integration is with another host than the repository's.
            (_, Identity::Github(_) | Identity::Vsts(_) | Identity::JiraServer(_)) => {
                Err(Stop::not_supported(UNTIED))
            }
        }
    }

    /// Of how many commits of a range the host is asked for details.
    pub(crate) fn most_details(&self) -> usize {
        match self {
            Self::GitHub(..) => usize::MAX,
            Self::AzureDevOps(..) => MOST_AZURE_DETAILS,
        }
    }

    /// The commits that a release waits for, without their files. The newest one gets its own name: a branch
    /// may move before all of them have come, and the next release begins where this one ends.
    pub(crate) async fn commits(&self, fetch: &mut Fetch) -> Result<Vec<HostedCommit>, Stop> {
        let error = match self.list(fetch).await {
            Ok(commits) => return Ok(commits),
            Err(error) => error,
        };
        match self.missing(&error, fetch).await {
            Ok(Some(Missing::Repository)) => Err(Stop::Answer(
                FetchAnswer::UnknownRepository,
                self.told(&error),
            )),
            Ok(Some(Missing::Commit(sha))) => Err(Stop::Answer(
                FetchAnswer::UnknownCommit,
                Some(format!("There is no commit {sha}.")),
            )),
            // History was rewritten since the release before.
            Ok(Some(Missing::PreviousHead)) => {
                let recent = self.range(None, &fetch.commit).await;
                recent.map_err(|error| self.stop(error))
            }
            Ok(None) => Err(self.stop(error)),
            Err(error) => Err(self.stop(error)),
        }
    }

    async fn list(&self, fetch: &mut Fetch) -> Result<Vec<HostedCommit>, CallError> {
        if !Ref::is_hash(&fetch.commit)
            && let Some(hash) = self.hash(&fetch.commit).await?
        {
            fetch.commit = hash;
        }
        let start = fetch.start.as_ref().map(FetchStart::commit);
        self.range(start, &fetch.commit).await
    }

    async fn range(&self, start: Option<&str>, end: &str) -> Result<Vec<HostedCommit>, CallError> {
        match (self, start) {
            (Self::GitHub(client, name), Some(start)) => client.compare(name, start, end).await,
            (Self::GitHub(client, name), None) => client.recent(name, end).await,
            (Self::AzureDevOps(client, name, id), Some(start)) => {
                client.compare(azure(id, name), start, end).await
            }
            (Self::AzureDevOps(client, name, id), None) => {
                client.recent(azure(id, name), end).await
            }
        }
    }

    /// The files that a commit changed.
    pub(crate) async fn changes(&self, sha: &str) -> Result<BTreeMap<String, FileChange>, Stop> {
        let changes = match self {
            Self::GitHub(client, name) => client.changes(name, sha).await,
            Self::AzureDevOps(client, name, id) => client.changes(azure(id, name), sha).await,
        };
        changes.map_err(|error| self.stop(error))
    }

    /// The whole message of a commit, of which the list has only the beginning.
    pub(crate) async fn message(&self, sha: &str) -> Result<Option<String>, Stop> {
        match self {
            // GitHub's lists have them whole.
            Self::GitHub(..) => Ok(None),
            Self::AzureDevOps(client, name, id) => {
                let message = client.message(azure(id, name), sha).await;
                message.map(Some).map_err(|error| self.stop(error))
            }
        }
    }

    /// What of the things that were asked for is not there, if it is that: first the repository, then the
    /// commits.
    async fn missing(
        &self,
        error: &CallError,
        fetch: &Fetch,
    ) -> Result<Option<Missing>, CallError> {
        match error {
            CallError::Api { status, .. } => match status {
                // It has another name, or is elsewhere: nothing is followed with credentials.
                301 | 302 | 307 | 308 => return Ok(Some(Missing::Repository)),
                400 | 404 | 410 | 422 => {}
                _ => return Ok(None),
            },
            // What GitHub says of a repository without commits.
            CallError::Conflict => {}
            CallError::Unauthorized
            | CallError::RateLimited { .. }
            | CallError::Host { .. }
            | CallError::Timeout { .. }
            | CallError::Reset
            | CallError::Unsupported => return Ok(None),
        }
        if !self.has_repository().await? {
            return Ok(Some(Missing::Repository));
        }
        if self.hash(&fetch.commit).await?.is_none() {
            return Ok(Some(Missing::Commit(fetch.commit.clone())));
        }
        Ok(match &fetch.start {
            Some(start) if self.hash(start.commit()).await?.is_none() => Some(match start {
                FetchStart::Named(commit) => Missing::Commit(commit.clone()),
                FetchStart::Previous(_) => Missing::PreviousHead,
            }),
            Some(_) | None => None,
        })
    }

    async fn has_repository(&self) -> Result<bool, CallError> {
        match self {
            Self::GitHub(client, name) => client.has_repository(name).await,
            Self::AzureDevOps(client, name, id) => client.has_repository(azure(id, name)).await,
        }
    }

    /// The commit's own name, if the repository has it.
    async fn hash(&self, commit: &str) -> Result<Option<String>, CallError> {
        match self {
            Self::GitHub(client, name) => client.hash(name, commit).await,
            Self::AzureDevOps(client, name, id) => client.hash(azure(id, name), commit).await,
        }
    }

    fn stop(&self, error: CallError) -> Stop {
        let answer = match error.remedy() {
            Remedy::Later(wait) => FetchAnswer::Unavailable(wait.map(milliseconds)),
            Remedy::InvalidIdentity => FetchAnswer::InvalidIdentity,
            Remedy::Never => FetchAnswer::Refused,
        };
        Stop::Answer(answer, self.told(&error))
    }

    /// The error in words that people of the integration know; `None` for one that says nothing to them.
    fn told(&self, error: &CallError) -> Option<String> {
        let host = match self {
            Self::GitHub(..) => "GitHub",
            Self::AzureDevOps(..) => "Azure DevOps",
        };
        match error {
            CallError::Unauthorized => Some(
                "Unauthorized: either your access token was invalid or you do not have access"
                    .into(),
            ),
            CallError::Api {
                status, message, ..
            } => Some(format!(
                "Error Communicating with {host} (HTTP {status}): {message}"
            )),
            CallError::Host { host } => Some(format!("Unable to reach host: {host}")),
            CallError::RateLimited { .. }
            | CallError::Conflict
            | CallError::Timeout { .. }
            | CallError::Reset
            | CallError::Unsupported => Some(error.to_string()),
        }
    }
}

/// What is not there.
enum Missing {
    Repository,
    /// One that the request named.
    Commit(String),
    /// The newest commit of the release before, which nobody named.
    PreviousHead,
}

fn azure<'a>(id: &'a str, name: &'a RepositoryName) -> Repository<'a> {
    Repository {
        external_id: id,
        name,
    }
}

fn milliseconds(wait: Duration) -> i64 {
    i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)
}

/// The identity with tokens that have not ended.
async fn fresh(
    context: &Context,
    integration: &Integration,
    organization: OrganizationId,
    known: KnownIdentity,
) -> Result<Identity, Stop> {
    let Identity::Vsts(tokens) = &known.identity else {
        return Ok(known.identity);
    };
    let now = context.clock.now();
    let renewed = context.azure.renew(&context.outside, tokens, now).await;
    let renewed = renewed.map(|new| new.map(Identity::Vsts));
    let (store, ring) = (&context.store, &context.ring);
    let kept = store.keep_renewed(ring, integration.id, organization, known, renewed);
    kept.await?.map_err(|error| match error {
        RenewalError::Refused(error) => {
            let answer = match error.remedy() {
                Remedy::Later(wait) => FetchAnswer::Unavailable(wait.map(milliseconds)),
                Remedy::InvalidIdentity | Remedy::Never => FetchAnswer::InvalidIdentity,
            };
            let said = match &error {
                RefreshError::InvalidIdentity => "The token has ended and cannot be renewed.",
                RefreshError::Call(_) => "The token could not be renewed.",
            };
            Stop::Answer(answer, Some(said.to_owned()))
        }
        RenewalError::Contended => Stop::answer(FetchAnswer::Unavailable(None)),
    })
}
