//! Organizations and teams.

use domain::{
    AuditEntry, Member, Organization, OrganizationChange, OrganizationId, OrganizationSettings,
    Slug, Team, TeamId,
};
use futures_util::future::try_join;
use serde::{Deserialize, Serialize};

use crate::{
    change::{Changed, Swap},
    error::StoreError,
    keys::{self, Key},
    table::{ATTEMPTS, Insert, Page, Query, Store, step_aside},
    transaction::{Commit, Transaction},
};

#[derive(Serialize, Deserialize)]
struct OrganizationRef {
    organization: OrganizationId,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct TeamRef {
    pub(crate) team: TeamId,
}

/// All that may change of an organization.
fn swaps(seen: &Organization, new: &Organization) -> Result<Vec<Swap>, StoreError> {
    let (old, flags) = (&seen.flags, &new.flags);
    let later = |name, seen: &bool, new: &bool| Swap::later(name, seen, new);
    Ok(vec![
        Swap::of("slug", &seen.slug, &new.slug)?,
        Swap::of("name", &seen.name, &new.name)?,
        Swap::of("features", &seen.features, &new.features)?,
        Swap::later("status", &seen.status, &new.status)?,
        Swap::later("default_role", &seen.default_role, &new.default_role)?,
        Swap::later(
            "resolve_commits_on",
            &seen.resolve_commits_on,
            &new.resolve_commits_on,
        )?,
        Swap::later("avatar_type", &seen.avatar_type, &new.avatar_type)?,
        Swap::later("picture", &seen.picture, &new.picture)?,
        later(
            "allow_joinleave",
            &old.allow_joinleave,
            &flags.allow_joinleave,
        )?,
        later(
            "disable_shared_issues",
            &old.disable_shared_issues,
            &flags.disable_shared_issues,
        )?,
        later(
            "enhanced_privacy",
            &old.enhanced_privacy,
            &flags.enhanced_privacy,
        )?,
        later("early_adopter", &old.early_adopter, &flags.early_adopter)?,
        later("codecov_access", &old.codecov_access, &flags.codecov_access)?,
        later("require_2fa", &old.require_2fa, &flags.require_2fa)?,
        later(
            "disable_member_project_creation",
            &old.disable_member_project_creation,
            &flags.disable_member_project_creation,
        )?,
        later(
            "prevent_superuser_access",
            &old.prevent_superuser_access,
            &flags.prevent_superuser_access,
        )?,
        later(
            "disable_member_invite",
            &old.disable_member_invite,
            &flags.disable_member_invite,
        )?,
    ])
}

impl Transaction<'_> {
    /// Takes a slug, if it is free, and lets the one before lead to the organization.
    fn move_organization(
        self,
        seen: &Organization,
        new: &Organization,
    ) -> Result<Self, StoreError> {
        let organization = new.id;
        let reference = OrganizationRef { organization };
        let (old, taken) = (&seen.slug, &new.slug);
        self.put_guard(&keys::organization_slug(taken), &reference)?
            .delete(&keys::organization_slug(old))?
            .put(&keys::former_organization_slug(old), &reference)?
            .put(
                &keys::former_slug_of_organization(organization, old),
                &reference,
            )?
            .delete(&keys::former_organization_slug(taken))?
            .delete(&keys::former_slug_of_organization(organization, taken))
    }

    fn put_settings(
        self,
        key: &Key,
        seen: &OrganizationSettings,
        new: &OrganizationSettings,
    ) -> Result<Self, StoreError> {
        match seen.ver {
            0 => self.put_new(key, new),
            ver => self.put_over(key, new, "ver", &ver),
        }
    }
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

    /// What an organization has set; of one that has set nothing, nothing.
    pub async fn organization_settings(
        &self,
        id: OrganizationId,
    ) -> Result<OrganizationSettings, StoreError> {
        let found = self.get(&keys::organization_settings(id)).await?;
        Ok(found.unwrap_or_default())
    }

    /// The organization that once had this slug.
    pub async fn organization_by_former_slug(
        &self,
        slug: &Slug,
    ) -> Result<Option<Organization>, StoreError> {
        match self
            .get::<OrganizationRef>(&keys::former_organization_slug(slug))
            .await?
        {
            Some(found) => self.organization(found.organization).await,
            None => Ok(None),
        }
    }

    /// Commits what `decide` makes of an organization and its settings, with the line of the audit log that it
    /// gives. The old slug leads to the organization until another one takes it; a picture that another one replaces
    /// goes. Decided again when either was changed meanwhile; `None` leaves both as they are.
    pub async fn change_organization(
        &self,
        id: OrganizationId,
        decide: impl Fn(
            &Organization,
            &OrganizationSettings,
        ) -> Option<(OrganizationChange, Option<AuditEntry>)>,
    ) -> Result<Changed<(Organization, OrganizationSettings)>, StoreError> {
        let (item, of_settings) = (keys::organization(id), keys::organization_settings(id));
        for attempt in 0..ATTEMPTS {
            step_aside(attempt).await;
            let (seen, known) =
                try_join(self.organization(id), self.organization_settings(id)).await?;
            let Some(seen) = seen else {
                return Ok(Changed::Gone);
            };
            let Some((change, audit)) = decide(&seen, &known) else {
                return Ok(Changed::Done((seen, known)));
            };
            let new = &change.organization;
            let mut transaction = self.transaction();
            // First, so that it is known whether it was the name that was taken.
            if seen.slug != new.slug {
                transaction = transaction.move_organization(&seen, new)?;
            }
            transaction = transaction.swap(&item, swaps(&seen, new)?)?.put_settings(
                &of_settings,
                &known,
                &change.settings,
            )?;
            if change.restored {
                transaction = transaction.forget_deletion(id)?;
            }
            if let Some(audit) = &audit {
                transaction = transaction.audit(audit)?;
            }
            match transaction.commit().await? {
                Commit::Done => {
                    if let Some(replaced) = &seen.picture
                        && seen.picture != new.picture
                    {
                        // The change holds; what is left goes with the next upload.
                        let _ = self.forget_picture(id, replaced.id).await;
                    }
                    return Ok(Changed::Done((change.organization, change.settings)));
                }
                Commit::Refused(writes) if seen.slug != new.slug && writes.contains(&0) => {
                    return Ok(Changed::NameTaken);
                }
                Commit::Refused(_) => {}
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
