//! Parts that die, come late, leave or are replaced, while traffic flows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod coming;
mod pods;
mod processes;
mod replaced;
mod rotation;
mod rules;

use std::process::ExitCode;

use ambit_tests::runner::{self, Test};

fn main() -> ExitCode {
    let tests: Vec<Test> =
        [coming::TESTS, pods::TESTS, processes::TESTS, replaced::TESTS, rotation::TESTS, rules::TESTS]
            .concat();
    runner::main(&tests, &["f01_the_controller_is_killed"])
}
