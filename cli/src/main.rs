//! `ambit`: the operator's hand and the local demo.

use std::process::ExitCode;

use ambit_cli::arguments::{Arguments, Command, Demo};
use ambit_cli::{demo, shop};
use clap::Parser;

fn main() -> ExitCode {
    // No thread may start before the demo's commands have moved into their world.
    let outcome = match Arguments::parse().command {
        Command::Demo(arguments) => run_demo(arguments),
        Command::Shop(arguments) => shop::run(arguments).map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| {
        use std::io::Write;
        // A closed standard error leaves nobody to tell.
        let _ = writeln!(std::io::stderr(), "ambit: {error:#}");
        ExitCode::FAILURE
    })
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
