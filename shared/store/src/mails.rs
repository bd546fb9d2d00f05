//! Mails: who gets one, and how far it has come to each of them.
//!
//! A mail to one recipient is claimed before it is handed over, and what became of it is written down after. Both
//! rows name people by their ids: an address would outlive its owner's account here.

use std::collections::HashMap;

use domain::{
    Email, MailFailure, MailKey, MailState, MailThread, Member, MessageId, OrganizationId,
    Recipients, Role, Timestamp, User, UserId,
};
use serde::{Deserialize, Serialize};

use crate::{
    error::StoreError,
    keys,
    releases::{AddressOwner, Found},
    table::{Filter, Query, Store, text, value},
    transaction::{Change, Commit},
};

/// For how long it is known what became of a mail, in seconds: longer than any copy of its message can come,
/// also through a dead-letter queue.
const CLAIM_KEPT: i64 = 35 * 24 * 60 * 60;

/// For how long mails about the same are shown together, in seconds from the first one.
const THREAD_KEPT: i64 = 90 * 24 * 60 * 60;

/// One mail to one recipient.
#[derive(Debug, Clone, Copy)]
pub struct MailTo<'a> {
    /// The organization that it is about.
    pub organization: OrganizationId,
    /// Which mail.
    pub key: &'a MailKey,
    /// To whom.
    pub user: UserId,
}

/// What is known of a mail to one recipient.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MailProgress {
    /// How far it has come; `None`: nobody has tried.
    pub state: Option<MailState>,
    /// By which name the mail service knows the first mail of its thread.
    pub thread: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct FirstOfThread {
    id: String,
    ttl: i64,
}

impl Store {
    /// The people who are to get a mail, in the order of their ids: active members of the organization whom a
    /// mail can reach.
    pub async fn mail_recipients(
        &self,
        organization: OrganizationId,
        to: &Recipients,
    ) -> Result<Vec<User>, StoreError> {
        let ids = match to {
            Recipients::Users(ids) => ids.clone(),
            Recipients::Owners => {
                let pk = keys::organization(organization).pk;
                let owners = Query {
                    filters: vec![Filter::is("role", value(&Role::Owner)?)],
                    ..Query::prefix(&pk, keys::MEMBERS)
                };
                let owners: Vec<Member> = self.query_all(owners).await?;
                owners.into_iter().map(|member| member.user).collect()
            }
        };
        let mut members = self.active_members(organization, &ids).await?;
        members.sort_by_key(|(user, _)| user.id);
        let people = members.into_iter().map(|(user, _)| user);
        Ok(people.filter(|user| user.email.is_deliverable()).collect())
    }

    /// Those who have one of these addresses, proved it, and are active members of the organization.
    pub async fn members_with_addresses(
        &self,
        organization: OrganizationId,
        addresses: &[Email],
    ) -> Result<Vec<(User, Member)>, StoreError> {
        let keys = addresses.iter().map(keys::email_owner).collect();
        let owners: Vec<AddressOwner> = self.get_list(keys).await?;
        let ids: Vec<_> = owners.iter().map(|owner| owner.user).collect();
        let members = self.active_members(organization, &ids).await?;
        let proved = |(user, _): &(User, Member)| user.verified;
        Ok(members.into_iter().filter(proved).collect())
    }

    async fn active_members(
        &self,
        organization: OrganizationId,
        ids: &[UserId],
    ) -> Result<Vec<(User, Member)>, StoreError> {
        let members = self.members_with_ids(organization, ids).await?;
        let active = members.into_iter().filter(|(_, user)| user.active);
        Ok(active.map(|(member, user)| (user, member)).collect())
    }

    /// How far a mail has come to each of these people.
    pub async fn mail_progress(
        &self,
        organization: OrganizationId,
        key: &MailKey,
        thread: Option<MailThread>,
        users: &[UserId],
    ) -> Result<HashMap<UserId, MailProgress>, StoreError> {
        let state_key = |user| keys::mail(organization, key, user);
        let mut wanted: Vec<_> = users.iter().map(|user| state_key(*user)).collect();
        if let Some(thread) = thread {
            wanted.extend(users.iter().map(|user| keys::mail_thread(thread, *user)));
        }
        let mut found = Found(self.get_all(wanted).await?);
        let (mut states, mut threads) = (HashMap::new(), HashMap::new());
        for user in users {
            found.take::<_, MailState>(&state_key(*user), *user, &mut states)?;
            if let Some(thread) = thread {
                let key = keys::mail_thread(thread, *user);
                found.take::<_, FirstOfThread>(&key, *user, &mut threads)?;
            }
        }
        let mut progress = |user: &UserId| MailProgress {
            state: states.remove(user),
            thread: threads.remove(user).map(|first| first.id),
        };
        Ok(users.iter().map(|user| (*user, progress(user))).collect())
    }

