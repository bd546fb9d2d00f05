//! A queue function that panics on one message of a batch: built and deployed like the bundle's own, it
//! shows that the deployed profile unwinds and that the other messages of the batch are handled.
//!
//! It reads `Deassign` messages. Version 2 panics; every other is handled by doing nothing.

use std::process::ExitCode;

use domain::{Message, Queue};
use runtime::{Env, Function, StartError};

fn main() -> ExitCode {
    runtime::main(function)
}

async fn function(_: Env) -> Result<Function, StartError> {
    Ok(Function::queue(Queue::Deassign, async |delivery| {
        match delivery.envelope.message {
            Message::Deassign(message) => {
                assert_ne!(message.seen_version, 2, "as the test wants it");
            }
            Message::SyncIssue(_)
            | Message::PushAssignee(_)
            | Message::PushStatus(_)
            | Message::LinkGroups(_)
            | Message::ResolveGroups(_)
            | Message::DeleteRelease(_)
            | Message::ClearExpiredResolutions(_)
            | Message::DrainUpdates(_)
            | Message::FetchCommits(_)
            | Message::RecordDeploys(_)
            | Message::DeleteProject(_)
            | Message::DeleteOrganization(_)
            | Message::ClearOwnerCaches(_)
            | Message::SendEmail(_)
            | Message::NotifyDeploy(_)
            | Message::SweepDeletions(_) => {}
        }
        Ok(())
    }))
}
