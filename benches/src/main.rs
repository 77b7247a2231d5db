//! `ambit-bench`: what the mesh costs.
#![allow(clippy::print_stderr)]

use std::process::ExitCode;

use ambit_benches::arguments::{Arguments, Command};
use ambit_benches::work::{load, server};
use clap::Parser;

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run(run) => ambit_benches::run::main(&run),
        Command::Serve { port } => {
            server::listen(port).and_then(|listener| server::serve(listener, server::Manners::Honest))
        }
        Command::Load { to, work } => {
            serde_json::from_str(&work).map_err(anyhow::Error::from).and_then(|work| load::run(to, work))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ambit-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
