//! Projects and their client keys.

use domain::{
    AlertRule, AuditActor, AuditEvent, ClientKey, Fault, INVALID_PLATFORM, KeyFacts, NewProject,
    ProjectFacts, ProjectId, Slug, is_platform, names,
};
use serde::Deserialize;
use serde_json::{Value, json};
use store::Insert;

use crate::{
    Context,
    fields::{bounded, name, organization, project, team},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateProject {
    organization: String,
    team: Slug,
    slug: Slug,
    name: String,
    platform: Option<String>,
}

pub(crate) async fn create(context: &Context, new: CreateProject) -> Result<Value, Fault> {
    let name = bounded("name", &new.name, names::MAX_PROJECT_NAME)?;
    if new.platform.as_ref().is_some_and(|text| !is_platform(text)) {
        return Err(Fault::field("platform", INVALID_PLATFORM));
    }
    let organization = organization(context, &new.organization).await?;
    let team = team(context, organization.id, "team", &new.team).await?;
    let now = context.clock.now();
    let (organization, slug) = (organization.id, &new.slug);
    let fields = NewProject {
        organization,
        name,
        platform: new.platform,
        team: team.id,
        created: now,
    };
    let fields = &fields;
    let find = || context.store.project_by_slug(organization, slug);
    let insert = move |id: ProjectId| async move {
        let project = fields.project(id, slug.clone());
        let owner = (organization, id);
        let key = ClientKey::new(owner, ClientKey::DEFAULT_LABEL, rand::random(), now);
        let event = AuditEvent::ProjectCreate(ProjectFacts::of(&project));
        let audit = event.by(AuditActor::Operator, organization, now, rand::random());
        let rule = AlertRule::first(id, now, rand::random());
        let inserted = context
            .store
            .create_project(project, &key, Some(&rule), &audit);
        Ok(inserted.await?)
    };
    let saved = context.sequences.find_or_save(now, find, insert).await?;
    let project = &saved.entity;
    let key = usable_key(context, project.id).await?;
    Ok(json!({
        "created": saved.created,
        "project": {
            "id": project.id, "slug": project.slug, "name": project.name,
            "platform": project.platform, "teams": project.teams,
        },
        "dsn": key.map(|key| key.dsn(&context.ingest_url)),
    }))
}

/// The oldest key that lets events in: others that are made later do not change what is shown.
async fn usable_key(context: &Context, project: ProjectId) -> Result<Option<ClientKey>, Fault> {
    let keys = context.store.all_client_keys(project).await?;
    let active = keys.into_iter().filter(|key| key.active);
    Ok(active.min_by_key(|key| key.created))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateKey {
    organization: String,
    project: String,
    name: String,
}

pub(crate) async fn create_key(context: &Context, new: CreateKey) -> Result<Value, Fault> {
    let label = name("name", &new.name)?;
    let organization = organization(context, &new.organization).await?;
    let project = project(context, organization.id, &new.project).await?;
    let keys = context.store.all_client_keys(project.id).await?;
    if let Some(found) = keys.into_iter().find(|key| key.label == label) {
        return Ok(shown(context, false, &found));
    }
    let owner = (organization.id, project.id);
    let now = context.clock.now();
    let key = ClientKey::new(owner, label, rand::random(), now);
    let event = AuditEvent::ProjectKeyCreate(KeyFacts::of(&key));
    let audit = event.by(AuditActor::Operator, organization.id, now, rand::random());
    match context.store.create_client_key(key, &audit).await? {
        Insert::Made(key) => Ok(shown(context, true, &key)),
        // Of 128 random bits.
        Insert::IdTaken | Insert::NameTaken => {
            Err(Fault::Retry("a client key was drawn twice".into()))
        }
    }
}

fn shown(context: &Context, created: bool, key: &ClientKey) -> Value {
    json!({
        "created": created,
        "key": { "id": key.public_key, "name": key.label, "active": key.active },
        "dsn": key.dsn(&context.ingest_url),
    })
}
