//! `project-delete`: deletes a project, or an organization with all its projects, and all that belongs to it, batch
//! by batch.
//!
//! A message is about one batch. What has been reached is kept in the deletion's record, together with the
//! message for the next batch, in one transaction; so a crash repeats one batch at most, and a message that
//! comes again or late finds the record further on and does nothing. The project is looked at before
//! each batch: one that was restored is left alone.

mod organization;

use std::sync::Arc;

use domain::{
    DeleteProject, Deletion, DeletionStatus, Fault, Message, Next, ProjectStatus, QUIET, Queue,
    TraceId,
};
use runtime::{Clock, Delivery, Env, Function, StartError};
use store::{Budget, Deleting, PROJECTS_STAGE, Store, deletion_stages};
use tracing::Span;

/// What this function may touch.
#[derive(Debug)]
pub struct Context {
    store: Store,
    clock: Clock,
}

/// Builds the function from its environment.
pub async fn function(env: Env) -> Result<Function, StartError> {
    let mut reader = env.reader();
    let aws = reader.aws();
    let store = Store::new(&aws.service("DYNAMODB"), reader.text("TABLE_NAME"));
    let context = Arc::new(Context {
        store,
        clock: reader.clock(),
    });
    reader.finish()?;
    env.connect(aws.open("DYNAMODB")).await;
    Ok(Function::queue(Queue::ProjectDelete, move |delivery| {
        let context = context.clone();
        async move { handle(&context, delivery).await }
    }))
}

/// Handles one message.
pub async fn handle(context: &Context, delivery: Delivery) -> Result<(), Fault> {
    let (message, trace) = (delivery.envelope.message, delivery.envelope.trace);
    match message {
        Message::DeleteProject(message) => project(context, message, &trace).await,
        Message::DeleteOrganization(message) => {
            organization::delete(context, message, &trace).await
        }
        other @ (Message::SyncIssue(_)
        | Message::Deassign(_)
        | Message::PushAssignee(_)
        | Message::PushStatus(_)
        | Message::LinkGroups(_)
        | Message::ResolveGroups(_)
        | Message::DeleteRelease(_)
        | Message::ClearExpiredResolutions(_)
        | Message::DrainUpdates(_)
        | Message::SweepDeletions(_)
        | Message::FetchCommits(_)
        | Message::RecordDeploys(_)
        | Message::SendEmail(_)
        | Message::NotifyDeploy(_)
        | Message::ClearOwnerCaches(_)) => {
            let name = other.name();
            Err(Fault::Poison(format!("{name} is not for project-delete")))
        }
    }
}

async fn project(context: &Context, message: DeleteProject, trace: &TraceId) -> Result<(), Fault> {
    Span::current().record("org.id", message.organization.number());
    let found = context
        .store
        .deleting(message.organization, message.project)
        .await?;
    let Some(deletion) = found
        .deletion
        .clone()
        .filter(|it| is_about(it, message.step))
    else {
        tracing::info!(step = message.step, "this batch is done already");
        return Ok(());
    };
    match found.project.as_ref().map(|project| project.status) {
        None | Some(ProjectStatus::Active | ProjectStatus::Disabled) => {
            tracing::info!("the project is not to be deleted any more");
            Ok(context.store.drop_deletion(&deletion).await?)
        }
        Some(ProjectStatus::PendingDeletion) => begin(context, &found, &deletion, trace).await,
        Some(ProjectStatus::DeletionInProgress) => {
            let done = batch(context, &deletion, trace).await;
            noted(context, &deletion, done).await
        }
    }
}

fn is_about(deletion: &Deletion, step: u64) -> bool {
    deletion.status != DeletionStatus::Finished && deletion.step == step
}

/// Keeps why a batch did not succeed.
async fn noted(
    context: &Context,
    deletion: &Deletion,
    done: Result<(), Fault>,
) -> Result<(), Fault> {
    if let Err(fault) = &done {
        // The reason itself is for the log; that it could not be noted does not matter.
        let _ = context.store.note_failure(deletion, in_words(fault)).await;
    }
    done
}

/// From here on it cannot be undone.
async fn begin(
    context: &Context,
    found: &Deleting,
    deletion: &Deletion,
    trace: &TraceId,
) -> Result<(), Fault> {
    let now = context.clock.now();
    let begun = deletion.begin(found.groups, &deletion_stages(deletion.of), now);
    let begin = context.store.begin_deletion(deletion, &begun, trace, now);
    Ok(begin.await?)
}

async fn batch(context: &Context, deletion: &Deletion, trace: &TraceId) -> Result<(), Fault> {
    let (store, stages) = (&context.store, deletion_stages(deletion.of));
    let (mut budget, mut work) = (Budget::default(), deletion.clone());
    let mut groups = Vec::new();
    let now = context.clock.now();
    let next = loop {
        let mut rows = match work.stage == PROJECTS_STAGE {
            true => organization::give_up_projects(context, &work, trace).await?,
            false => store.delete_rows(&work, &mut budget, trace, now).await?,
        };
        let deleted = rows.deleted;
        groups.append(&mut rows.groups);
        match work.note(rows, &stages) {
            // Stages with nothing to delete do not count.
            Next::Rows if deleted == 0 && !budget.is_spent() => {}
            next @ (Next::Rows | Next::Wait | Next::Pass | Next::End) => break next,
        }
    };
    let now = context.clock.now();
    let work = work.touched(now);
    tracing::info!(
        stage = work.stage,
        pass = work.pass,
        percent = work.progress(),
        "a batch is deleted"
    );
    match next {
        Next::Rows => {
            store
                .keep_deletion(deletion, &work, groups, trace, now, now)
                .await?
        }
        Next::Wait | Next::Pass => {
            let later = now.plus(QUIET);
            store
                .keep_deletion(deletion, &work, groups, trace, now, later)
                .await?;
        }
        Next::End => store.finish_deletion(deletion, &work, trace, now).await?,
    }
    Ok(())
}

/// What people are told who ask how far it has come.
fn in_words(fault: &Fault) -> &'static str {
    match fault {
        Fault::Retry(_) => "The table did not answer. It is tried again.",
        Fault::Client(_) | Fault::Poison(_) => "An item cannot be deleted. The log says which.",
    }
}
