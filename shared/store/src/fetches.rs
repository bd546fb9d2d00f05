//! The commits that releases wait for: what decides how they are fetched, and how a round of it ends.
//!
//! What is to be fetched lies in the release. Every write that moves it on asks for the step that it was
//! decided on, so of the copies of a message one counts, and what a newer request replaced changes nothing.

use std::collections::BTreeMap;

use domain::{
    AttachedOrganization, CommitList, CommitRef, DeployId, EnvironmentName, Fetch, FetchCause,
    FetchCommits, FetchEnd, FetchStep, Integration, IntegrationStatus, Message, RecordDeploys,
    Release, ReleaseId, Repository, RepositoryId, Timestamp, TraceId, UserId,
};
use serde::{Deserialize, Serialize};

use crate::{
    KeyRing, KeyRingError, KnownIdentity,
    error::StoreError,
    identities::Row,
    keys,
    table::{Store, take, text, value},
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
    /// Who; `None`: the owners of the organization.
    pub user: Option<UserId>,
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
    /// What is to be fetched. Whoever learns the own name of its newest commit may put it there; the release gets
    /// it with the end of the round.
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
    /// The newest commit by its own name, where that has become known and the release has the one that the
    /// request gave it.
    fn own_head(&self) -> Option<CommitRef> {
        let named = &self.release.fetches.get(&self.repository_id)?.commit;
        let head = self.release.heads.get(&self.repository_id)?;
        (head == named && *head != self.fetch.commit).then(|| CommitRef {
            repository: self.repository_id,
            sha: self.fetch.commit.clone(),
        })
    }

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
    pub mails: Vec<Message>,
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
        let head = work.own_head();
        let mut change = match &written {
            Some(written) => written.lists.change(release.id, head.as_ref())?,
            None => moved(release.id, ending.end, head.as_ref())?,
        };
        at_step(&mut change, message, place)?;
        if head.is_some() {
            // A request may name another one, and ask for no commits.
            change.condition.push_str(" AND heads.#f = :named");
            let named = release.heads.get(&work.repository_id);
            change.values.insert(":named".into(), value(&named)?);
        }
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
        // Deploys wait for commits, and for nothing once they are known to be none.
        let (next, known) = match ending.end {
            FetchEnd::Over { .. } => (None, true),
            FetchEnd::Again { fetch, due, .. } => {
                let waits_now = fetch.is_put_off() && !work.fetch.is_put_off();
                (Some((fetch, *due)), waits_now)
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
            transaction = transaction.send(record_deploys(release), trace, now, now)?;
        }
        for mail in ending.mails {
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

/// What whoever waits for the commits of a release is told by, once there is no more to come for now.
pub(crate) fn record_deploys(release: &Release) -> Message {
    Message::RecordDeploys(RecordDeploys {
        organization: release.organization,
        version: release.version.clone(),
        release: release.id,
    })
}

/// Moves a fetch on, or takes it away; `head` is its newest commit's own name, if that is new.
fn moved(
    release: ReleaseId,
    end: &FetchEnd,
    head: Option<&CommitRef>,
) -> Result<Change, StoreError> {
    let mut change = Change {
        condition: "id = :id".into(),
        values: [(":id".into(), value(&release)?)].into(),
        ..Change::default()
    };
    let mut sets = Vec::new();
    if let Some(head) = head {
        sets.push("heads.#f = :head");
        change.values.insert(":head".into(), text(&head.sha));
    }
    let mut removed = "";
    match end {
        FetchEnd::Again { fetch, .. } => {
            sets.push("fetches.#f = :fetch");
            change.values.insert(":fetch".into(), value(fetch)?);
        }
        FetchEnd::Over { .. } => removed = "REMOVE fetches.#f",
    }
    let sets = match sets.is_empty() {
        true => String::new(),
        false => format!("SET {} ", sets.join(", ")),
    };
    change.expression = format!("{sets}{removed}");
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
