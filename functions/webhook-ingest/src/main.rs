//! The bootstrap of the `webhook-ingest` function.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::main(webhook_ingest::function)
}
