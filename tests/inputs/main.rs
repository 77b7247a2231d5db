//! Wrong inputs: each gives one clear line that names the thing and the remedy, and nothing unknown widens access.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod resources;
mod surroundings;

use std::process::ExitCode;

use ambit_tests::runner::{self, Test};

fn main() -> ExitCode {
    let tests: Vec<Test> = [resources::TESTS, surroundings::TESTS].concat();
    runner::main(&tests, &["a_bad_file_keeps_the_last_good_configuration"])
}
