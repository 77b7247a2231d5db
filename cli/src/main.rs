//! `ambit`: the operator's hand and the local demo.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use ambit_cli::arguments::{Command, Demo};
use ambit_cli::mistyped::{self, Mistyped};
use ambit_cli::{demo, shop};

/// How a command line ends that cannot be read, as the parser has it.
const MISTYPED: u8 = 2;

fn main() -> ExitCode {
    // No thread may start before the demo's commands have moved into their world.
    let words: Vec<_> = std::env::args_os().collect();
    let arguments = match mistyped::read(&words) {
        Ok(arguments) => arguments,
        Err(Mistyped::Other(error)) => error.exit(),
        Err(error) => {
            complain(&error);
            return ExitCode::from(MISTYPED);
        }
    };
    let outcome = match arguments.command {
        Command::Demo(arguments) => run_demo(arguments),
        Command::Shop(arguments) => shop::run(arguments).map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| {
        complain(&format_args!("{error:#}"));
        ExitCode::FAILURE
    })
}

fn complain(error: &dyn Display) {
    // A closed standard error leaves nobody to tell.
    let _ = writeln!(std::io::stderr(), "ambit: {error}");
}

fn run_demo(arguments: demo::Arguments) -> anyhow::Result<ExitCode> {
    let place = demo::Place::choose(arguments.dir)?;
    match arguments.command {
        None => demo::show::run(&place, &arguments.options),
        Some(Demo::Exec { pod, command }) => demo::exec::run(&place, &pod, &command),
        Some(Demo::Status { json }) => demo::status::run(&place, json),
        Some(Demo::Logs { part, follow }) => demo::logs::run(&place, part.as_deref(), follow),
        Some(Demo::Down) => demo::down::run(&place),
        Some(Demo::Stage(options)) => demo::stage::run(place, &options),
        Some(Demo::Sweep) => demo::sweep::run(&place),
    }
}
