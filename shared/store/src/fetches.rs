//! The commits that releases wait for: what decides how they are fetched, and how a round of it ends.
//!
//! What is to be fetched lies in the release. Every write that moves it on asks for the step that it was
//! decided on, so of the copies of a message one counts, and what a newer request replaced changes nothing.

use std::collections::BTreeMap;

use domain::{
    AttachedOrganization, CommitList, DeployId, EnvironmentName, Fetch, FetchCause, FetchCommits,
    FetchEnd, FetchStep, Integration, IntegrationStatus, Message, RecordDeploys, Release,
    ReleaseId, Repository, RepositoryId, Timestamp, TraceId, UserId,
};
use serde::{Deserialize, Serialize};

use crate::{
    KeyRing, KeyRingError, KnownIdentity,
    error::StoreError,
    identities::Row,
    keys,
    table::{Store, take, value},
    transaction::{Change, Commit as Committed, Transaction},
};

/// What people were told of the trouble with fetching a repository's commits, and have not been told is over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchTrouble {
    /// Who was told of what.
    pub told: BTreeMap<FetchCause, ToldOf>,
    /// Rises with every writing.
    pub version: u64,
}

/// That somebody was told of a cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldOf {
    /// Who.
    pub user: UserId,
    /// When.
    pub since: Timestamp,
    /// How often it was the cause since, the first time included.
    pub failures: u32,
}

/// All that decides how the commits of one repository are fetched.
#[derive(Debug)]
pub struct FetchWork {
    /// The release that waits for them.
    pub release: Release,
    /// Which repository.
    pub repository_id: RepositoryId,
    /// What is to be fetched.
    pub fetch: Fetch,
    /// The repository; `None`: it is gone.
    pub repository: Option<Repository>,
    /// The integration with its host, if it is on and serves the organization.
    pub integration: Option<Integration>,
    /// What the organization lets it do.
    pub attached: Option<AttachedOrganization>,
    /// What people were told.
    pub trouble: FetchTrouble,
    identity: Option<Row>,
}

impl FetchWork {
    /// What the organization asks the host with.
    pub fn identity(&self, ring: &KeyRing) -> Option<Result<KnownIdentity, KeyRingError>> {
        self.identity.as_ref().map(|row| row.open(ring))
    }
}

/// How a round of fetching ends.
#[derive(Debug)]
pub struct FetchEnding<'a> {
    /// What follows.
    pub end: &'a FetchEnd,
    /// The commits, where they have come.
    pub list: Option<&'a CommitList>,
    /// Who has been told of what now; `None`: as before.
    pub told: Option<BTreeMap<FetchCause, ToldOf>>,
    /// What people are told.
    pub mail: Option<Message>,
    /// Whether the identity is not to be used any more.
    pub forget_identity: bool,
}

/// What of a repository was deployed last to an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployedCommit {
    /// Which repository.
    pub repository: RepositoryId,
    /// Where to.
    pub environment: EnvironmentName,
    /// With which release.
    pub release: ReleaseId,
    /// By which deploy.
    pub deploy: DeployId,
    /// The newest commit.
    pub commit: String,
    /// When the deploy was done.
    pub finished: Timestamp,
}

impl Store {
    /// Gives each repository of which nobody has begun to fetch a message of its own.
    pub async fn spread_fetches(
        &self,
        message: &FetchCommits,
        repositories: &[RepositoryId],
        trace: &TraceId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let key = keys::release(message.organization, &message.version);
        for repository in repositories {
            let place = FetchStep {
                repository: *repository,
                step: 0,
            };
            let mut change = Change {
                expression: "SET fetches.#f.#step = :next".into(),
                condition: "id = :id".into(),
                names: Vec::new(),
                values: [
                    (":next".into(), value(&1)?),
                    (":id".into(), value(&message.release)?),
                ]
                .into(),
            };
            at_step(&mut change, message, place)?;
            let own = Message::FetchCommits(FetchCommits {
                of: Some(FetchStep { step: 1, ..place }),
                ..message.clone()
            });
            let transaction = self.transaction().update(&key, change)?;
            // Refused: somebody else has spread it.
            let _ = transaction.send(own, trace, now, now)?.commit().await?;
        }
        Ok(())
    }

    /// Reads what decides how the commits of a repository are fetched. `None`: the release does not wait for
    /// them, or not at this step.
    pub async fn fetch_work(
        &self,
        release: &Release,
        message: &FetchCommits,
        place: FetchStep,
    ) -> Result<Option<FetchWork>, StoreError> {
        let own = |fetch: &&Fetch| fetch.request == message.request && fetch.step == place.step;
        let Some(fetch) = release.fetches.get(&place.repository).filter(own) else {
            return Ok(None);
        };
        let row = keys::repository(place.repository);
        let trouble = keys::fetch_trouble(place.repository);
        let mut found = self.get_all(vec![row.clone(), trouble.clone()]).await?;
        let mut work = FetchWork {
            release: release.clone(),
            repository_id: place.repository,
            fetch: fetch.clone(),
            repository: take(&mut found, &row)?,
            integration: None,
            attached: None,
            trouble: take(&mut found, &trouble)?.unwrap_or_default(),
            identity: None,
        };
        let Some(integration) = work.repository.as_ref().and_then(|it| it.integration) else {
            return Ok(Some(work));
        };
        let wanted = [
            keys::integration(integration),
            keys::attached_organization(integration, release.organization),
            keys::identity(integration, release.organization),
        ];
        let mut found = self.get_all(wanted.to_vec()).await?;
        let [tracker, attached, identity] = &wanted;
        work.attached = take(&mut found, attached)?;
        let known: Option<Integration> = take(&mut found, tracker)?;
        work.integration = known.filter(|known| {
            let on = match known.status {
                IntegrationStatus::Active => true,
                IntegrationStatus::Disabled => false,
            };
            on && work.attached.is_some()
        });
        work.identity = take(&mut found, identity)?;
        Ok(Some(work))
    }

