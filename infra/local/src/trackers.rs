//! The trackers that the bundle calls, simulated on the wire: Azure DevOps, Jira Server and GitHub, as far as
//! it calls them.
//!
//! It exists so that the unmodified clients can call out, and a test can see what they did and make it go
//! wrong. Every call to `https://HOST/PATH` comes as `/HOST/PATH`; what the bundle does not call is refused.
//! It must not know the crate `providers`, which is the other side of the wire: each is proven by the other.

mod azure_devops;
mod git;
mod github;
mod jira_server;
mod modes;
mod origin;
mod people;
mod requests;
mod wire;

use std::{
    collections::BTreeMap,
    path::Path,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context;
use axum::http::{Method, StatusCode};
use runtime::Clock;
use serde::Serialize;
use serde_json::Value;
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};

use self::azure_devops::{AzureDevOps, Hook};
use self::git::Git;
use self::github::GitHub;
use self::jira_server::JiraServer;
use self::modes::Present;
use self::requests::Log;
use self::wire::{Answer, Asked};
use crate::client;

pub use self::azure_devops::{AZURE_REPOSITORY, AzureIdentity, WorkItem};
pub use self::github::GithubIdentity;
pub use self::jira_server::JiraIdentity;
pub(crate) use self::modes::Order;
pub use self::modes::{Held, Mode};
pub use self::origin::Origin;
pub use self::requests::Request;

/// After how long the running stack tries the service hooks again that the front has not taken.
const HOOK_PAUSE: Duration = Duration::from_secs(1);

/// Whether a directory is a git repository whose commits can be shown.
///
/// # Errors
/// When it is none, or there is no git.
pub(crate) fn check_repository(directory: &Path) -> anyhow::Result<()> {
    let git = Git::new(directory);
    let readable = git.is_readable();
    anyhow::ensure!(
        readable,
        "git finds no repository in {}",
        directory.display()
    );
    Ok(())
}

/// A simulated tracker, by the provider's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Provider {
    /// Azure DevOps, with the account "acme".
    #[serde(rename = "vsts")]
    Vsts,
    /// Jira Server, at `https://jira.acme.example`.
    #[serde(rename = "jira_server")]
    JiraServer,
    /// GitHub, with the repositories of "acme".
    #[serde(rename = "github")]
    Github,
}

impl Provider {
    fn of_host(host: &str) -> Option<Self> {
        match host {
            "jira.acme.example" => Some(Self::JiraServer),
            "api.github.com" => Some(Self::Github),
            "dev.azure.com" => Some(Self::Vsts),
            _ if host.ends_with(".visualstudio.com") => Some(Self::Vsts),
            _ => None,
        }
    }

    fn refusal(self, status: StatusCode, message: &str) -> Answer {
        match self {
            Self::Vsts => azure_devops::refusal(status, message),
            Self::JiraServer => jira_server::refusal(status, message),
            Self::Github => github::refusal(status, message),
        }
    }
}

impl FromStr for Provider {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "vsts" => Ok(Self::Vsts),
            "jira_server" => Ok(Self::JiraServer),
            "github" => Ok(Self::Github),
            _ => Err("vsts, jira_server or github"),
        }
    }
}

/// The trackers and their server, which ends when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Trackers(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    url: String,
    /// Where service hooks are posted to.
    hook_url: String,
    world: Arc<World>,
    server: JoinHandle<()>,
}

/// Kept apart from the handle so that an open connection does not keep the server alive.
#[derive(Debug)]
struct World {
    state: Mutex<State>,
    clock: Clock,
    /// Rings when there may be a service hook to deliver.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    azure: AzureDevOps,
    jira: JiraServer,
    github: GitHub,
    git: Git,
    modes: BTreeMap<Provider, Present>,
    /// What waits for its next call.
    held: BTreeMap<Provider, Held>,
    log: Log,
}

