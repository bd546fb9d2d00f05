//! Organizations, people, teams, members and projects.

use domain::{
    AuditActor, AuditEvent, ClientKey, Fault, NewProject, Organization, OrganizationId,
    ProjectFacts, ProjectId, Role, Slug, SnowflakeModel, Team, TeamId, names,
};
use serde::Deserialize;
use serde_json::{Value, json};
use store::{Insert, NewMember, UserFields};

use crate::{
    Context,
    fields::{bounded, email, name, organization, team},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateOrganization {
    slug: Slug,
    name: String,
}

pub(crate) async fn create(context: &Context, new: CreateOrganization) -> Result<Value, Fault> {
    let name = name("name", &new.name)?;
    let now = context.clock.now();
    let (slug, name) = (&new.slug, &name);
    let find = || context.store.organization_by_slug(slug);
    let make = move |id| async move {
        let organization = Organization {
            id: OrganizationId::new(id).map_err(|e| Fault::Poison(e.to_string()))?,
            slug: slug.clone(),
            name: name.clone(),
            features: Vec::new(),
            created: now,
        };
        let made = context.store.create_organization(&organization).await?;
        Ok(made.then_some(organization))
    };
    let saved = context
        .sequences
        .find_or_make(SnowflakeModel::Organization, now, find, make)
        .await?;
    let organization = &saved.entity;
    Ok(json!({
        "created": saved.created,
        "organization": {
            "id": organization.id, "slug": organization.slug, "name": organization.name,
        },
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateUser {
    email: String,
    name: String,
    username: Option<String>,
    verified: Option<bool>,
    active: Option<bool>,
}

pub(crate) async fn create_user(context: &Context, new: CreateUser) -> Result<Value, Fault> {
    let email = email(&new.email)?;
    let fields = UserFields {
        name: name("name", &new.name)?,
        username: new
            .username
            .map(|text| bounded("username", &text, 128))
            .transpose()?,
        email,
        verified: new.verified,
        active: new.active,
    };
    let saved = context.store.put_user(&fields, context.clock.now()).await?;
    let user = &saved.entity;
    Ok(json!({
        "created": saved.created,
        "user": {
            "id": user.id, "email": user.email, "name": user.name, "username": user.username,
            "verified": user.verified, "active": user.active,
        },
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateTeam {
    organization: String,
    slug: Slug,
    name: String,
}

pub(crate) async fn create_team(context: &Context, new: CreateTeam) -> Result<Value, Fault> {
    let name = name("name", &new.name)?;
    let organization = organization(context, &new.organization).await?;
    let now = context.clock.now();
    let (organization, slug, name) = (organization.id, &new.slug, &name);
    let find = || context.store.team_by_slug(organization, slug);
    let make = move |id| async move {
        let team = Team {
            id: TeamId::new(id).map_err(|e| Fault::Poison(e.to_string()))?,
            organization,
            slug: slug.clone(),
            name: name.clone(),
            created: now,
        };
        let made = context.store.create_team(&team).await?;
        Ok(made.then_some(team))
    };
    let saved = context
        .sequences
        .find_or_make(SnowflakeModel::Team, now, find, make)
        .await?;
    let team = &saved.entity;
    Ok(json!({
        "created": saved.created,
        "team": { "id": team.id, "slug": team.slug, "name": team.name },
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddMember {
    organization: String,
    email: String,
    role: Option<Role>,
    teams: Option<Vec<Slug>>,
}

pub(crate) async fn add_member(context: &Context, new: AddMember) -> Result<Value, Fault> {
    let organization = organization(context, &new.organization).await?;
    let user = context.store.user_by_email(&email(&new.email)?).await?;
    let user = user.ok_or_else(|| Fault::field("email", "There is no user with this address."))?;
    let teams = match &new.teams {
        None => None,
        Some(slugs) => {
            let mut teams = Vec::with_capacity(slugs.len());
            for slug in slugs {
                teams.push(team(context, organization.id, "teams", slug).await?.id);
            }
            Some(teams)
        }
    };
    let member = NewMember {
        user: user.id,
        role: new.role,
        teams,
    };
    let saved = context
        .store
        .put_member(organization.id, &member, context.clock.now())
        .await?;
    let member = &saved.entity;
    Ok(json!({
        "created": saved.created,
        "member": {
            "id": member.id, "user": member.user, "role": member.role.as_str(), "teams": member.teams,
        },
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateProject {
    organization: String,
    team: Slug,
    slug: Slug,
    name: String,
    platform: Option<String>,
}

pub(crate) async fn create_project(context: &Context, new: CreateProject) -> Result<Value, Fault> {
    let name = bounded("name", &new.name, names::MAX_PROJECT_NAME)?;
    let platform = new
        .platform
        .as_deref()
        .map(|text| bounded("platform", text, 64))
        .transpose()?;
    let organization = organization(context, &new.organization).await?;
    let team = team(context, organization.id, "team", &new.team).await?;
    let now = context.clock.now();
    let (organization, slug) = (organization.id, &new.slug);
    let fields = NewProject {
        organization,
        name,
        platform,
        team: team.id,
        created: now,
    };
    let fields = &fields;
    let find = || context.store.project_by_slug(organization, slug);
    let make = move |id| async move {
        let id = ProjectId::new(id).map_err(|e| Fault::Poison(e.to_string()))?;
        let project = fields.project(id, slug.clone());
        let owner = (organization, id);
        let key = ClientKey::new(owner, ClientKey::DEFAULT_LABEL, rand::random(), now);
        let event = AuditEvent::ProjectCreate(ProjectFacts::of(&project));
        let audit = event.by(AuditActor::Operator, organization, now, rand::random());
        match context.store.create_project(project, &key, &audit).await? {
            Insert::Made(project) => Ok(Some(project)),
            Insert::IdTaken | Insert::NameTaken => Ok(None),
        }
    };
    let saved = context
        .sequences
        .find_or_make(SnowflakeModel::Project, now, find, make)
        .await?;
    let project = &saved.entity;
    Ok(json!({
        "created": saved.created,
        "project": {
            "id": project.id, "slug": project.slug, "name": project.name,
            "platform": project.platform, "teams": project.teams,
        },
    }))
}
