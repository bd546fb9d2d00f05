//! Deploys of releases, and which was the last of each project to each environment.

use std::collections::BTreeSet;

use domain::{
    Deploy, DeployId, EnvironmentName, Message, NotifyDeploy, OrganizationId, ProjectId, Release,
    ReleaseId, SendEmail, Timestamp, TraceId, Version,
};
use serde::{Deserialize, Serialize};

use crate::{
    error::StoreError,
    keys,
    releases::{MAX_IDENT, release_change},
    table::{ATTEMPTS, Query, Store, step_aside, value},
    transaction::{Change, Commit},
};

/// How many projects of a deploy are written in one transaction.
const PROJECTS_AT_ONCE: usize = 50;

#[derive(Serialize, Deserialize)]
struct LastDeploy {
    project: ProjectId,
    deploy: DeployId,
}

#[derive(Serialize, Deserialize)]
struct Environment {
    name: EnvironmentName,
}

/// A line in the activity of a project.
#[derive(Serialize)]
struct DeployActivity {
    kind: &'static str,
    /// The beginning of the version, at most 64 characters.
    ident: String,
    version: Version,
    deploy: DeployId,
    environment: EnvironmentName,
    at: Timestamp,
}

impl Store {
    /// The deploy of a release with this id.
    pub async fn deploy(
        &self,
        release: ReleaseId,
        id: DeployId,
    ) -> Result<Option<Deploy>, StoreError> {
        self.get(&keys::deploy(release, id)).await
    }

    /// All deploys of a release.
    pub async fn deploys(&self, release: ReleaseId) -> Result<Vec<Deploy>, StoreError> {
        let pk = keys::release_id(release).pk;
        self.query_all(Query::prefix(&pk, keys::DEPLOYS)).await
    }

    /// Tells of a deploy, once: a line in the activity of each project of its release, and mails, of which
    /// there are as many as a transaction takes messages. `false`: somebody has told of it, or it is gone.
    pub async fn tell_of_deploy(
        &self,
        release: &Release,
        deploy: &Deploy,
        mails: Vec<SendEmail>,
        trace: &TraceId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let activity = DeployActivity {
            kind: "deploy",
            ident: release.version.as_str().chars().take(MAX_IDENT).collect(),
            version: release.version.clone(),
            deploy: deploy.id,
            environment: deploy.environment.clone(),
            at: deploy.finished,
        };
        let line = |project: &ProjectId| keys::deploy_activity(*project, deploy.id);
        let projects: Vec<_> = release.projects.iter().copied().collect();
        let mut chunks: Vec<_> = projects.chunks(PROJECTS_AT_ONCE).collect();
        let last = chunks.pop().unwrap_or_default();
        // Written again they are the same.
        for chunk in chunks {
            let transaction = chunk.iter().try_fold(self.transaction(), |all, project| {
                all.put(&line(project), &activity)
            })?;
            let _ = transaction.commit().await?;
        }
        let told = Change {
            expression: "SET notified = :told".into(),
            condition:
                "attribute_exists(PK) AND (attribute_not_exists(notified) OR notified <> :told)"
                    .into(),
            names: Vec::new(),
            values: [(":told".into(), value(&true)?)].into(),
        };
        let transaction = self
            .transaction()
            .update(&keys::deploy(release.id, deploy.id), told)?;
        let transaction = last.iter().try_fold(transaction, |all, project| {
            all.put(&line(project), &activity)
        })?;
        let transaction = mails.into_iter().try_fold(transaction, |all, mail| {
            all.send(Message::SendEmail(mail), trace, now, now)
        })?;
        Ok(transaction.commit().await? == Commit::Done)
    }

    /// Adds a deploy to a release, and sends for people to be told of it. Added again it is there once.
    /// `None`: the release is gone.
    pub async fn create_deploy(
        &self,
        release: &Release,
        deploy: &Deploy,
        trace: &TraceId,
        now: Timestamp,
    ) -> Result<Option<Release>, StoreError> {
        let projects: Vec<_> = deploy.projects.iter().copied().collect();
        let mut chunks: Vec<_> = projects.chunks(PROJECTS_AT_ONCE).collect();
        let last = chunks.pop().unwrap_or_default();
        let row = |project| LastDeploy {
            project,
            deploy: deploy.id,
        };
        let key = |project| keys::last_deploy(release.id, project, &deploy.environment);
        // Until the deploy itself is there, readers pass over what leads to it.
        for chunk in chunks {
            let transaction = chunk.iter().try_fold(self.transaction(), |all, project| {
                all.put(&key(*project), &row(*project))
            })?;
            let _ = transaction.commit().await?;
        }
        let environment = Environment {
            name: deploy.environment.clone(),
        };
        let place = keys::environment(release.organization, &deploy.environment);
        let mut seen = release.clone();
        for attempt in 0..ATTEMPTS {
            step_aside(attempt).await;
            let mut new = seen.clone();
            new.rev += 1;
            new.total_deploys += 1;
            new.last_deploy = Some(deploy.id);
            new.environments.insert(deploy.environment.clone());
            let own = keys::release(seen.organization, &seen.version);
            let transaction = self
                .transaction()
                .put_new(&keys::deploy(release.id, deploy.id), deploy)?
                .update(&own, release_change(&seen, &new)?)?
                .put(&place, &environment)?;
            let transaction = last.iter().try_fold(transaction, |all, project| {
                all.put(&key(*project), &row(*project))
            })?;
            let notify = Message::NotifyDeploy(NotifyDeploy {
                organization: release.organization,
                release: release.id,
                version: release.version.clone(),
                deploy: deploy.id,
                fetch_complete: false,
            });
            let transaction = transaction.send(notify, trace, now, now)?;
            match transaction.commit().await? {
                Commit::Done => return Ok(Some(new)),
                // An earlier try whose answer was lost.
                Commit::Refused(writes) if writes.contains(&0) => return Ok(Some(seen)),
                Commit::Refused(_) => {}
            }
            match self.release(seen.organization, &seen.version).await? {
                Some(found) if found.id == seen.id => seen = found,
                Some(_) | None => return Ok(None),
            }
        }
        Err(StoreError::Contended(format!("release {}", seen.id)))
    }

    /// The last deploys of these projects to each environment, those that ended last first.
    pub async fn last_deploys(
        &self,
        release: &Release,
        projects: &BTreeSet<ProjectId>,
    ) -> Result<Vec<Deploy>, StoreError> {
        let pk = keys::release_id(release.id).pk;
        let rows: Vec<LastDeploy> = self
            .query_all(Query::prefix(&pk, keys::LAST_DEPLOYS))
            .await?;
        let own = rows.iter().filter(|row| projects.contains(&row.project));
        let keys = own.map(|row| keys::deploy(release.id, row.deploy));
        let mut deploys: Vec<Deploy> = self.get_list(keys.collect()).await?;
        deploys.sort_by_key(|deploy| std::cmp::Reverse((deploy.finished, deploy.id)));
        Ok(deploys)
    }

    /// Those of the environments that an organization knows.
    pub async fn environments(
        &self,
        organization: OrganizationId,
        names: &[EnvironmentName],
    ) -> Result<Vec<EnvironmentName>, StoreError> {
        let key = |name| keys::environment(organization, name);
        let known: Vec<Environment> = self.get_list(names.iter().map(key).collect()).await?;
        Ok(known.into_iter().map(|known| known.name).collect())
    }
}
