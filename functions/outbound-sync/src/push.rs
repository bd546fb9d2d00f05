//! One push: load, decide, write to the tracker under a lease, keep what became of it.

use std::time::Duration;

use domain::{
    Envelope, Facet, FacetMove, Fault, Feature, GroupState, Integration, IntegrationStatus, Lease,
    Message, MessageId, Outcome, Provider, Push, Reason, Rule, Sent, SyncRecord, Timestamp,
    TrackerAssignee, TrackerPush, TrackerValue,
};
use runtime::{Delivery, record_outcome};
use store::{Ending, Outbound};

use crate::{
    Context,
    tracker::{Change, Failure, Stop, Tracker, Wait},
};

/// How long a lease lasts, in milliseconds: longer than a call may take.
const LEASE: i64 = 30_000;
/// How long a message is worked on before a write, in milliseconds: with the write, which is one more call,
/// it stays below the function's timeout.
const WORK: i64 = 50_000;
/// How often a group that keeps changing is looked at again before others have their turn.
const ROUNDS: u32 = 5;
/// When it is looked at again then, in milliseconds.
const SOON: i64 = 1_000;

/// What a round comes to.
enum Round {
    /// The message is done.
    Ended,
    /// The group changed meanwhile.
    Again,
}

/// How a push ends, or does not yet.
enum End {
    Recorded(SyncRecord),
    Again(SyncRecord, Box<Envelope>, Timestamp),
}

/// A message under work.
struct Job<'a> {
    context: &'a Context,
    facet: Facet,
    push: &'a TrackerPush,
    /// What it came in. Whatever is put off keeps its id, so that copies of it do not multiply.
    envelope: &'a Envelope,
    /// Whether it comes no more unless it is put off, and was recorded so.
    last: bool,
    /// When it is too late to begin a write.
    deadline: Timestamp,
}

pub(crate) async fn push(
    context: &Context,
    facet: Facet,
    push: &TrackerPush,
    delivery: &Delivery,
) -> Result<(), Fault> {
    let job = Job {
        context,
        facet,
        push,
        envelope: &delivery.envelope,
        last: delivery.is_last(),
        deadline: context.clock.now().plus(WORK),
    };
    for _ in 0..ROUNDS {
        match job.round().await? {
            Round::Ended => return Ok(()),
            Round::Again => {}
        }
    }
    let soon = context.clock.now().plus(SOON);
    job.put_off(soon).await
}

