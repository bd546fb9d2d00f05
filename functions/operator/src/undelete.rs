//! Projects that were deleted by mistake.

use domain::{
    AuditActor, AuditEvent, Deletion, DeletionRef, DeletionStatus, Fault, OrganizationId, Project,
    ProjectEdit, ProjectFacts, ProjectStatus, Slug,
};
use serde::Deserialize;
use serde_json::{Value, json};
use store::Undone;

use crate::{
    Context,
    fields::{organization, project},
};

/// How many deletions are looked at together for one of a slug.
const PAGE: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UndeleteProject {
    organization: String,
    project: String,
    slug: Option<Slug>,
}

pub(crate) async fn undelete(context: &Context, wanted: UndeleteProject) -> Result<Value, Fault> {
    let organization = organization(context, &wanted.organization).await?.id;
    let late = "It is being deleted, or is gone: there is nothing to give back.";
    let too_late = || Fault::field("project", late);
    let found = find(context, organization, &wanted.project).await?;
    let pending = |deletion: &Deletion| deletion.status == DeletionStatus::Pending;
    let Some(deletion) = found.clone().filter(pending) else {
        return match project(context, organization, &wanted.project).await {
            Ok(active) => Ok(answer(&active, false)),
            Err(Fault::Client(_)) if found.is_some() => Err(too_late()),
            Err(fault) => Err(fault),
        };
    };
    let hidden = match deletion.of.project {
        Some(project) => context.store.project(project).await?,
        None => None,
    };
    let pending = |project: &Project| project.status == ProjectStatus::PendingDeletion;
    let hidden = hidden.filter(pending).ok_or_else(too_late)?;
    let restored = Project {
        status: ProjectStatus::Active,
        slug: wanted.slug.unwrap_or_else(|| deletion.slug.clone()),
        ..hidden.clone()
    };
    let edit = ProjectEdit {
        project: ProjectFacts::of(&restored),
        old_slug: None,
        old_name: None,
    };
    let now = context.clock.now();
    let event = AuditEvent::ProjectEdit(edit);
    let audit = event.by(AuditActor::Operator, organization, now, rand::random());
    let undone = context
        .store
        .undo_deletion(&deletion, &hidden, &restored, &audit);
    match undone.await? {
        Undone::Done => Ok(answer(&restored, true)),
        Undone::SlugTaken => {
            let text = format!("Another project has the slug \"{}\".", restored.slug);
            Err(Fault::field("slug", text))
        }
        Undone::TooLate => Err(too_late()),
    }
}

fn answer(project: &Project, restored: bool) -> Value {
    json!({
        "restored": restored,
        "project": { "id": project.id, "slug": project.slug, "name": project.name },
    })
}

/// The deletion of the project with this id, or of the last one that had this slug: one that can be undone
/// before any other.
async fn find(
    context: &Context,
    organization: OrganizationId,
    text: &str,
) -> Result<Option<Deletion>, Fault> {
    if let Ok(id) = text.parse() {
        let of = DeletionRef {
            organization,
            project: Some(id),
        };
        return Ok(context.store.deletion(of).await?);
    }
    let (mut skip, mut found) = (0, None::<Deletion>);
    loop {
        let page = context.store.deletions(organization, skip, PAGE).await?;
        for deletion in page.rows {
            let named = deletion.slug.as_str() == text;
            let rank = |it: &Deletion| (it.status == DeletionStatus::Pending, it.requested);
            let better = found.as_ref().is_none_or(|it| rank(it) < rank(&deletion));
            if named && better {
                found = Some(deletion);
            }
        }
        if !page.more {
            return Ok(found);
        }
        skip += PAGE;
    }
}
