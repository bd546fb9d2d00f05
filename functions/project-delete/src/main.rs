//! The bootstrap of the `project-delete` function.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::main(project_delete::function)
}
