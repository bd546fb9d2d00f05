//! What people want to hear of. A setting about a project or an organization lies there, where it is found by who
//! is about to tell people, and the same with its person. One about all that a person sees lies with them alone.

use domain::{
    NotificationId, NotificationScope, NotificationSetting, NotificationType, OrganizationId,
    ProjectId, UserId,
};
use futures_util::future::try_join_all;

use crate::{
    error::StoreError,
    keys,
    table::{BATCHES_AT_ONCE, Query, Store},
    transaction::Commit,
};

impl Store {
    /// All settings of a person.
    pub async fn notification_settings(
        &self,
        user: UserId,
    ) -> Result<Vec<NotificationSetting>, StoreError> {
        let pk = keys::user(user).pk;
        self.query_all(Query::prefix(&pk, keys::NOTIFICATIONS))
            .await
    }

    /// Stores a setting, over the one of its person about the same.
    pub async fn put_notification_setting(
        &self,
        setting: &NotificationSetting,
    ) -> Result<(), StoreError> {
        let NotificationSetting { user, id, .. } = *setting;
        let transaction = self
            .transaction()
            .put(&keys::user_notification(user, id), setting)?;
        let transaction = match keys::scope_notification(user, id) {
            Some(key) => transaction.put(&key, setting)?,
            None => transaction,
        };
        match transaction.commit().await? {
            Commit::Done => Ok(()),
            Commit::Refused(_) => Err(StoreError::Contended("a notification setting".into())),
        }
    }

    /// Deletes a setting of a person. `false`: it is not there, or not any more.
    pub async fn delete_notification_setting(
        &self,
        user: UserId,
        id: NotificationId,
    ) -> Result<bool, StoreError> {
        let transaction = self
            .transaction()
            .delete_there(&keys::user_notification(user, id))?;
        let transaction = match keys::scope_notification(user, id) {
            Some(key) => transaction.delete(&key)?,
            None => transaction,
        };
        Ok(transaction.commit().await? == Commit::Done)
    }

    /// What people said of a type of notification for these projects and for their organization.
    pub async fn notification_settings_about(
        &self,
        kind: NotificationType,
        organization: OrganizationId,
        projects: &[ProjectId],
    ) -> Result<Vec<NotificationSetting>, StoreError> {
        let projects = projects.iter().map(|id| keys::project(*id).pk);
        let partitions = projects.chain([keys::organization(organization).pk]);
        let (partitions, rows) = (partitions.collect::<Vec<_>>(), keys::notifications_of(kind));
        let mut found = Vec::new();
        for wave in partitions.chunks(BATCHES_AT_ONCE) {
            let wave = wave.iter().map(|pk| Query::prefix(pk, &rows));
            let wave = wave.map(|query| self.query_all::<NotificationSetting>(query));
            found.extend(try_join_all(wave).await?.into_iter().flatten());
        }
        Ok(found)
    }

    /// What these people said of a type of notification for all that they see.
    pub async fn general_notification_settings(
        &self,
        kind: NotificationType,
        users: &[UserId],
    ) -> Result<Vec<NotificationSetting>, StoreError> {
        let scope = NotificationScope::User;
        let key = |user: &UserId| keys::user_notification(*user, NotificationId { kind, scope });
        self.get_list(users.iter().map(key).collect()).await
    }
}
