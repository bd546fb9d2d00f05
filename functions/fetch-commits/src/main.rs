//! The bootstrap of the `fetch-commits` function.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::main(fetch_commits::function)
}
