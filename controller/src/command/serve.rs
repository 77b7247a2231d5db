//! `controller`: serves until it is told to end.

use std::process::ExitCode;
use std::time::Duration;

use ambit_app::{Shutdown, limits};
use ambit_identity::Clock;
use ambit_telemetry::log::{self, LogControl, LogSettings};

use super::Outcome;
use super::arguments::ServeArguments;
use crate::keys::Permissions;
use crate::run::Surroundings;
use crate::{Controller, MeshSettings, Settings, StartError};

/// How long calls in progress may take at the end.
const GRACE: Duration = Duration::from_secs(5);

pub(super) fn run(arguments: Option<ServeArguments>) -> Outcome {
    // Without a subcommand the arguments are required, so they are there.
    let arguments = arguments.ok_or("no arguments; see controller --help")?;
    let log = LogSettings {
        format: arguments.log_format,
        directives: arguments.log_level.clone(),
        ..LogSettings::default()
    };
    let (control, _guard) = log::init(&log, std::io::stdout())?;
    // Both are hardening that a sandbox may forbid: the controller works without.
    for error in [limits::raise_open_files().err(), limits::seal_memory().err()].into_iter().flatten() {
        tracing::warn!("{error}");
    }
    ambit_app::control(serve(settings(arguments), control))??;
    Ok(ExitCode::SUCCESS)
}

fn settings(arguments: ServeArguments) -> Settings {
    Settings {
        config: arguments.config,
        state: arguments.state,
        listen: arguments.listen,
        server_names: arguments.server_name,
        mesh: MeshSettings {
            trust_domain: arguments.trust_domain,
            cluster_id: arguments.cluster_id,
            cluster_domain: arguments.cluster_domain,
            network: arguments.network,
            root_namespace: arguments.root_namespace,
        },
        keys: Permissions { networks: arguments.jwks_allow_network, http: arguments.jwks_allow_http },
        max_certificate_lifetime: arguments.max_certificate_lifetime,
        admin: arguments.admin.0,
        clock: Clock::system(),
    }
}

async fn serve(settings: Settings, log: LogControl) -> Result<(), StartError> {
    let mut shutdown = Shutdown::install()?;
    let around = Surroundings { log: Some(log), trigger: Some(shutdown.trigger()) };
    let controller = Controller::start(settings, around).await?;
    for address in controller.listening() {
        tracing::info!(%address, "listening for nodes: configuration and certificates over TLS");
    }
    if let Some(address) = controller.admin() {
        tracing::info!(%address, "admin server listening");
    }
    let cause = shutdown.requested().await;
    tracing::info!(%cause, "shutting down");
    let drained = shutdown.drain(controller.drain(), GRACE).await;
    tracing::info!(?drained, "bye");
    Ok(())
}
