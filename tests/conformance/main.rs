//! The request tables of the Gateway API conformance suite, for the mesh, HTTPRoute and GRPCRoute, against a real waypoint:
//! resources as users write them, read and converted by the controller, requests from a pod through its ztunnel.
//!
//! A test is named as in the suite; manifests and tables are our own words for the same facts. Tests of HTTPRoute and
//! GRPCRoute have a Service as parent where the suite has a Gateway. `skipped.rs` lists those that are not here, and why.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod backends;
mod filters;
mod grpc;
mod matching;
mod mesh;
mod redirects;
mod request;
mod skipped;
mod stage;
mod traffic;

use std::process::ExitCode;

use ambit_tests::runner::{self, Test};

fn main() -> ExitCode {
    let tests: Vec<Test> = [
        mesh::TESTS,
        matching::TESTS,
        filters::TESTS,
        redirects::TESTS,
        backends::TESTS,
        traffic::TESTS,
        grpc::TESTS,
        skipped::TESTS,
    ]
    .concat();
    runner::main(&tests, &[])
}
