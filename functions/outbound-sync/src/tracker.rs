//! The trackers as this function sees them: who can be told, by which name, and how it failed.

use std::{collections::BTreeMap, time::Duration};

use domain::{
    Email, ExternalKey, Fault, Identity, Integration, JiraServerIdentity, Link, OrganizationId,
    Reason, Sent, TrackerStates, TrackerStatus, VstsIdentity,
};
use providers::{
    CallError, Remedy, jira_server,
    vsts::{self, tokens::RefreshError},
};
use store::{KeyRingError, KnownIdentity, RenewalError, StoreError};

use crate::Context;

/// One tracker, as the holder of an identity.
pub(crate) enum Tracker {
    Vsts(Box<vsts::client::Client>),
    JiraServer(Box<jira_server::client::Client>),
}

/// What is to be changed of an issue, in the tracker's own words.
#[derive(Debug)]
pub(crate) enum Change {
    /// To whom it is given; `None`: it is taken from whoever has it.
    Assignee(Option<String>),
    /// Its state, by what the tracker takes for it: Azure DevOps its name, Jira the transition that leads
    /// there.
    State(String),
    /// Nothing: it is so already.
    Nothing,
}

/// Why a tracker could not be told.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) reason: Reason,
    /// Whether it may pass, and after how many milliseconds at the earliest, where that is known.
    pub(crate) wait: Wait,
    /// What became of a write that failed so.
    pub(crate) sent: Sent,
    /// What the tracker said.
    pub(crate) detail: Option<String>,
}

/// Why the way to a tracker ended before anything was written there.
#[derive(Debug)]
pub(crate) enum Stop {
    /// What the tracker says or wants is to be decided about.
    Failure(Failure),
    /// The message comes back.
    Fault(Fault),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Fault(error.into())
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Wait {
    Never,
    Any,
    AtLeast(i64),
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let (reason, wait) = match error.remedy() {
            Remedy::Later(wait) => {
                let limited = matches!(error, CallError::RateLimited { .. });
                let reason = match limited {
                    true => Reason::RateLimited,
                    false => Reason::TrackerUnavailable,
                };
                (reason, wait.map_or(Wait::Any, Wait::at_least))
            }
            Remedy::InvalidIdentity => (Reason::InvalidIdentity, Wait::Any),
            Remedy::Never => (Reason::TrackerRefused, Wait::Never),
        };
        let sent = match &error {
            CallError::Unauthorized
            | CallError::RateLimited { .. }
            | CallError::Conflict
            | CallError::Host { .. } => Sent::Refused,
            CallError::Api { status, .. } if *status < 500 => Sent::Refused,
            CallError::Api { .. }
            | CallError::Timeout { .. }
            | CallError::Reset
            | CallError::Unsupported => Sent::Unanswered,
        };
        Self {
            reason,
            wait,
            sent,
            detail: Some(error.to_string()),
        }
    }
}

impl Wait {
    fn at_least(wait: Duration) -> Self {
        Self::AtLeast(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
    }
}

impl Failure {
    /// The work on a message came to its end before anything was written.
    pub(crate) fn out_of_time() -> Self {
        Self {
            reason: Reason::TrackerUnavailable,
            wait: Wait::Any,
            sent: Sent::Refused,
            detail: Some("the tracker's answers take too long".into()),
        }
    }

    /// The tracker asked to be left alone for so many milliseconds more, when it was told something else.
    pub(crate) fn paused(wait: i64) -> Self {
        Self {
            reason: Reason::RateLimited,
            wait: Wait::AtLeast(wait),
            sent: Sent::Refused,
            detail: None,
        }
    }

    /// Heals when somebody gives new credentials.
    fn identity(detail: impl ToString) -> Self {
        Self {
            reason: Reason::InvalidIdentity,
            wait: Wait::Any,
            sent: Sent::Refused,
            detail: Some(detail.to_string()),
        }
    }
}

impl From<RefreshError> for Failure {
    fn from(error: RefreshError) -> Self {
        let remedy = error.remedy();
        match error {
            RefreshError::InvalidIdentity => Self::identity(error),
            RefreshError::Call(call) => {
                let failure = Self::from(call);
                let (reason, wait) = match (failure.wait, remedy) {
                    // The application's registration is refused, which an operator mends.
                    (Wait::Never, Remedy::Later(_)) => (Reason::NotRenewed, Wait::Any),
                    (wait, _) => (failure.reason, wait),
                };
                // Whatever became of the renewal, nothing was written.
                let sent = Sent::Refused;
                Self {
                    reason,
                    wait,
                    sent,
                    ..failure
                }
            }
        }
    }
}

impl From<KeyRingError> for Failure {
    fn from(error: KeyRingError) -> Self {
        Self::identity(error)
    }
}

impl Tracker {
    /// The tracker of an integration, with tokens that have not ended.
    pub(crate) async fn open(
        context: &Context,
        integration: &Integration,
        organization: OrganizationId,
        known: KnownIdentity,
    ) -> Result<Self, Stop> {
        let identity = fresh(context, integration, organization, known).await?;
        match identity {
            Identity::JiraServer(identity) => Ok(jira(context, integration, identity)?),
            Identity::Vsts(identity) => Ok(azure(context, integration, identity)?),
            Identity::Github(_) => Err(Failure::identity("GitHub has no issues of ours").into()),
        }
    }

