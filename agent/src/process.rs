//! The process: starts the parts in order, runs until it is told to end. Rules stay in place then.

use std::io;
use std::path::Path;
use std::sync::Arc;

use ambit_app::{Environment, Readiness, Shutdown, admin, limits};
use ambit_telemetry::log::{self, LogControl, LogFormat, LogSettings};
use ambit_telemetry::metrics::Registry as Metered;
use ambit_transport::drain;
use ambit_transport::listen::{ListenOptions, tcp_listener};
use ambit_zds::registry::Registry;
use ambit_zds::server::{Permissions, Server};
use tokio::sync::{Notify, watch};

use crate::arguments::{Controller, Run, Which};
use crate::controller::Reporter;
use crate::history;
use crate::one_per_node::OnePerNode;
use crate::operators::{self, Metrics, PodRow};
use crate::reconcile::{self, Means, Pendings, ToController};
use crate::redirect::Redirect;
use crate::source::{self, Sourced};
use crate::threads::Threads;
use crate::zds_path;

/// Threads for what happens inside pods.
const THREADS: usize = 8;

/// Runs the agent until SIGTERM or SIGINT.
///
/// # Errors
/// A part cannot start; one line that says what to do.
pub fn start(which: Which, controller: Controller, run: Run) -> anyhow::Result<()> {
    let mut environment = Environment::from_process();
    let format =
        environment.parsed("LOG_FORMAT", "plain or json", str::parse::<LogFormat>).unwrap_or_default();
    let directives = environment.text("RUST_LOG", "info");
    environment.finish()?;
    let (control, _guard) =
        log::init(&LogSettings { format, directives, ..LogSettings::default() }, io::stdout())?;
    if let Err(error) = limits::raise_open_files() {
        tracing::warn!("{error}");
    }
    ambit_app::control(serve(&which, &controller, &run, control))?
}

async fn serve(which: &Which, controller: &Controller, run: &Run, log: LogControl) -> anyhow::Result<()> {
    let mut shutdown = Shutdown::install()?;
    source::readable(&which.config)?;
    let _alone = OnePerNode::take(&which.node)?;
    let reporter = Reporter::new(controller, &which.node)?;
    let redirect = Redirect::new(which.rules.0, false)?;
    zds_path::prepare(&run.zds)?;
    let server = Server::bind(&run.zds, Permissions::default())?;
    let redirect = mindful_of_history(redirect, &run.zds);
    let operators = Operators::start(run, log)?;
    tracing::info!(
        node = which.node.as_str(),
        rules = %redirect.backend(),
        zds = %run.zds.display(),
        "agent started"
    );
    if reporter.is_none() {
        tracing::info!(
            "no --controller: captured pods must carry the annotation ambient.istio.io/redirection: enabled"
        );
    }

    let (sourced, pods) = watch::channel(Sourced::default());
    let look = Arc::new(Notify::new());
    tokio::spawn(source::follow(which.config.clone(), which.node.clone(), sourced, look.clone()));
    let means = Means {
        source: pods,
        look,
        redirect,
        threads: Threads::start(THREADS)?,
        registry: Registry::new(),
        controller: reporter.map(tell_controller),
        repair_interval: run.repair_interval,
        rows: operators.rows,
        metrics: operators.metrics,
        pending: operators.pending,
    };
    tokio::select! {
        cause = shutdown.requested() => {
            tracing::info!("stopped by {cause}: rules stay in place, so no pod is opened; `ambit-agent cleanup` removes them");
            Ok(())
        }
        error = reconcile::run(means, server) => Err(error),
    }
}

/// An earlier agent may have used another renderer.
fn mindful_of_history(redirect: Redirect, zds: &Path) -> Redirect {
    match history::note(zds, redirect.backend()) {
        Ok(false) => redirect,
        Ok(true) => redirect.thorough(),
        Err(error) => {
            let zds = zds.display();
            tracing::warn!("cannot note the renderer beside {zds} ({error}): make its directory writable");
            redirect.thorough()
        }
    }
}

/// What operators see, and the ends to keep it true.
struct Operators {
    rows: watch::Sender<Arc<Vec<PodRow>>>,
    metrics: Metrics,
    pending: Pendings,
    /// Dropped, the admin server stops.
    _drain: drain::Drain,
}

impl Operators {
    fn start(run: &Run, log: LogControl) -> anyhow::Result<Self> {
        let readiness = Readiness::new();
        let pending = Pendings {
            configuration: Some(readiness.register("a valid configuration directory")),
            zds: Some(readiness.register("the ZDS socket")),
            pods: Some(readiness.register("every enrolled pod accepted by ztunnel, or explained")),
        };
        let metered = Metered::new("ambit-agent", env!("CARGO_PKG_VERSION"));
        log.register(&metered);
        let (rows, shown) = watch::channel(Arc::default());
        let metrics = Metrics::register(&metered);
        let (drain, watched) = drain::channel();
        if let Some(address) = run.admin.0 {
            let listener = tcp_listener(address, &ListenOptions::default())?;
            let mut routes = operators::routes(readiness, metered);
            if address.ip().is_loopback() {
                routes = operators::private_routes(routes, shown, log);
            } else {
                tracing::info!(
                    "--admin {address} is not on localhost: only readiness and metrics are served"
                );
            }
            tokio::spawn(admin::serve(listener, Arc::new(routes), watched));
        }
        Ok(Self { rows, metrics, pending, _drain: drain })
    }
}

fn tell_controller(reporter: Reporter) -> ToController {
    let (captured, list) = watch::channel(None);
    let (last, told) = watch::channel(None);
    tokio::spawn(reporter.run(list, last));
    ToController { captured, told }
}
