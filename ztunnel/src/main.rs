//! `ztunnel`: the L4 node proxy of Ambit. Configured by the environment variables of Istio's ztunnel.

use std::process::ExitCode;

use ambit_app::{Environment, limits};
use ambit_telemetry::log::{self, LogFormat, LogSettings};
use ambit_ztunnel::process::run;
use ambit_ztunnel::settings::settings;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            use std::io::Write;
            // Not through the log, which may be what failed; a closed standard error leaves nobody to tell.
            let _ = writeln!(std::io::stderr(), "ztunnel: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> anyhow::Result<()> {
    // Istio's manifests start it as `ztunnel proxy ztunnel`.
    if let Some(argument) = std::env::args().nth(1).filter(|argument| argument != "proxy") {
        use std::io::Write;
        let said = match argument.as_str() {
            "version" | "--version" | "-V" => concat!("ztunnel ", env!("CARGO_PKG_VERSION")),
            "help" | "--help" | "-h" => include_str!("help.txt").trim_end(),
            _ => anyhow::bail!(
                "unknown argument {argument:?}: ztunnel is configured by environment variables, see ztunnel --help"
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
