//! Organizations and teams.

use domain::{Feature, Organization, OrganizationId, Slug, Team, TeamId};
use serde::{Deserialize, Serialize};

use crate::{
    error::StoreError,
    keys,
    table::{ATTEMPTS, Store, step_aside, value},
    transaction::{Change, Commit},
};

#[derive(Serialize, Deserialize)]
struct OrganizationRef {
    organization: OrganizationId,
}

#[derive(Serialize, Deserialize)]
struct TeamRef {
    team: TeamId,
}

impl Store {
    /// The organization with this id.
    pub async fn organization(
        &self,
        id: OrganizationId,
    ) -> Result<Option<Organization>, StoreError> {
        self.get(&keys::organization(id)).await
    }

    /// The organizations with these ids, in their order, without those that are gone.
    pub async fn organizations(
        &self,
        ids: &[OrganizationId],
    ) -> Result<Vec<Organization>, StoreError> {
        self.get_list(ids.iter().map(|id| keys::organization(*id)).collect())
            .await
    }

    /// The organization with this slug.
    pub async fn organization_by_slug(
        &self,
        slug: &Slug,
    ) -> Result<Option<Organization>, StoreError> {
        match self
            .get::<OrganizationRef>(&keys::organization_slug(slug))
            .await?
        {
            Some(found) => self.organization(found.organization).await,
            None => Ok(None),
        }
    }

    /// Stores an organization under a fresh id. `false`: the id or the slug is taken.
    pub async fn create_organization(
        &self,
        organization: &Organization,
    ) -> Result<bool, StoreError> {
        let guard = OrganizationRef {
            organization: organization.id,
        };
        let commit = self
            .transaction()
            .put_new(&keys::organization(organization.id), organization)?
            .put_new(&keys::organization_slug(&organization.slug), &guard)?
            .commit()
            .await?;
        Ok(commit == Commit::Done)
    }

    /// Switches a feature. `Ok(None)`: there is no such organization.
    pub async fn set_feature(
        &self,
        id: OrganizationId,
        feature: Feature,
        enabled: bool,
    ) -> Result<Option<Organization>, StoreError> {
        for attempt in 0..ATTEMPTS {
            step_aside(attempt).await;
            let Some(mut organization) = self.organization(id).await? else {
                return Ok(None);
            };
            let seen = organization.features.clone();
            organization.features.retain(|present| *present != feature);
            if enabled {
                organization.features.push(feature);
                organization.features.sort();
            }
            let change = Change {
                expression: "SET features = :new".into(),
                condition: "features = :seen".into(),
                names: Vec::new(),
                values: [
                    (":new".into(), value(&organization.features)?),
                    (":seen".into(), value(&seen)?),
                ]
                .into(),
            };
            let transaction = self.transaction().update(&keys::organization(id), change)?;
            if transaction.commit().await? == Commit::Done {
                return Ok(Some(organization));
            }
        }
        Err(StoreError::Contended(format!("organization {id}")))
    }

    /// The team with this slug.
    pub async fn team_by_slug(
        &self,
        organization: OrganizationId,
        slug: &Slug,
    ) -> Result<Option<Team>, StoreError> {
        match self
            .get::<TeamRef>(&keys::team_slug(organization, slug))
            .await?
        {
            Some(found) => self.get(&keys::team(found.team)).await,
            None => Ok(None),
        }
    }

    /// The teams with these ids, in their order, without those that are gone.
    pub async fn teams(
        &self,
        organization: OrganizationId,
        ids: &[TeamId],
    ) -> Result<Vec<Team>, StoreError> {
        let teams = self
            .get_list(ids.iter().map(|id| keys::team(*id)).collect())
            .await?;
        let own = |team: &Team| team.organization == organization;
        Ok(teams.into_iter().filter(own).collect())
    }

    /// Stores a team under a fresh id. `false`: the id or the slug is taken.
    pub async fn create_team(&self, team: &Team) -> Result<bool, StoreError> {
        let commit = self
            .transaction()
            .put_new(&keys::team(team.id), team)?
            .put_new(
                &keys::team_slug(team.organization, &team.slug),
                &TeamRef { team: team.id },
            )?
            .commit()
            .await?;
        Ok(commit == Commit::Done)
    }
}