impl Trackers {
    /// Starts the server on a free loopback port. `front` is the base URL of the front, `repository` where the
    /// commits come from that hosts show.
    pub(crate) async fn start(
        clock: Clock,
        front: &str,
        repository: &Path,
    ) -> anyhow::Result<Self> {
        let state = State {
            azure: AzureDevOps::new(&clock),
            jira: JiraServer::new()?,
            github: GitHub::new(),
            git: Git::new(repository),
            modes: BTreeMap::new(),
            held: BTreeMap::new(),
            log: Log::default(),
        };
        let world = Arc::new(World {
            state: Mutex::new(state),
            clock,
            changed: Notify::new(),
        });
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("no port for the trackers")?;
        Ok(Self(Arc::new(Handle {
            url: format!("http://{}", listener.local_addr()?),
            hook_url: format!("{front}/extensions/vsts/issue-updated/"),
            server: tokio::spawn(wire::serve(listener, world.clone())),
            world,
        })))
    }

    /// Where calls for `https://HOST/PATH` go to, as `<url>/HOST/PATH`.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// How a tracker behaves until it is told otherwise.
    pub fn set_mode(&self, provider: Provider, mode: Mode) {
        let present = Present::new(mode, None);
        self.state().modes.insert(provider, present);
    }

    /// How a tracker behaves for so many calls; as it should afterwards.
    pub fn set_mode_for(&self, provider: Provider, mode: Mode, calls: u32) {
        let present = Present::new(mode, Some(calls));
        self.state().modes.insert(provider, present);
    }

    /// Lets the next call to a tracker wait there, before it is carried out and whatever the mode is.
    pub fn hold(&self, provider: Provider) -> Held {
        let held = Held::default();
        self.state().held.insert(provider, held.clone());
        held
    }

    /// The newest tokens that Azure DevOps gave out.
    pub fn azure_identity(&self) -> AzureIdentity {
        self.state().azure.tokens.identity()
    }

    /// How long the access tokens that Azure DevOps gives out from now on are good, in seconds.
    pub fn set_token_lifetime(&self, seconds: i64) {
        self.state().azure.tokens.set_lifetime(seconds);
    }

    /// The token that GitHub takes.
    pub fn github_identity(&self) -> GithubIdentity {
        self.state().github.identity()
    }

    /// What an application link to Jira is set up with.
    pub fn jira_identity(&self) -> JiraIdentity {
        JiraServer::identity()
    }

    /// A work item of Azure DevOps; those from 1 to 9999 exist.
    ///
    /// # Panics
    /// When it does not exist: it is a mistake of the caller.
    pub fn work_item(&self, id: u64) -> WorkItem {
        self.state().azure.work_item(id)
    }

    /// Jira's name of who has an issue; all of project WEB exist.
    ///
    /// # Panics
    /// When it does not exist: it is a mistake of the caller.
    pub fn jira_issue(&self, key: &str) -> Option<String> {
        self.state().jira.issue_assignee(key)
    }

