//! `ztunnel`: the L4 node proxy of Ambit. Configured by the environment variables of Istio's ztunnel.

use std::process::ExitCode;

use ambit_app::Program;
use ambit_ztunnel::process::run;
use ambit_ztunnel::settings::settings;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let program =
        Program { name: "ztunnel", version: env!("CARGO_PKG_VERSION"), help: include_str!("help.txt") };
    program.start(settings, run)
}
