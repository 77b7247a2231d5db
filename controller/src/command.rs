//! The command line: what it accepts, and what each command does.

mod arguments;
mod serve;
mod token;

use std::process::ExitCode;

use ambit_kubernetes::Kind;
use clap::Parser;

use crate::check::{self, Configuration};
use arguments::{Arguments, CheckArguments, Command};

/// Runs the command of this process. Exit codes: 0 done, 1 failed with one line on standard error, 2 wrong usage.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Some(Command::Token(token)) => token::run(&token),
        Some(Command::Check(check)) => validate(&check),
        None => serve::run(arguments.serve),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

type Outcome = Result<ExitCode, Box<dyn std::error::Error>>;

fn validate(arguments: &CheckArguments) -> Outcome {
    crate::source::Source::open(&arguments.config)?;
    match check::read(&mut check::files(&arguments.config)) {
        Ok(configuration) => {
            for warning in configuration.warnings() {
                say(&format!("warning: {warning}"));
            }
            let mesh = crate::MeshSettings::default();
            let index = crate::index::build(configuration.objects(), &Default::default(), &mesh);
            for note in index.notes().iter() {
                say(&format!("warning: {note}"));
            }
            say(&summary(&configuration));
            Ok(ExitCode::SUCCESS)
        }
        Err(problems) => {
            for problem in &problems {
                complain(&problem.to_string());
            }
            Ok(ExitCode::FAILURE)
        }
    }
}

/// How many objects there are of each kind.
fn summary(configuration: &Configuration) -> String {
    let count = |kind: Kind| {
        let count = configuration.objects().filter(|object| object.kind() == kind).count();
        (count > 0).then(|| format!("{count} {kind}"))
    };
    let kinds: Vec<String> = Kind::ALL.iter().copied().filter_map(count).collect();
    if kinds.is_empty() { "valid: no objects".to_owned() } else { format!("valid: {}", kinds.join(", ")) }
}

/// A line of result.
fn say(line: &str) {
    use std::io::Write;
    // A reader that went away has read enough.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A line of trouble, or of what is good to know beside the result.
fn complain(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}