impl Job<'_> {
    async fn round(&self) -> Result<Round, Fault> {
        let found = self.context.store.outbound(self.push).await?;
        let provider = found.integration.as_ref().map(|found| found.provider);
        let Some(state) = &found.state else {
            // It was deleted, and nothing may be written where it was.
            let gone = Outcome::Suppressed(Reason::NoGroup);
            let record = SyncRecord {
                group: None,
                ..self.record(provider, gone)
            };
            return self.end(End::Recorded(record)).await;
        };
        let (link, now) = (&self.push.link, self.context.clock.now());
        let (wanted, believed) = match domain::push(state, self.facet, self.push, now) {
            Push::Ended(outcome) => {
                let record = self.record(provider, outcome);
                return self.end(End::Recorded(record)).await;
            }
            Push::Held(until) => {
                self.put_off(until).await?;
                return Ok(Round::Ended);
            }
            Push::Write(wanted) => (wanted, None),
            Push::Check(wanted, so) => (wanted, Some(so)),
        };
        let integration = match allowed(&found, self.facet) {
            Ok(integration) => integration,
            Err(reason) => return self.nothing(provider, reason).await,
        };
        if let Some(wait) = found.pause(now) {
            let failure = Failure::paused(wait);
            return self.end(self.failed(provider, failure)).await;
        }
        let check = believed.is_some();
        let (tracker, change) = match self.reach(integration, &found, wanted, check).await {
            Ok(Reached::Known(tracker, change)) => match (change, believed) {
                (Change::Nothing, Some(so)) => {
                    let record = self.record(provider, so);
                    return self.end(End::Recorded(record)).await;
                }
                (change, _) => (tracker, change),
            },
            Ok(Reached::Nothing(reason)) => return self.nothing(provider, reason).await,
            Err(Stop::Failure(failure)) => {
                self.pause(&failure).await;
                return self.end(self.failed(provider, failure)).await;
            }
            Err(Stop::Fault(fault)) => return Err(fault),
        };

        let now = self.context.clock.now();
        let lease = Lease {
            owner: MessageId::new(now, rand::random()),
            until: now.plus(LEASE),
        };
        let store = &self.context.store;
        let taken = store.take_lease(state, link, self.facet, lease, wanted);
        let Some(leased) = taken.await? else {
            return Ok(Round::Again);
        };
        let answer = tracker.write(&link.external_issue, &change).await;
        let sent = match &answer {
            Ok(revision) => Sent::Taken(*revision),
            Err(failure) => failure.sent,
        };
        let end = match answer {
            Ok(revision) => {
                let before = state.links.get(link);
                let before = before.and_then(|at| at.of(self.facet).known);
                End::Recorded(SyncRecord {
                    revision,
                    rule: rule(wanted),
                    change: (before != Some(wanted)).then(|| moved(before, wanted)),
                    ..self.record(provider, Outcome::Applied)
                })
            }
            Err(failure) => {
                self.pause(&failure).await;
                self.failed(provider, failure)
            }
        };
        self.keep(state, leased, lease, wanted, sent, end).await
    }

    /// Finds out whether the tracker can be told, and what it calls what it is to have.
    async fn reach(
        &self,
        integration: &Integration,
        found: &Outbound,
        wanted: TrackerValue,
        check: bool,
    ) -> Result<Reached, Stop> {
        let Some(known) = found.identity(&self.context.ring) else {
            return Ok(Reached::Nothing(Reason::NoIdentity));
        };
        let (organization, known) = (self.push.organization, known.map_err(Failure::from)?);
        // Never cut short: a refresh token that was taken has to be kept.
        let tracker = Tracker::open(self.context, integration, organization, known).await?;
        let left = self.deadline.millis() - self.context.clock.now().millis();
        let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
        let change = self.find_change(&tracker, found, wanted, check);
        let change = tokio::time::timeout(left, change).await;
        if self.context.clock.now() >= self.deadline {
            return Err(Failure::out_of_time().into());
        }
        Ok(match change.map_err(|_| Failure::out_of_time())?? {
            Ok(change) => Reached::Known(tracker, change),
            Err(reason) => Reached::Nothing(reason),
        })
    }

    /// What is to be changed at the tracker, or why nothing is. `check`: look whether it has that already.
    async fn find_change(
        &self,
        tracker: &Tracker,
        found: &Outbound,
        wanted: TrackerValue,
        check: bool,
    ) -> Result<Result<Change, Reason>, Stop> {
        let link = &self.push.link;
        let name = match wanted {
            TrackerValue::Status(status) => {
                let attached = found.attached.as_ref();
                let states = attached.map(|attached| &attached.states);
                return Ok(tracker.find_state(link, status, states).await?);
            }
            TrackerValue::Assignee(TrackerAssignee::Nobody) => None,
            TrackerValue::Assignee(TrackerAssignee::User(user)) => {
                let user = self.context.store.user(user).await?;
                // Anybody can put an address into a profile; only a verified one is theirs.
                let Some(user) = user.filter(|user| user.verified && user.active) else {
                    return Ok(Err(Reason::UnknownAtTracker));
                };
                let name = tracker.find(link, &[user.email]).await?;
                if name.is_none() {
                    return Ok(Err(Reason::UnknownAtTracker));
                }
                name
            }
        };
        let has = check && tracker.has(&link.external_issue, name.as_deref()).await?;
        Ok(Ok(match has {
            true => Change::Nothing,
            false => Change::Assignee(name),
        }))
    }

    /// Keeps what became of the write, whatever the tracker told meanwhile.
    async fn keep(
        &self,
        before: &GroupState,
        leased: GroupState,
        lease: Lease,
        wanted: TrackerValue,
        sent: Sent,
        end: End,
    ) -> Result<Round, Fault> {
        let (store, link) = (&self.context.store, &self.push.link);
        let mut state = leased;
        loop {
            let at = (link, self.facet);
            let settled = domain::settle(before, &state, at, lease, wanted, sent);
            let Some(settled) = settled else {
                return self.end(end).await;
            };
            let ending = match &end {
                End::Recorded(record) => Ending::Recorded(record),
                End::Again(_, envelope, due) => Ending::Again(envelope, *due),
            };
            if store.settle_link(&state, link, &settled, ending).await? {
                state.links.insert(link.clone(), settled.link);
                break;
            }
            match store.group_state(self.push.group).await? {
                Some(now) => state = now,
                None => return self.end(end).await,
            }
        }
        match end {
            End::Recorded(record) => record_outcome(record.outcome),
            End::Again(record, _, _) => {
                record_outcome(record.outcome);
                store.record_sync(&record).await?;
                return Ok(Round::Ended);
            }
        }
        // What the tracker told meanwhile may have to be undone there: nobody else knows of that.
        Ok(
            match domain::push(&state, self.facet, self.push, self.context.clock.now()) {
                Push::Write(_) if matches!(sent, Sent::Taken(_)) => Round::Again,
                Push::Write(_) | Push::Check(..) | Push::Ended(_) | Push::Held(_) => Round::Ended,
            },
        )
    }

    /// Ends a push that wrote nothing.
    async fn end(&self, end: End) -> Result<Round, Fault> {
        let record = match end {
            End::Recorded(record) => record,
            End::Again(record, envelope, due) => {
                self.context.store.outbox_put_off(&envelope, due).await?;
                record
            }
        };
        record_outcome(record.outcome);
        self.context.store.record_sync(&record).await?;
        Ok(Round::Ended)
    }

    async fn nothing(&self, provider: Option<Provider>, reason: Reason) -> Result<Round, Fault> {
        let record = self.record(provider, Outcome::Suppressed(reason));
        self.end(End::Recorded(record)).await
    }

    /// How it ends now.
    fn record(&self, provider: Option<Provider>, outcome: Outcome) -> SyncRecord {
        let now = self.context.clock.now();
        SyncRecord::of_push(self.facet, self.push, provider, outcome, now)
    }

    /// Remembers, where a tracker asks to be left alone for a time, that it does: for whatever else there is
    /// to tell it.
    async fn pause(&self, failure: &Failure) {
        let Wait::AtLeast(wait) = failure.wait else {
            return;
        };
        let (integration, organization) = (self.push.link.integration, self.push.organization);
        let until = self.context.clock.now().plus(wait);
        let store = &self.context.store;
        if let Err(error) = store.pause_tracker(integration, organization, until).await {
            // It is asked once more than it wants, and says so again.
            tracing::warn!(reason = error.to_string(), "the tracker's wish is not kept");
        }
    }

    /// Decides whether a failure is worth another attempt.
    fn failed(&self, provider: Option<Provider>, failure: Failure) -> End {
        let now = self.context.clock.now();
        tracing::warn!(
            reason = failure.reason.as_str(),
            detail = failure.detail,
            "the tracker could not be told"
        );
        let record = |outcome| SyncRecord {
            detail: failure.detail.clone(),
            ..self.record(provider, outcome)
        };
        let again = match failure.wait {
            Wait::Never => return End::Recorded(record(Outcome::Refused(failure.reason))),
            Wait::Any => self.push.again(now, None),
            Wait::AtLeast(wait) => self.push.again(now, Some(wait)),
        };
        match again {
            Some((push, due)) => {
                let again = Envelope {
                    message: Message::push(self.facet, push),
                    ..self.envelope.clone()
                };
                let record = record(Outcome::Deferred(failure.reason));
                End::Again(record, Box::new(again), due)
            }
            None => End::Recorded(record(Outcome::Dead(failure.reason))),
        }
    }

    /// The same once more, later.
    async fn put_off(&self, due: Timestamp) -> Result<(), Fault> {
        let store = &self.context.store;
        store.outbox_put_off(self.envelope, due).await?;
        if self.last {
            // It is not given up, as the record of the last try says.
            let record = self.record(None, Outcome::Deferred(Reason::Held));
            store.record_sync(&record).await?;
        }
        Ok(())
    }
}

