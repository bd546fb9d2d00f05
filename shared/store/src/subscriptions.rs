//! Who hears of a group, see [`domain::SubscriptionWrite`].

use domain::{
    Actor, GroupId, GroupState, SubscriptionReason, SubscriptionWrite, TeamId, Timestamp, UserId,
};
use serde::{Deserialize, Serialize};

use crate::{
    error::StoreError,
    keys,
    table::{Store, read},
    transaction::{Commit, Transaction},
};

/// Whether and why somebody hears of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscription {
    /// Whether they hear.
    pub active: bool,
    /// Why; `None` where they said so themselves.
    pub reason: Option<SubscriptionReason>,
}

#[derive(Serialize, Deserialize)]
struct Choice {
    active: bool,
    at: Timestamp,
}

#[derive(Serialize)]
struct Reason {
    at: Timestamp,
}

impl Transaction<'_> {
    /// Adds, removes or chooses; none of it depends on what is there.
    pub(crate) fn subscribe(
        self,
        group: GroupId,
        write: SubscriptionWrite,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        match write {
            SubscriptionWrite::Add(actor, reason) => self.put(
                &keys::subscription(group, actor, reason),
                &Reason { at: now },
            ),
            SubscriptionWrite::Choose(user, active) => {
                let choice = Choice { active, at: now };
                self.put(&keys::subscription_choice(group, user), &choice)
            }
        }
    }
}

impl Store {
    /// Whether a person hears of a group that is in `state`, as themselves or through one of `teams`. What they
    /// chose counts; else any reason does.
    pub async fn subscription(
        &self,
        state: &GroupState,
        user: UserId,
        teams: &[TeamId],
    ) -> Result<Option<Subscription>, StoreError> {
        let chosen = keys::subscription_choice(state.group, user);
        let changed = SubscriptionReason::StatusChange;
        let changed_it = keys::subscription(state.group, Actor::User(user), changed);
        let mut found = self
            .get_all(vec![chosen.clone(), changed_it.clone()])
            .await?;
        if let Some(item) = found.remove(&chosen) {
            let Choice { active, .. } = read(&chosen, item)?;
            let reason = None;
            return Ok(Some(Subscription { active, reason }));
        }
        let reason = match state.hears_as_assigned(user, teams) {
            true => Some(SubscriptionReason::Assigned),
            false => found.contains_key(&changed_it).then_some(changed),
        };
        Ok(reason.map(|reason| Subscription {
            active: true,
            reason: Some(reason),
        }))
    }

    /// Writes down that a person wants to hear of a group, or does not.
    pub async fn choose_subscription(
        &self,
        group: GroupId,
        user: UserId,
        active: bool,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let write = SubscriptionWrite::Choose(user, active);
        match self
            .transaction()
            .subscribe(group, write, now)?
            .commit()
            .await?
        {
            Commit::Done => Ok(()),
            Commit::Refused(_) => Err(StoreError::Contended("the subscription".into())),
        }
    }
}
