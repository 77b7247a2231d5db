//! Attacks on the whole path, by the ids of the threat model: each must fail, and say why.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod authority;
mod certificates;
mod configuration;
mod connect;
mod tokens;

use std::process::ExitCode;

use ambit_tests::runner::{self, Test};

fn main() -> ExitCode {
    let tests: Vec<Test> =
        [certificates::TESTS, connect::TESTS, authority::TESTS, tokens::TESTS, configuration::TESTS].concat();
    runner::main(&tests, &["a05_connect_reaches_only_the_pods_own_ports"])
}
