//! Projects.

use domain::{OrganizationId, Project, ProjectId, Slug};
use serde::{Deserialize, Serialize};

use crate::{
    error::StoreError,
    keys,
    table::{Page, Query, Store},
    transaction::Commit,
};

#[derive(Serialize, Deserialize)]
struct ProjectRef {
    project: ProjectId,
}

impl Store {
    /// The project with this id.
    pub async fn project(&self, id: ProjectId) -> Result<Option<Project>, StoreError> {
        self.get(&keys::project(id)).await
    }

    /// The project with this slug.
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

    /// The projects of an organization, by slug.
    pub async fn projects(
        &self,
        organization: OrganizationId,
        skip: usize,
        limit: usize,
    ) -> Result<Page<Project>, StoreError> {
        let pk = keys::organization(organization).pk;
        let query = Query::prefix(&pk, keys::PROJECT_SLUGS);
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

    /// Stores a project under a fresh id. `false`: the id or the slug is taken.
    pub async fn create_project(&self, project: &Project) -> Result<bool, StoreError> {
        let guard = ProjectRef {
            project: project.id,
        };
        let commit = self
            .transaction()
            .put_new(&keys::project(project.id), project)?
            .put_new(
                &keys::project_slug(project.organization, &project.slug),
                &guard,
            )?
            .commit()
            .await?;
        Ok(commit == Commit::Done)
    }
}