    /// Jira's name of the status of an issue; all of project WEB exist.
    ///
    /// # Panics
    /// When it does not exist: it is a mistake of the caller.
    pub fn jira_status(&self, key: &str) -> &'static str {
        self.state().jira.issue_status(key)
    }

    /// Somebody gives a work item or an issue to the person with this address or this name at Jira, or
    /// takes it from whoever has it, as users of the tracker do.
    ///
    /// # Panics
    /// When there is no such work item, issue or person: it is a mistake of the caller.
    pub fn change_as_user(&self, provider: Provider, key: &str, assignee: Option<&str>) {
        let assignee = assignee.map(people::known);
        match provider {
            Provider::Vsts => {
                let world = &self.0.world;
                let mut state = world.state();
                state.azure.change_as_user(key, assignee, &world.clock);
                world.changed.notify_one();
            }
            Provider::JiraServer => self.state().jira.change_as_user(key, assignee),
            Provider::Github => panic!("GitHub has no issues here"),
        }
    }

    /// The newest commit that the hosts of repositories show; `None`: they show none.
    pub fn newest_commit(&self) -> Option<String> {
        let git = self.state().git.clone();
        let newest = git.log(None, "HEAD", 1)?;
        newest.into_iter().next().map(|commit| commit.sha)
    }

    /// Where that git repository was cloned from; `None`: from no host that is simulated.
    pub fn origin(&self) -> Option<Origin> {
        let git = self.state().git.clone();
        Origin::parse(&git.origin()?)
    }

    /// Lets GitHub have one more repository, `<owner>/<name>`, with the same commits.
    pub fn add_repository(&self, name: &str) {
        self.state().github.add_repository(name);
    }

    /// What was sent to the trackers, the oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.state().log.all().cloned().collect()
    }

    /// Those of the requests that change work items or issues, whatever became of them.
    pub fn writes(&self) -> Vec<Request> {
        let state = self.state();
        let writes = |request: &&Request| match request.method.as_str() {
            "PATCH" | "PUT" => true,
            "POST" => request.path.ends_with("/transitions"),
            _ => false,
        };
        state.log.all().filter(writes).cloned().collect()
    }

    /// Begins the list of requests anew.
    pub fn forget_requests(&self) {
        self.state().log.forget();
    }

    /// Lets Azure DevOps post changes of work items to the front from now on.
    pub fn subscribe(&self, collection: &str, shared_secret: &str) {
        let mut state = self.state();
        state.azure.hooks.subscribe(collection, shared_secret);
    }

    /// The bodies of the service hooks that the front has not taken yet, the oldest first.
    pub fn hooks(&self) -> Vec<Value> {
        let state = self.state();
        let waiting = state.azure.hooks.waiting().iter();
        waiting.map(|hook| hook.body.clone()).collect()
    }

    /// Posts each service hook that waits once, and gives how many the front has taken. Another one waits
    /// for the next time, up to eight times in all.
    pub async fn deliver_hooks(&self) -> usize {
        let waiting = self.state().azure.hooks.waiting().to_vec();
        let mut taken = 0;
        for hook in &waiting {
            if self.post(hook).await {
                self.state().azure.hooks.taken(hook);
                taken += 1;
            } else {
                self.state().azure.hooks.refused(hook);
            }
        }
        taken
    }

    /// Posts service hooks as they come.
    pub(crate) async fn deliver_hooks_always(self) {
        loop {
            self.0.world.changed.notified().await;
            self.deliver_hooks().await;
            while !self.state().azure.hooks.waiting().is_empty() {
                tokio::time::sleep(HOOK_PAUSE).await;
                self.deliver_hooks().await;
            }
        }
    }

    async fn post(&self, hook: &Hook) -> bool {
        let headers = [
            ("content-type", "application/json; charset=utf-8"),
            ("shared-secret", hook.shared_secret.as_str()),
        ];
        let url = &self.0.hook_url;
        match client::request(Method::POST, url, &headers, hook.body.to_string()).await {
            Ok(answer) if answer.status.is_success() => true,
            Ok(answer) => {
                let status = answer.status.as_u16();
                tracing::warn!(status, "a service hook was refused");
                false
            }
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "a service hook was not taken");
                false
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.world.state()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl World {
    fn state(&self) -> MutexGuard<'_, State> {
        // No invariant spans a panic here, and what was recorded is still worth reading.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a request down: its number, whose it is, what it meets, and for what it waits before.
    fn received(&self, asked: &Asked) -> (u64, Option<Provider>, Mode, Option<Held>) {
        let host = asked.segments().first().copied().unwrap_or_default();
        let provider = Provider::of_host(host);
        let mut state = self.state();
        let number = state.log.received(provider, asked);
        let mode = match provider {
            Some(provider) => {
                let changes = ["PUT", "PATCH"].contains(&asked.method());
                state.modes.entry(provider).or_default().next(changes)
            }
            None => Mode::Ok,
        };
        let held = provider.and_then(|provider| state.held.remove(&provider));
        (number, provider, mode, held)
    }

    fn carry_out(&self, provider: Option<Provider>, asked: &Asked, mode: Mode) -> Answer {
        if let Mode::Slow { seconds } = mode {
            self.clock.advance(i64::from(seconds) * 1000);
        }
        let mut state = self.state();
        let git = (mode != Mode::UnknownCommit).then(|| state.git.clone());
        let answer = match provider {
            Some(Provider::Vsts) => state.azure.answer(asked, git.as_ref(), &self.clock),
            Some(Provider::JiraServer) => state.jira.answer(asked, &self.clock),
            Some(Provider::Github) => state.github.answer(asked, git.as_ref()),
            None => Err(Answer::not_emulated(asked)),
        };
        self.changed.notify_one();
        answer.unwrap_or_else(|refusal| refusal)
    }

    fn answered(&self, number: u64, status: StatusCode) {
        self.state().log.answered(number, status);
    }
}

#[cfg(test)]
mod tests;