    /// Whom the tracker knows by one of the addresses, by the name that it takes.
    pub(crate) async fn find(
        &self,
        link: &Link,
        addresses: &[Email],
    ) -> Result<Option<String>, Failure> {
        let found = match self {
            Self::Vsts(client) => client.find_assignee(addresses).await,
            Self::JiraServer(client) => client.find_assignee(&link.external_issue, addresses).await,
        };
        Ok(found?)
    }

    /// Whether somebody works on an issue, by the name that the tracker takes, or nobody does.
    pub(crate) async fn has(&self, key: &ExternalKey, name: Option<&str>) -> Result<bool, Failure> {
        let name = name.map(str::to_lowercase);
        let has = match self {
            Self::Vsts(client) => client.work_item(key).await?.assignee,
            Self::JiraServer(client) => client.assignee(key).await?.map(|has| has.name),
        };
        Ok(has.map(|has| has.to_lowercase()) == name)
    }

    /// What brings an issue into the state that stands for a status in the tracker's project, or why nothing
    /// does. `states` are those that stand for them, by project.
    pub(crate) async fn find_state(
        &self,
        link: &Link,
        status: TrackerStatus,
        states: Option<&BTreeMap<String, TrackerStates>>,
    ) -> Result<Result<Change, Reason>, Failure> {
        let Some(states) = states.filter(|states| !states.is_empty()) else {
            return Ok(Err(Reason::StatusNotMapped));
        };
        let key = &link.external_issue;
        match self {
            Self::Vsts(client) => {
                let item = client.work_item(key).await?;
                let project = client.project_id(&item.project).await?;
                let states = project.and_then(|id| states.get(&id));
                let change = states.map(|states| match states.of(status) {
                    state if state == item.state => Change::Nothing,
                    state => Change::State(state.to_owned()),
                });
                Ok(change.ok_or(Reason::StatusNotMapped))
            }
            Self::JiraServer(client) => {
                let at = client.status(key).await?;
                let Some(states) = states.get(&at.project) else {
                    return Ok(Err(Reason::StatusNotMapped));
                };
                let wanted = states.of(status);
                if at.status == wanted {
                    return Ok(Ok(Change::Nothing));
                }
                let transition = client.transition_to(key, wanted).await?;
                Ok(transition.map(Change::State).ok_or(Reason::NoTransition))
            }
        }
    }

    /// Makes a change. The revision, where the tracker says.
    pub(crate) async fn write(
        &self,
        key: &ExternalKey,
        change: &Change,
    ) -> Result<Option<u64>, Failure> {
        match (self, change) {
            (_, Change::Nothing) => Ok(None),
            (Self::Vsts(client), Change::Assignee(name)) => {
                Ok(client.set_assignee(key, name.as_deref()).await?.revision)
            }
            (Self::Vsts(client), Change::State(state)) => {
                Ok(client.set_state(key, state).await?.revision)
            }
            (Self::JiraServer(client), Change::Assignee(name)) => {
                client.set_assignee(key, name.as_deref()).await?;
                Ok(None)
            }
            (Self::JiraServer(client), Change::State(transition)) => {
                client.make_transition(key, transition).await?;
                Ok(None)
            }
        }
    }
}

fn jira(
    context: &Context,
    integration: &Integration,
    identity: JiraServerIdentity,
) -> Result<Tracker, Failure> {
    let key = jira_server::oauth::SigningKey::parse(&identity.private_key);
    let credentials = jira_server::oauth::Credentials {
        consumer_key: identity.consumer_key,
        private_key: key.map_err(Failure::identity)?,
        access_token: identity.access_token,
    };
    let (outside, now) = (context.outside.clone(), context.clock.now());
    let client =
        jira_server::client::Client::new(outside, &*integration.domain_name, credentials, now);
    Ok(Tracker::JiraServer(Box::new(client)))
}

fn azure(
    context: &Context,
    integration: &Integration,
    identity: VstsIdentity,
) -> Result<Tracker, Failure> {
    let account = integration.name.parse().map_err(Failure::identity)?;
    let (outside, instance) = (context.outside.clone(), &*integration.domain_name);
    let client = vsts::client::Client::new(outside, instance, account, identity.access_token);
    Ok(Tracker::Vsts(Box::new(client)))
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
        RenewalError::Refused(error) => Failure::from(error).into(),
        RenewalError::Contended => {
            Failure::identity("the identity changed while it was refreshed").into()
        }
    })
}
