//! `waypoint`: the L7 proxy of Ambit. Configured by environment variables, with the names of Istio's where they mean the
//! same.

use std::process::ExitCode;

use ambit_app::Program;
use ambit_waypoint::process::run;
use ambit_waypoint::settings::settings;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let program =
        Program { name: "waypoint", version: env!("CARGO_PKG_VERSION"), help: include_str!("help.txt") };
    program.start(settings, run)
}
