//! Who hears of a group, see [`domain::SubscriptionWrite`].

use domain::{
    Actor, GroupId, Subscribers, SubscriptionReason, SubscriptionWrite, Timestamp, UserId,
};
use serde::{Deserialize, Serialize};

use crate::{
    error::StoreError,
    keys::{self, Key},
    table::{Query, Store, take, value},
    transaction::{Change, Commit, Transaction},
};

#[derive(Serialize, Deserialize)]
struct Choice {
    active: bool,
    at: Timestamp,
}

/// When the reason came up first.
#[derive(Deserialize)]
struct Reason {
    at: Timestamp,
}

/// A row of whose person only its key knows.
#[derive(Deserialize)]
struct Placed<T> {
    #[serde(rename = "PK")]
    pk: String,
    #[serde(rename = "SK")]
    sk: String,
    #[serde(flatten)]
    row: T,
}

impl<T> Placed<T> {
    fn key(&self) -> Key {
        let (pk, sk) = (self.pk.clone(), self.sk.clone());
        Key { pk, sk }
    }
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
            SubscriptionWrite::Add(actor, reason) => {
                let first = Change {
                    expression: "SET #at = if_not_exists(#at, :now)".into(),
                    names: vec![("#at".into(), "at".into())],
                    values: [(":now".into(), value(&now)?)].into(),
                    ..Change::default()
                };
                self.update(&keys::subscription(group, actor, reason), first)
            }
            SubscriptionWrite::Choose(user, active) => {
                let choice = Choice { active, at: now };
                self.put(&keys::subscription_choice(group, user), &choice)
            }
        }
    }
}

impl Store {
    /// What one person said and did about a group.
    pub async fn subscription(
        &self,
        group: GroupId,
        user: UserId,
    ) -> Result<Subscribers, StoreError> {
        let choice = keys::subscription_choice(group, user);
        let changed = SubscriptionReason::StatusChange;
        let changed = keys::subscription(group, Actor::User(user), changed);
        let mut found = self.get_all(vec![choice.clone(), changed.clone()]).await?;
        let choice: Option<Choice> = take(&mut found, &choice)?;
        let changed: Option<Reason> = take(&mut found, &changed)?;
        Ok(Subscribers {
            choices: choice.map(|it| (user, it.active)).into_iter().collect(),
            status_changes: changed.map(|it| (user, it.at)).into_iter().collect(),
        })
    }

    /// What all people said and did about a group.
    pub async fn subscribers(&self, group: GroupId) -> Result<Subscribers, StoreError> {
        let pk = keys::group_meta(group).pk;
        let (choices, reasons) = tokio::try_join!(
            self.query_all::<Placed<Choice>>(Query::prefix(&pk, keys::CHOICES)),
            self.query_all::<Placed<Reason>>(Query::prefix(&pk, keys::SUBSCRIPTIONS)),
        )?;
        let choices = choices.iter().filter_map(|placed| {
            let user = keys::chooser(&placed.key())?;
            Some((user, placed.row.active))
        });
        let changes = reasons
            .iter()
            .filter_map(|placed| match keys::subscriber(&placed.key())? {
                (Actor::User(user), SubscriptionReason::StatusChange) => {
                    Some((user, placed.row.at))
                }
                (Actor::User(_) | Actor::Team(_), _) => None,
            });
        Ok(Subscribers {
            choices: choices.collect(),
            status_changes: changes.collect(),
        })
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
