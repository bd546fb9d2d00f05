//! Deploys of releases, and which was the last of each project to each environment.

use std::collections::BTreeSet;

use domain::{Deploy, DeployId, EnvironmentName, OrganizationId, ProjectId, Release};
use serde::{Deserialize, Serialize};

use crate::{
    error::StoreError,
    keys,
    releases::release_change,
    table::{ATTEMPTS, Query, Store, step_aside},
    transaction::Commit,
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

impl Store {
    /// Adds a deploy to a release. Added again it is there once. `None`: the release is gone.
    pub async fn create_deploy(
        &self,
        release: &Release,
        deploy: &Deploy,
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
