//! A proxy as a program: what it says on the command line, how it starts, and how it ends.

use std::io::{self, Write};
use std::process::ExitCode;

use ambit_telemetry::log::{self, LogControl, LogFormat, LogSettings};

use crate::settings::{Environment, SettingsError};
use crate::{control, limits};

/// A program that is configured by environment variables alone.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// What it is called, as in its messages.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// What `--help` answers: every setting.
    pub help: &'static str,
}

impl Program {
    /// Reads the settings, starts the log, and serves on the control thread until it is over. What goes wrong is told on
    /// standard error.
    pub fn start<S, F>(
        self,
        settings: impl FnOnce(Environment) -> Result<S, SettingsError>,
        serve: impl FnOnce(S, LogControl) -> F,
    ) -> ExitCode
    where
        F: Future<Output = anyhow::Result<()>>,
    {
        match self.attempt(settings, serve) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                // Not through the log, which may be what failed; a closed standard error leaves nobody to tell.
                let _ = writeln!(io::stderr(), "{}: {error:#}", self.name);
                ExitCode::FAILURE
            }
        }
    }

    fn attempt<S, F>(
        self,
        settings: impl FnOnce(Environment) -> Result<S, SettingsError>,
        serve: impl FnOnce(S, LogControl) -> F,
    ) -> anyhow::Result<()>
    where
        F: Future<Output = anyhow::Result<()>>,
    {
        // Istio's manifests start a proxy as `proxy ROLE ...`.
        if let Some(argument) = std::env::args().nth(1).filter(|argument| argument != "proxy") {
            return self.answer(&argument);
        }
        let mut environment = Environment::from_process();
        let format =
            environment.parsed("LOG_FORMAT", "plain or json", str::parse::<LogFormat>).unwrap_or_default();
        let directives = environment.text("RUST_LOG", "info");
        let settings = settings(environment)?;
        let (log, _guard) =
            log::init(&LogSettings { format, directives, ..LogSettings::default() }, io::stdout())?;
        // The process holds keys. Neither limit is worth refusing to start in a sandbox that forbids changing it.
        for limited in [limits::raise_open_files().map(drop), limits::seal_memory()] {
            if let Err(error) = limited {
                tracing::warn!("{error}");
            }
        }
        control(serve(settings, log))?
    }

    fn answer(self, argument: &str) -> anyhow::Result<()> {
        let Self { name, version, help } = self;
        match argument {
            "version" | "--version" | "-V" => writeln!(io::stdout(), "{name} {version}")?,
            "help" | "--help" | "-h" => writeln!(io::stdout(), "{}", help.trim_end())?,
            _ => anyhow::bail!(
                "unknown argument {argument:?}: {name} is configured by environment variables, see {name} --help"
            ),
        }
        Ok(())
    }
}
