//! The control plane's program.

use std::process::ExitCode;

fn main() -> ExitCode {
    ambit_controller::command::main()
}
