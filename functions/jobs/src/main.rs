//! The bootstrap of the `jobs` function.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::main(jobs::function)
}
