//! The bootstrap of the `outbox-relay` function.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::main(outbox_relay::function)
}
