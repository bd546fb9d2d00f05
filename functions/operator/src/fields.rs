//! What the fields of commands hold: texts within their limits, and names of what is there. Each error
//! names its field.

use domain::{
    Email, Fault, Integration, IntegrationId, Organization, OrganizationId, OrganizationStatus,
    Project, Slug, Team, names,
};
use store::GroupView;

use crate::Context;

/// Demands a name that is not blank and not longer than people's names get.
pub(crate) fn name(field: &str, text: &str) -> Result<String, Fault> {
    bounded(field, text, names::MAX_NAME)
}

/// Demands a text that is not blank and not longer than `most` characters.
pub(crate) fn bounded(field: &str, text: &str, most: usize) -> Result<String, Fault> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Fault::field(field, "This field may not be blank."));
    }
    if text.chars().count() > most {
        let message = format!("Ensure this field has no more than {most} characters.");
        return Err(Fault::field(field, message));
    }
    Ok(text.to_owned())
}

/// Demands a bare e-mail address.
pub(crate) fn email(text: &str) -> Result<Email, Fault> {
    text.parse()
        .map_err(|message: &str| Fault::field("email", message))
}

/// There is nobody to whom an address leads.
pub(crate) fn unknown_user() -> Fault {
    Fault::field("email", "There is no user with this address.")
}

/// A field names something that is not there.
pub(crate) fn unknown(field: &str, name: &str) -> Fault {
    Fault::field(field, format!("There is no {field} \"{name}\"."))
}

/// The organization that a field names by slug or id.
pub(crate) async fn organization(context: &Context, name: &str) -> Result<Organization, Fault> {
    let found = match name.parse() {
        Ok(id) => context.store.organization(id).await?,
        Err(_) => match name.parse() {
            Ok(slug) => context.store.organization_by_slug(&slug).await?,
            Err(_) => None,
        },
    };
    let there = |it: &Organization| it.status != OrganizationStatus::DeletionInProgress;
    found
        .filter(there)
        .ok_or_else(|| unknown("organization", name))
}

/// The team that a field names by slug.
pub(crate) async fn team(
    context: &Context,
    organization: OrganizationId,
    field: &str,
    slug: &Slug,
) -> Result<Team, Fault> {
    let found = context.store.team_by_slug(organization, slug).await?;
    found.ok_or_else(|| Fault::field(field, format!("There is no team \"{slug}\".")))
}

/// The project that a field names by slug or id.
pub(crate) async fn project(
    context: &Context,
    organization: OrganizationId,
    text: &str,
) -> Result<Project, Fault> {
    let found = match text.parse() {
        Ok(id) => context.store.project(id).await?,
        Err(_) => match text.parse() {
            Ok(slug) => context.store.project_by_slug(organization, &slug).await?,
            Err(_) => None,
        },
    };
    let ours = |project: &Project| project.organization == organization && project.is_active();
    let found = found.filter(ours);
    found.ok_or_else(|| unknown("project", text))
}

/// The integration that a field names by id, if it serves the organization.
pub(crate) async fn integration(
    context: &Context,
    organization: OrganizationId,
    id: IntegrationId,
) -> Result<Integration, Fault> {
    let missing = || unknown("integration", &id.to_string());
    let attached = context
        .store
        .attached_organization(id, organization)
        .await?;
    attached.ok_or_else(missing)?;
    context.store.integration(id).await?.ok_or_else(missing)
}

/// The issue that a field names by short id or id.
pub(crate) async fn issue(
    context: &Context,
    organization: OrganizationId,
    text: &str,
) -> Result<GroupView, Fault> {
    let missing = || unknown("issue", text);
    let id = match text.parse() {
        Ok(id) => Some(id),
        Err(_) => {
            let short_id = text.parse().map_err(|_| missing())?;
            context
                .store
                .group_by_short_id(organization, &short_id)
                .await?
        }
    };
    let view = context.store.group(id.ok_or_else(missing)?).await?;
    view.filter(|view| view.state.organization == organization)
        .ok_or_else(missing)
}
