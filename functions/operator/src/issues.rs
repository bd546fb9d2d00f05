//! Issues and their links to trackers.

use domain::{ExternalKey, Fault, IntegrationId, Level, Link, Provider, Version};
use serde::Deserialize;
use serde_json::{Value, json};
use store::{Linked, MOST_LINKS, NewGroup};

use crate::{
    Context,
    fields::{bounded, integration, issue, organization, project, unknown},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateIssue {
    organization: String,
    project: String,
    title: String,
    culprit: Option<String>,
    #[serde(default)]
    level: Level,
    platform: Option<String>,
    fingerprint: Option<String>,
    release: Option<Version>,
}

pub(crate) async fn create(context: &Context, new: CreateIssue) -> Result<Value, Fault> {
    let title = bounded("title", &new.title, 256)?;
    let short = |field, text: &Option<String>, most| {
        text.as_deref()
            .map(|text| bounded(field, text, most))
            .transpose()
    };
    let organization = organization(context, &new.organization).await?;
    let project = project(context, organization.id, &new.project).await?;
    let first_release = match &new.release {
        None => None,
        Some(version) => {
            let release = context.store.release(organization.id, version).await?;
            let unknown = || Fault::field("release", format!("There is no release \"{version}\"."));
            Some(release.ok_or_else(unknown)?.id)
        }
    };
    let group = NewGroup {
        first_release,
        culprit: short("culprit", &new.culprit, 200)?,
        level: new.level,
        platform: short("platform", &new.platform, 64)?.or_else(|| project.platform.clone()),
        fingerprint: short("fingerprint", &new.fingerprint, 512)?.unwrap_or_else(|| title.clone()),
        title,
    };
    let saved = context
        .store
        .create_group(&project, &group, context.clock.now())
        .await?;
    let group = &saved.entity.group;
    Ok(json!({
        "created": saved.created,
        "issue": { "id": group.id, "short_id": group.short_id(&project.slug), "title": group.title },
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkExternalIssue {
    organization: String,
    issue: String,
    integration: IntegrationId,
    key: ExternalKey,
}

pub(crate) async fn link(context: &Context, link: LinkExternalIssue) -> Result<Value, Fault> {
    let organization = organization(context, &link.organization).await?;
    let view = issue(context, organization.id, &link.issue).await?;
    let project = context.store.project(view.state.project).await?;
    let project = project.ok_or_else(|| unknown("issue", &link.issue))?;
    let integration = integration(context, organization.id, link.integration).await?;
    check_key(integration.provider, &link.key)?;
    let target = Link {
        integration: integration.id,
        external_issue: link.key.clone(),
    };
    let linked = context
        .store
        .link_external_issue(&view.state, &target)
        .await?;
    if linked == Linked::TooMany {
        let text = format!("The issue has {MOST_LINKS} links, and can have no more.");
        return Err(Fault::field("issue", text));
    }
    Ok(json!({
        "created": linked == Linked::New,
        "link": {
            "issue": view.group.short_id(&project.slug), "integration": integration.id,
            "provider": integration.provider.as_str(), "key": link.key,
        },
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClearOwnerCaches {
    organization: String,
    project: String,
}

pub(crate) async fn clear_owner_caches(
    context: &Context,
    clear: ClearOwnerCaches,
) -> Result<Value, Fault> {
    let organization = organization(context, &clear.organization).await?;
    let project = project(context, organization.id, &clear.project).await?;
    let (store, now) = (&context.store, context.clock.now());
    let cleared = context.caches.clear_project(store, project.id, now).await?;
    Ok(json!({ "project": project.slug, "issues": cleared }))
}

/// A key of another form than the tracker's would never be found.
fn check_key(provider: Provider, key: &ExternalKey) -> Result<(), Fault> {
    match provider {
        Provider::Vsts => match key.as_str().parse::<u32>() {
            Ok(number) if number > 0 && number.to_string() == key.as_str() => Ok(()),
            Ok(_) | Err(_) => Err(Fault::field(
                "key",
                "A work item's key is its number, like 31.",
            )),
        },
        Provider::JiraServer => {
            let parts = key.as_str().rsplit_once('-');
            let legal = |(project, number): (&str, &str)| {
                let mut letters = project.bytes();
                letters.next().is_some_and(|b| b.is_ascii_uppercase())
                    && letters.all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
                    && number.parse::<u64>().is_ok_and(|n| n.to_string() == number)
            };
            match parts.is_some_and(legal) {
                true => Ok(()),
                false => Err(Fault::field(
                    "key",
                    "A Jira issue's key is its project and its number, like WEB-7.",
                )),
            }
        }
    }
}
