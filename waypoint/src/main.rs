//! `waypoint`: the L7 proxy of Ambit. Configured by environment variables, with the names of Istio's where they mean the
//! same.

use std::process::ExitCode;

use ambit_app::{Environment, limits};
use ambit_telemetry::log::{self, LogFormat, LogSettings};
use ambit_waypoint::process::run;
use ambit_waypoint::settings::settings;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            use std::io::Write;
            // Not through the log, which may be what failed; a closed standard error leaves nobody to tell.
            let _ = writeln!(std::io::stderr(), "waypoint: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> anyhow::Result<()> {
    // Istio's manifests start a waypoint as `proxy waypoint ...`.
    if let Some(argument) = std::env::args().nth(1).filter(|argument| argument != "proxy") {
        use std::io::Write;
        let said = match argument.as_str() {
            "version" | "--version" | "-V" => concat!("waypoint ", env!("CARGO_PKG_VERSION")),
            "help" | "--help" | "-h" => include_str!("help.txt").trim_end(),
            _ => anyhow::bail!(
                "unknown argument {argument:?}: waypoint is configured by environment variables, see waypoint --help"
            ),
        };
        writeln!(std::io::stdout(), "{said}")?;
        return Ok(());
    }
    let mut environment = Environment::from_process();
    let format =
        environment.parsed("LOG_FORMAT", "plain or json", str::parse::<LogFormat>).unwrap_or_default();
    let directives = environment.text("RUST_LOG", "info");
    let settings = settings(environment)?;
    let (control, _guard) =
        log::init(&LogSettings { format, directives, ..LogSettings::default() }, std::io::stdout())?;
    // The process holds keys. Neither limit is worth refusing to start in a sandbox that forbids changing it.
    for limited in [limits::raise_open_files().map(drop), limits::seal_memory()] {
        if let Err(error) = limited {
            tracing::warn!("{error}");
        }
    }
    ambit_app::control(run(settings, control))?
}
