//! Projects.

use domain::{AlertRule, AuditEntry, ClientKey, OrganizationId, Project, ProjectId, Slug, TeamId};
use serde::{Deserialize, Serialize};

use crate::{
    change::{Changed, Swap},
    error::StoreError,
    keys,
    table::{Insert, Page, Query, Store, read},
    transaction::Transaction,
};

#[derive(Serialize, Deserialize)]
pub(crate) struct ProjectRef {
    pub(crate) project: ProjectId,
}

impl Transaction<'_> {
    /// Takes a project's slug, if it is free, and lists the project under it with its teams: the first of
    /// these writes is the one that a taken slug refuses.
    pub(crate) fn put_project_slug(self, project: &Project) -> Result<Self, StoreError> {
        let reference = ProjectRef {
            project: project.id,
        };
        let slug = keys::project_slug(project.organization, &project.slug);
        let guarded = self.put_guard(&slug, &reference)?;
        project.teams.iter().try_fold(guarded, |transaction, team| {
            transaction.put(&keys::team_project(*team, &project.slug), &reference)
        })
    }

    /// Gives a project's slug up, and takes the project from the lists of its teams.
    pub(crate) fn delete_project_slug(self, project: &Project) -> Result<Self, StoreError> {
        let slug = keys::project_slug(project.organization, &project.slug);
        let freed = self.delete(&slug)?;
        project.teams.iter().try_fold(freed, |transaction, team| {
            transaction.delete(&keys::team_project(*team, &project.slug))
        })
    }
}

impl Store {
    /// The project with this id, whatever its status.
    pub async fn project(&self, id: ProjectId) -> Result<Option<Project>, StoreError> {
        self.get(&keys::project(id)).await
    }

    /// The project with this slug, whatever its status.
    pub async fn project_by_slug(
        &self,
        organization: OrganizationId,
        slug: &Slug,
    ) -> Result<Option<Project>, StoreError> {
        match self
            .get::<ProjectRef>(&keys::project_slug(organization, slug))
            .await?
        {
            Some(found) => self.project(found.project).await,
            None => Ok(None),
        }
    }

    /// The projects with these ids, in their order, without those that are gone.
    pub async fn projects_by_id(&self, ids: &[ProjectId]) -> Result<Vec<Project>, StoreError> {
        self.get_list(ids.iter().map(|id| keys::project(*id)).collect())
            .await
    }

    /// The ids of the projects with these slugs, without those that do not exist.
    pub async fn project_ids(
        &self,
        organization: OrganizationId,
        slugs: &[Slug],
    ) -> Result<Vec<(Slug, ProjectId)>, StoreError> {
        let key = |slug: &Slug| keys::project_slug(organization, slug);
        let mut found = self.get_all(slugs.iter().map(key).collect()).await?;
        let mut ids = Vec::new();
        for slug in slugs {
            if let Some(item) = found.remove(&key(slug)) {
                let reference: ProjectRef = read(&key(slug), item)?;
                ids.push((slug.clone(), reference.project));
            }
        }
        Ok(ids)
    }

    /// The projects of an organization, by slug, whatever their status.
    pub async fn projects(
        &self,
        organization: OrganizationId,
        skip: usize,
        limit: usize,
    ) -> Result<Page<Project>, StoreError> {
        let pk = keys::organization(organization).pk;
        self.projects_under(&pk, skip, limit).await
    }

    async fn projects_under(
        &self,
        pk: &str,
        skip: usize,
        limit: usize,
    ) -> Result<Page<Project>, StoreError> {
        let query = Query::prefix(pk, keys::PROJECT_SLUGS);
        let page: Page<ProjectRef> = self.list(query, skip, limit).await?;
        let keys = page
            .rows
            .iter()
            .map(|row| keys::project(row.project))
            .collect();
        let rows = self.get_list(keys).await?;
        Ok(Page {
            rows,
            more: page.more,
        })
    }

    /// Stores a new project with its first key, and its first alert rule if it is to have one.
    pub async fn create_project(
        &self,
        project: Project,
        key: &ClientKey,
        rule: Option<&AlertRule>,
        audit: &AuditEntry,
    ) -> Result<Insert<Project>, StoreError> {
        let transaction = self
            .transaction()
            .put_new(&keys::project(project.id), &project)?
            .put_project_slug(&project)?
            .put_client_key(key)?
            .audit(audit)?;
        let transaction = match rule {
            Some(rule) => transaction.put(&keys::alert_rule(project.id, rule.id), rule)?,
            None => transaction,
        };
        let commit = transaction.commit().await?;
        Ok(Insert::of(&commit, 1, project))
    }

    /// The alert rules of a project, the oldest first.
    pub async fn alert_rules(
        &self,
        project: ProjectId,
        skip: usize,
        limit: usize,
    ) -> Result<Page<AlertRule>, StoreError> {
        let pk = keys::project(project).pk;
        self.list(Query::prefix(&pk, keys::ALERT_RULES), skip, limit)
            .await
    }

    /// Commits what `decide` makes of a project: another name, platform or slug. The old slug leads to the
    /// project until another project takes it. Decided again when the project was changed meanwhile;
    /// `None` leaves it as it is.
    pub async fn change_project(
        &self,
        id: ProjectId,
        decide: impl Fn(&Project) -> Option<(Project, AuditEntry)>,
    ) -> Result<Changed<Project>, StoreError> {
        let item = keys::project(id);
        self.change(&item, decide, |transaction, seen: &Project, new| {
            let swaps = [
                Swap::of("slug", &seen.slug, &new.slug)?,
                Swap::of("name", &seen.name, &new.name)?,
                Swap::of("platform", &seen.platform, &new.platform)?,
            ];
            let transaction = transaction.swap(&item, swaps.into())?;
            if seen.slug == new.slug {
                return Ok(transaction);
            }
            let former = |slug| keys::former_project_slug(new.organization, slug);
            transaction
                .put_project_slug(new)?
                .delete_project_slug(seen)?
                .put(&former(&seen.slug), &ProjectRef { project: id })?
                .put(
                    &keys::former_slug_of(id, &seen.slug),
                    &ProjectRef { project: id },
                )?
                .delete(&former(&new.slug))?
                .delete(&keys::former_slug_of(id, &new.slug))
        })
        .await
    }

    /// The project that once had this slug, whatever its status.
    pub async fn project_by_former_slug(
        &self,
        organization: OrganizationId,
        slug: &Slug,
    ) -> Result<Option<Project>, StoreError> {
        match self
            .get::<ProjectRef>(&keys::former_project_slug(organization, slug))
            .await?
        {
            Some(found) => self.project(found.project).await,
            None => Ok(None),
        }
    }

    /// The project that has this slug, or had it before.
    pub(crate) async fn project_named(
        &self,
        organization: OrganizationId,
        slug: &Slug,
    ) -> Result<Option<ProjectId>, StoreError> {
        let now = keys::project_slug(organization, slug);
        let found = match self.get::<ProjectRef>(&now).await? {
            Some(found) => Some(found),
            None => {
                self.get(&keys::former_project_slug(organization, slug))
                    .await?
            }
        };
        Ok(found.map(|found: ProjectRef| found.project))
    }

    /// The projects of a team, by slug.
    pub async fn projects_of_team(
        &self,
        team: TeamId,
        skip: usize,
        limit: usize,
    ) -> Result<Page<Project>, StoreError> {
        self.projects_under(&keys::team(team).pk, skip, limit).await
    }
}
