//! Organizations, people, teams and members.

use domain::{
    AuditActor, AuditEvent, Fault, Member, MemberFacts, Organization, OrganizationFlag,
    OrganizationId, OrganizationSettings, OrganizationUpdate, ResolveCommitsOn, Role, Slug, Team,
    TeamFacts, TeamId, names, organization_slug,
};
use serde::Deserialize;
use serde_json::{Value, json};
use store::{Changed, NewMember, Removed, UserFields};

use crate::{
    Context,
    fields::{bounded, email, name, organization, team, unknown, unknown_user},
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
    let slug = organization_slug(new.slug.as_str());
    let slug = &slug.map_err(|message| Fault::field("slug", message))?;
    let name = &name;
    let find = || context.store.organization_by_slug(slug);
    let insert = move |id: OrganizationId| async move {
        let organization = Organization::new(id, slug.clone(), name, now);
        Ok(context.store.create_organization(organization).await?)
    };
    let saved = context.sequences.find_or_save(now, find, insert).await?;
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
    self_assign_issue: Option<bool>,
}

pub(crate) async fn create_user(context: &Context, new: CreateUser) -> Result<Value, Fault> {
    let email = email(&new.email)?;
    let fields = UserFields {
        name: name("name", &new.name)?,
        username: new
            .username
            .map(|text| bounded("username", &text, names::MAX_USERNAME))
            .transpose()?,
        email,
        verified: new.verified,
        active: new.active,
        self_assign_issue: new.self_assign_issue,
    };
    let saved = context.store.put_user(&fields, context.clock.now()).await?;
    let user = &saved.entity;
    Ok(json!({
        "created": saved.created,
        "user": {
            "id": user.id, "email": user.email, "name": user.name, "username": user.username,
            "verified": user.verified, "active": user.active,
            "self_assign_issue": user.self_assign_issue,
        },
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VerifyEmail {
    email: String,
    verified: Option<bool>,
}

pub(crate) async fn verify_email(context: &Context, new: VerifyEmail) -> Result<Value, Fault> {
    let verified = new.verified.unwrap_or(true);
    let email = email(&new.email)?;
    let user = context.store.verify_email(&email, verified).await?;
    let user = user.ok_or_else(unknown_user)?;
    Ok(json!({
        "user": { "id": user.id, "email": user.email, "verified": user.verified },
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetOrganization {
    organization: String,
    member_project_creation: Option<bool>,
    resolve_commits_on: Option<ResolveCommitsOn>,
}

pub(crate) async fn set(context: &Context, new: SetOrganization) -> Result<Value, Fault> {
    let found = organization(context, &new.organization).await?;
    let allows = OrganizationFlag::named("allowMemberProjectCreation");
    let update = OrganizationUpdate {
        flags: allows
            .zip(new.member_project_creation)
            .into_iter()
            .collect(),
        resolve_commits_on: new.resolve_commits_on,
        ..OrganizationUpdate::default()
    };
    let changed = change(context, &found, &update).await?;
    Ok(json!({
        "organization": {
            "id": changed.id, "slug": changed.slug,
            "member_project_creation": !changed.flags.disable_member_project_creation,
            "resolve_commits_on": changed.resolve_commits_on.as_str(),
        },
    }))
}

/// Changes an organization as the API does, with a line in its audit log.
pub(crate) async fn change(
    context: &Context,
    found: &Organization,
    update: &OrganizationUpdate,
) -> Result<Organization, Fault> {
    let now = context.clock.now();
    let decide = |seen: &Organization, settings: &OrganizationSettings| {
        let change = update.apply(seen, settings, now)?;
        let audit =
            |event: AuditEvent| event.by(AuditActor::Operator, seen.id, now, rand::random());
        let audit = change.event().map(audit);
        Some((change, audit))
    };
    match context.store.change_organization(found.id, decide).await? {
        Changed::Done((organization, _)) => Ok(organization),
        Changed::Gone | Changed::NameTaken => Err(unknown("organization", found.slug.as_str())),
    }
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
    let insert = move |id: TeamId| async move {
        let team = Team {
            id,
            organization,
            slug: slug.clone(),
            name: name.clone(),
            created: now,
        };
        let event = AuditEvent::TeamCreate(TeamFacts::of(&team));
        let audit = event.by(AuditActor::Operator, organization, now, rand::random());
        Ok(context.store.create_team(team, None, &audit).await?)
    };
    let saved = context.sequences.find_or_save(now, find, insert).await?;
    let team = &saved.entity;
    Ok(json!({
        "created": saved.created,
        "team": { "id": team.id, "slug": team.slug, "name": team.name },
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetRole {
    organization: String,
    email: String,
    role: Role,
}

/// Of somebody who is a member already: a slip in the address adds nobody.
pub(crate) async fn set_role(context: &Context, new: SetRole) -> Result<Value, Fault> {
    let organization = organization(context, &new.organization).await?;
    let user = context.store.user_by_email(&email(&new.email)?).await?;
    let user = user.ok_or_else(unknown_user)?;
    let now = context.clock.now();
    let decide = |seen: &Member| {
        let changed = Member {
            role: new.role,
            ..seen.clone()
        };
        let event = AuditEvent::MemberEdit(MemberFacts::of(&changed));
        let audit = || event.by(AuditActor::Operator, organization.id, now, rand::random());
        (changed != *seen).then(|| (changed, audit()))
    };
    let changed = context
        .store
        .change_member(organization.id, user.id, decide);
    match changed.await? {
        Changed::Done(member) => Ok(json!({ "member": shown(&member) })),
        Changed::Gone | Changed::NameTaken => {
            let text = "There is no member with this address.";
            Err(Fault::field("email", text))
        }
    }
}

fn shown(member: &Member) -> Value {
    json!({
        "id": member.id, "user": member.user, "role": member.role.as_str(), "teams": member.teams,
    })
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
    let user = user.ok_or_else(unknown_user)?;
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
        .put_member(
            organization.id,
            &member,
            &AuditActor::Operator,
            context.clock.now(),
        )
        .await?;
    Ok(json!({ "created": saved.created, "member": shown(&saved.entity) }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RemoveMember {
    organization: String,
    email: String,
}

pub(crate) async fn remove_member(context: &Context, gone: RemoveMember) -> Result<Value, Fault> {
    let organization = organization(context, &gone.organization).await?;
    let user = context.store.user_by_email(&email(&gone.email)?).await?;
    let user = user.ok_or_else(unknown_user)?;
    let (actor, now) = (AuditActor::Operator, context.clock.now());
    let store = &context.store;
    let removed = store.remove_member(organization.id, user.id, &actor, now);
    match removed.await? {
        Removed::Done(member) => Ok(json!({ "removed": true, "member": shown(&member) })),
        Removed::Absent => Ok(json!({ "removed": false, "member": null })),
        Removed::LastOwner => {
            let text = "This is the last owner. Make somebody else an owner with set-role first.";
            Err(Fault::field("email", text))
        }
    }
}
