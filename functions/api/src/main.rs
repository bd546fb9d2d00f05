//! The bootstrap of the `api` function.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::main(api::function)
}
