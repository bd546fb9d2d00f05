//! Organizations: their projects first, each by a deletion of its own, then what is left of them.

use domain::{
    AuditActor, AuditEvent, DeleteOrganization, DeletedRows, Deletion, DeletionStatus, Fault,
    OrganizationStatus, Project, ProjectFacts, ProjectRemoval, ProjectStatus, Slug, TraceId,
};
use store::{NewDeletion, deletion_stages};
use tracing::Span;

use crate::{Context, batch, is_about, noted};

/// How many projects one batch gives up.
const PROJECTS: usize = 25;
/// How many deletions are looked at together.
const PAGE: usize = 100;

pub(crate) async fn delete(
    context: &Context,
    message: DeleteOrganization,
    trace: &TraceId,
) -> Result<(), Fault> {
    Span::current().record("org.id", message.organization.number());
    let store = &context.store;
    let (found, organization) = store.deleting_organization(message.organization).await?;
    let Some(mut deletion) = found.filter(|it| is_about(it, message.step)) else {
        tracing::info!(step = message.step, "this batch is done already");
        return Ok(());
    };
    let Some(organization) = organization else {
        return Ok(store.drop_deletion(&deletion).await?);
    };
    match organization.status {
        OrganizationStatus::Active => {
            tracing::info!("the organization is not to be deleted any more");
            Ok(store.drop_deletion(&deletion).await?)
        }
        OrganizationStatus::PendingDeletion => {
            let now = context.clock.now();
            let begun = deletion.begin(0, &deletion_stages(deletion.of), now);
            Ok(store.begin_deletion(&deletion, &begun, trace, now).await?)
        }
        OrganizationStatus::DeletionInProgress => {
            // It may have got another one while it waited; now it keeps this one.
            deletion.slug = organization.slug;
            let done = batch(context, &deletion, trace).await;
            noted(context, &deletion, done).await
        }
    }
}

/// Asks for the deletion of projects that are not given up yet, and waits until none is left.
pub(crate) async fn give_up_projects(
    context: &Context,
    deletion: &Deletion,
    trace: &TraceId,
) -> Result<DeletedRows, Fault> {
    let (store, organization) = (&context.store, deletion.of.organization);
    let page = store.projects(organization, 0, PROJECTS).await?;
    let mut asked = 0;
    // A list may lag behind: what is on its way out already is left alone.
    let here = |it: &&Project| matches!(it.status, ProjectStatus::Active | ProjectStatus::Disabled);
    for project in page.rows.iter().filter(here) {
        asked += u64::from(give_up(context, deletion, project, trace).await?);
    }
    Ok(DeletedRows {
        done: asked,
        deleted: asked,
        groups: Vec::new(),
        cursor: None,
        more: page.more,
        waits: !page.more && (any_left(context, deletion, trace).await? || asked > 0),
    })
}

async fn give_up(
    context: &Context,
    deletion: &Deletion,
    project: &Project,
    trace: &TraceId,
) -> Result<bool, Fault> {
    let now = context.clock.now();
    let new = Deletion::requested(project, deletion.actor, now, now, rand::random());
    let event = AuditEvent::ProjectRemove(ProjectRemoval {
        project: ProjectFacts::of(project),
        transaction_id: new.guid.clone(),
        origin: None,
    });
    let actor = deletion
        .actor
        .map_or(AuditActor::Operator, AuditActor::User);
    let audit = event.by(actor, deletion.of.organization, now, rand::random());
    let new = NewDeletion {
        project,
        deletion: &new,
        hidden: Slug::hidden(rand::random()),
        audit: &audit,
    };
    Ok(context.store.request_deletion(new, trace, now).await?)
}

/// Whether a project of the organization is still being deleted. What was to begin later begins now: nobody
/// can undo it without the organization.
async fn any_left(context: &Context, deletion: &Deletion, trace: &TraceId) -> Result<bool, Fault> {
    let (store, organization) = (&context.store, deletion.of.organization);
    let (mut left, mut skip) = (false, 0);
    loop {
        let page = store.deletions(organization, skip, PAGE).await?;
        for row in page
            .rows
            .iter()
            .filter(|it| it.status != DeletionStatus::Finished)
        {
            left = true;
            let now = context.clock.now();
            if row.status == DeletionStatus::Pending && row.due > now {
                store.send_deletion_again(row, trace, now).await?;
            }
        }
        if !page.more {
            return Ok(left);
        }
        skip += PAGE;
    }
}
