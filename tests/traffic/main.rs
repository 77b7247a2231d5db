//! Traffic through the whole path: real programs, sockets, namespaces and certificates.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod ends;
mod gateway;
mod idle;
mod one_node;
mod policies;
mod requests;
mod services;
mod volume;
mod waypoint;
mod waypoint_policies;
mod waypoint_routes;

use std::process::ExitCode;

use ambit_tests::runner::{self, Test};

fn main() -> ExitCode {
    let tests: Vec<Test> = [
        volume::TESTS,
        requests::TESTS,
        ends::TESTS,
        services::TESTS,
        policies::TESTS,
        one_node::TESTS,
        idle::TESTS,
        waypoint::TESTS,
        waypoint_policies::TESTS,
        waypoint_routes::TESTS,
        gateway::TESTS,
    ]
    .concat();
    runner::main(&tests, &["http_across_nodes_and_on_one"])
}
