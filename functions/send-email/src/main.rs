//! The bootstrap of the `send-email` function.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::main(send_email::function)
}
