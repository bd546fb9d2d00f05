//! Organizations and teams.

use domain::{
    AuditEntry, Feature, Member, Organization, OrganizationId, ResolveCommitsOn, Slug, Team, TeamId,
};
use serde::{Deserialize, Serialize};

use crate::{
    PARTITION_KEY,
    change::{Changed, Swap},
    error::StoreError,
    keys,
    table::{ATTEMPTS, Insert, Page, Query, Store, step_aside, value},
    transaction::{Change, Commit},
};

#[derive(Serialize, Deserialize)]
struct OrganizationRef {
    organization: OrganizationId,
}

/// What an operator sets of an organization; `None` leaves it as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct OrganizationSettings {
    /// Whether only those who may change the organization may make projects in it.
    pub disable_member_project_creation: Option<bool>,
    /// When commits resolve what they refer to.
    pub resolve_commits_on: Option<ResolveCommitsOn>,
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

    /// Stores a new organization.
    pub async fn create_organization(
        &self,
        organization: Organization,
    ) -> Result<Insert<Organization>, StoreError> {
        let guard = OrganizationRef {
            organization: organization.id,
        };
        let commit = self
            .transaction()
            .put_new(&keys::organization(organization.id), &organization)?
            .put_new(&keys::organization_slug(&organization.slug), &guard)?
            .commit()
            .await?;
        Ok(Insert::of(&commit, 1, organization))
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

    /// Sets the given settings of an organization. `Ok(None)`: there is no such organization.
    pub async fn set_organization(
        &self,
        id: OrganizationId,
        settings: &OrganizationSettings,
    ) -> Result<Option<Organization>, StoreError> {
        let mut sets = Vec::new();
        let mut change = Change {
            condition: format!("attribute_exists({PARTITION_KEY})"),
            ..Change::default()
        };
        if let Some(disable) = settings.disable_member_project_creation {
            sets.push("disable_member_project_creation = :disable");
            change.values.insert(":disable".into(), value(&disable)?);
        }
        if let Some(on) = settings.resolve_commits_on {
            sets.push("resolve_commits_on = :on");
            change.values.insert(":on".into(), value(&on)?);
        }
        if sets.is_empty() {
            return self.organization(id).await;
        }
        change.expression = format!("SET {}", sets.join(", "));
        let transaction = self.transaction().update(&keys::organization(id), change)?;
        match transaction.commit().await? {
            Commit::Done => self.organization(id).await,
            Commit::Refused(_) => Ok(None),
        }
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
            Some(found) => self.team(found.team).await,
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

    /// The team with this id.
    pub async fn team(&self, id: TeamId) -> Result<Option<Team>, StoreError> {
        self.get(&keys::team(id)).await
    }

    /// The teams of an organization, by slug.
    pub async fn teams_of(
        &self,
        organization: OrganizationId,
        skip: usize,
        limit: usize,
    ) -> Result<Page<Team>, StoreError> {
        let pk = keys::organization(organization).pk;
        let query = Query::prefix(&pk, keys::TEAM_SLUGS);
        let page: Page<TeamRef> = self.list(query, skip, limit).await?;
        let ids: Vec<_> = page.rows.iter().map(|row| row.team).collect();
        Ok(Page {
            rows: self.teams(organization, &ids).await?,
            more: page.more,
        })
    }

    /// Stores a new team, and puts a member, as they were seen, into it.
    pub async fn create_team(
        &self,
        team: Team,
        joining: Option<&Member>,
        audit: &AuditEntry,
    ) -> Result<Insert<Team>, StoreError> {
        let mut transaction = self
            .transaction()
            .put_new(&keys::team(team.id), &team)?
            .put_guard(
                &keys::team_slug(team.organization, &team.slug),
                &TeamRef { team: team.id },
            )?
            .audit(audit)?;
        if let Some(member) = joining {
            let mut teams = member.teams.clone();
            teams.push(team.id);
            let swap = Swap::of("teams", &member.teams, &teams)?;
            let key = keys::member(team.organization, member.user);
            transaction = transaction.swap(&key, vec![swap])?;
        }
        let commit = transaction.commit().await?;
        Ok(Insert::of(&commit, 1, team))
    }

    /// Commits what `decide` makes of a team: another name or slug. Decided again when the team was changed
    /// meanwhile; `None` leaves it as it is.
    pub async fn change_team(
        &self,
        id: TeamId,
        decide: impl Fn(&Team) -> Option<(Team, AuditEntry)>,
    ) -> Result<Changed<Team>, StoreError> {
        let item = keys::team(id);
        self.change(&item, decide, |transaction, seen: &Team, new| {
            let swaps = [
                Swap::of("slug", &seen.slug, &new.slug)?,
                Swap::of("name", &seen.name, &new.name)?,
            ];
            let transaction = transaction.swap(&item, swaps.into())?;
            if seen.slug == new.slug {
                return Ok(transaction);
            }
            let slug = |team: &Team| keys::team_slug(team.organization, &team.slug);
            transaction
                .put_guard(&slug(new), &TeamRef { team: id })?
                .delete(&slug(seen))
        })
        .await
    }
}