    /// Ends a round of fetching, with all that follows from it: the commits become the release's, the rest
    /// goes on later, people are told. `false`: it was decided on what is no longer so.
    pub async fn end_fetch(
        &self,
        work: &FetchWork,
        message: &FetchCommits,
        ending: FetchEnding<'_>,
        trace: &TraceId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let release = &work.release;
        let place = FetchStep {
            repository: work.repository_id,
            step: work.fetch.step,
        };
        let mut written = match ending.list {
            Some(list) => Some(self.write_lists(release, list, trace, now).await?),
            None => None,
        };
        let mut change = match &written {
            Some(written) => written.lists.change(release.id)?,
            None => moved(release.id, ending.end)?,
        };
        at_step(&mut change, message, place)?;
        let key = keys::release(release.organization, &release.version);
        let mut transaction = self.transaction().update(&key, change)?;
        if let Some(resolve) = written.as_mut().and_then(|written| written.resolve.take()) {
            transaction = transaction.send(resolve, trace, now, now)?;
        }
        if let Some(told) = ending.told {
            transaction = transaction.put_trouble(work, told)?;
        }
        if let (true, Some(row)) = (ending.forget_identity, &work.identity) {
            transaction = transaction.delete_identity(row)?;
        }
        let waited = work.fetch.is_put_off();
        let (next, known) = match ending.end {
            FetchEnd::Over { .. } => (None, ending.list.is_some() || !waited),
            FetchEnd::Again { fetch, due, .. } => {
                (Some((fetch, *due)), fetch.is_put_off() && !waited)
            }
        };
        if let Some((fetch, due)) = next {
            let next = Message::FetchCommits(FetchCommits {
                of: Some(FetchStep {
                    step: fetch.step,
                    ..place
                }),
                ..message.clone()
            });
            transaction = transaction.send(next, trace, now, due)?;
        }
        if known {
            let record = Message::RecordDeploys(RecordDeploys {
                organization: release.organization,
                version: release.version.clone(),
                release: release.id,
            });
            transaction = transaction.send(record, trace, now, now)?;
        }
        if let Some(mail) = ending.mail {
            transaction = transaction.send(mail, trace, now, now)?;
        }
        let done = transaction.commit().await? == Committed::Done;
        if let (true, Some(written)) = (done, written) {
            // What is left over is met again by a later list.
            let _ = self.delete_all(written.superseded).await;
        }
        Ok(done)
    }

    /// Notes what of a repository was deployed last to an environment. `false`: a deploy that was done later
    /// is noted there.
    pub async fn put_deployed_commit(&self, new: &DeployedCommit) -> Result<bool, StoreError> {
        let key = keys::deployed_commit(new.repository, &new.environment);
        let transaction = self
            .transaction()
            .put_newest(&key, new, "finished", &new.finished)?;
        Ok(transaction.commit().await? == Committed::Done)
    }
}

impl Transaction<'_> {
    /// Over what was read: whoever was told at the same time is not told twice.
    fn put_trouble(
        self,
        work: &FetchWork,
        told: BTreeMap<FetchCause, ToldOf>,
    ) -> Result<Self, StoreError> {
        let key = keys::fetch_trouble(work.repository_id);
        let seen = work.trouble.version;
        let new = FetchTrouble {
            told,
            version: seen + 1,
        };
        match seen {
            0 => self.put_new(&key, &new),
            seen => self.put_over(&key, &new, "version", &seen),
        }
    }
}

/// Moves a fetch on, or takes it away.
fn moved(release: ReleaseId, end: &FetchEnd) -> Result<Change, StoreError> {
    let mut change = Change {
        expression: "REMOVE fetches.#f".into(),
        condition: "id = :id".into(),
        names: Vec::new(),
        values: [(":id".into(), value(&release)?)].into(),
    };
    if let FetchEnd::Again { fetch, .. } = end {
        change.expression = "SET fetches.#f = :fetch".into();
        change.values.insert(":fetch".into(), value(fetch)?);
    }
    Ok(change)
}

/// Demands that a fetch is where a message says.
fn at_step(
    change: &mut Change,
    message: &FetchCommits,
    place: FetchStep,
) -> Result<(), StoreError> {
    change
        .condition
        .push_str(" AND fetches.#f.#request = :request AND fetches.#f.#step = :step");
    for (name, attribute) in [
        ("#f", place.repository.to_string()),
        ("#request", "request".to_owned()),
        ("#step", "step".to_owned()),
    ] {
        change.names.push((name.to_owned(), attribute));
    }
    change
        .values
        .insert(":request".into(), value(&message.request)?);
    change.values.insert(":step".into(), value(&place.step)?);
    Ok(())
}
