//! `ambit-agent`: the node agent of Ambit.

use std::io::Write;
use std::process::ExitCode;

use ambit_agent::arguments::{Arguments, Command};
use ambit_agent::{check, cleanup, process};
use clap::Parser;

fn main() -> ExitCode {
    match start(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            // Not through the log, which may be what failed; a closed standard error leaves nobody to tell.
            let _ = writeln!(std::io::stderr(), "ambit-agent: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let mut output = std::io::stdout().lock();
    match (arguments.command, arguments.which) {
        (Some(Command::Cleanup(arguments)), _) => {
            let clean = cleanup::cleanup(&arguments, &mut output)?;
            Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        (Some(Command::Check(arguments)), _) => {
            let good = check::check(&arguments, &mut output)?;
            Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        (None, Some(which)) => {
            drop(output);
            process::start(which, arguments.controller, arguments.run)?;
            Ok(ExitCode::SUCCESS)
        }
        (None, None) => anyhow::bail!("--config and --node are needed; see --help"),
    }
}
