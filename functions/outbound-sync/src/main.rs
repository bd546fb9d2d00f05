//! The bootstrap of the `outbound-sync` function.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::main(outbound_sync::function)
}