    /// Takes the right to send a mail to one recipient, where nobody else has it or did so. `false`: somebody
    /// was faster.
    pub async fn claim_mail(
        &self,
        mail: MailTo<'_>,
        owner: MessageId,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let claim = MailState::Sending { owner, until };
        let mut change = becomes(&claim, now)?;
        change.condition =
            "attribute_not_exists(PK) OR (#state = :sending AND #until <= :now)".into();
        change.values.insert(":sending".into(), text("sending"));
        change.values.insert(":now".into(), value(&now)?);
        self.change_mail(mail, change).await
    }

    /// Gives the right back: it was not sent.
    pub async fn release_mail(
        &self,
        mail: MailTo<'_>,
        owner: MessageId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let ended = MailState::Sending { owner, until: now };
        self.change_mail(mail, owned(&ended, owner, now)?).await?;
        Ok(())
    }

    /// Notes that a mail was taken over under a name, which is the first of its thread if there is none.
    pub async fn mail_sent(
        &self,
        mail: MailTo<'_>,
        owner: MessageId,
        thread: Option<MailThread>,
        id: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sent = MailState::Sent {
            id: id.to_owned(),
            at: now,
        };
        let key = keys::mail(mail.organization, mail.key, mail.user);
        let mut first = thread.map(|thread| keys::mail_thread(thread, mail.user));
        loop {
            let mut transaction = self.transaction().update(&key, owned(&sent, owner, now)?)?;
            if let Some(first) = &first {
                let row = FirstOfThread {
                    id: id.to_owned(),
                    ttl: now.seconds() + THREAD_KEPT,
                };
                transaction = transaction.put_new(first, &row)?;
            }
            match transaction.commit().await? {
                Commit::Refused(writes) if writes == [1] => first = None,
                // Else somebody took it over, sends it as well, and will say so.
                Commit::Done | Commit::Refused(_) => return Ok(()),
            }
        }
    }

    /// Notes that a claimed mail will not be sent.
    pub async fn give_up_mail(
        &self,
        mail: MailTo<'_>,
        owner: MessageId,
        reason: MailFailure,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let given_up = MailState::GivenUp { reason, at: now };
        self.change_mail(mail, owned(&given_up, owner, now)?)
            .await?;
        Ok(())
    }

    async fn change_mail(&self, mail: MailTo<'_>, change: Change) -> Result<bool, StoreError> {
        let key = keys::mail(mail.organization, mail.key, mail.user);
        let transaction = self.transaction().update(&key, change)?;
        Ok(transaction.commit().await? == Commit::Done)
    }
}

/// The change of a claim that still is this owner's.
fn owned(state: &MailState, owner: MessageId, now: Timestamp) -> Result<Change, StoreError> {
    let mut change = becomes(state, now)?;
    change.condition = "#mine = :mine".into();
    change.names.push(("#mine".into(), "owner".into()));
    change.values.insert(":mine".into(), value(&owner)?);
    Ok(change)
}

/// Sets what a state consists of, and removes what others do.
fn becomes(state: &MailState, now: Timestamp) -> Result<Change, StoreError> {
    let attributes = value(state)?.as_m().cloned().unwrap_or_default();
    let mut change = Change::default();
    let mut sets = vec!["#ttl = :ttl".to_owned()];
    change.names.push(("#ttl".into(), "ttl".into()));
    let ttl = now.seconds() + CLAIM_KEPT;
    change.values.insert(":ttl".into(), value(&ttl)?);
    let mut removes = Vec::new();
    for name in ["state", "owner", "until", "id", "at", "reason"] {
        change.names.push((format!("#{name}"), name.into()));
        match attributes.get(name) {
            Some(attribute) => {
                sets.push(format!("#{name} = :new_{name}"));
                change
                    .values
                    .insert(format!(":new_{name}"), attribute.clone());
            }
            None => removes.push(format!("#{name}")),
        }
    }
    change.expression = format!("SET {} REMOVE {}", sets.join(", "), removes.join(", "));
    Ok(change)
}
