//! The bootstrap of the `issue-sync` function.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::main(issue_sync::function)
}
