//! The bootstrap of the `operator` function.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::main(operator::function)
}