enum Reached {
    /// The tracker, and what is to be changed there.
    Known(Tracker, Change),
    Nothing(Reason),
}

/// How it is known what the tracker calls a value.
fn rule(value: TrackerValue) -> Option<Rule> {
    match value {
        TrackerValue::Assignee(TrackerAssignee::User(_)) => Some(Rule::VerifiedEmail),
        TrackerValue::Assignee(TrackerAssignee::Nobody) => None,
        TrackerValue::Status(_) => Some(Rule::StateMap),
    }
}

fn moved(before: Option<TrackerValue>, wanted: TrackerValue) -> FacetMove {
    match wanted {
        TrackerValue::Assignee(to) => FacetMove::Assignee {
            from: match before {
                Some(TrackerValue::Assignee(from)) => from.actor(),
                Some(TrackerValue::Status(_)) | None => None,
            },
            to: to.actor(),
        },
        TrackerValue::Status(to) => FacetMove::Status {
            from: match before {
                Some(TrackerValue::Status(from)) => Some(from),
                Some(TrackerValue::Assignee(_)) | None => None,
            },
            to,
        },
    }
}

/// The integration, if the organization lets it be told.
fn allowed(found: &Outbound, facet: Facet) -> Result<&Integration, Reason> {
    let sync =
        |organization: &&domain::Organization| organization.has(Feature::IntegrationsIssueSync);
    found
        .organization
        .as_ref()
        .filter(sync)
        .ok_or(Reason::FeatureOff)?;
    let active = |integration: &&Integration| match integration.status {
        IntegrationStatus::Active => true,
        IntegrationStatus::Disabled => false,
    };
    let integration = found
        .integration
        .as_ref()
        .filter(active)
        .ok_or(Reason::IntegrationOff)?;
    let on = found.attached.as_ref().is_some_and(|attached| match facet {
        Facet::Assignee => attached.switches.outbound_assignee,
        Facet::Status => attached.switches.outbound_status,
    });
    match on {
        true => Ok(integration),
        false => Err(Reason::SwitchOff),
    }
}
