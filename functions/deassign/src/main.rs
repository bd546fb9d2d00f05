//! The bootstrap of the `deassign` function.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::main(deassign::function)
}
