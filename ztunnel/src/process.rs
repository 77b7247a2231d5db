//! The process: starts the parts in order, waits for the end, drains.

use std::sync::Arc;
use std::time::Duration;

use ambit_app::certificate_metrics::CertificateMetrics;
use ambit_app::{Load, Operators, Readiness, Shutdown, Workers};
use ambit_identity::certificates::CertificatesSettings;
use ambit_identity::{AuthorityClient, Certificates};
use ambit_telemetry::log::LogControl;
use ambit_telemetry::metrics::{Registry, WorkloadManagerMetrics, XdsMetrics};
use ambit_telemetry::traffic::{Traffic, TrafficLimits};
use ambit_transport::drain;
use ambit_xds::client::Update;
use ambit_xds::{Configuration, Kind, Node, Writer, configuration};
use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::watch;

use crate::admin::Sources;
use crate::capture::Capture;
use crate::network::Namespaces;
use crate::pods::Pods;
use crate::proxy::{Proxy, buffers};
use crate::settings::Settings;
use crate::stale::close_stale;

/// How long the last bytes of what was carried may take on their way into the tunnels.
const LAST_BYTES: Duration = Duration::from_secs(1);

/// Runs ztunnel on the control thread until it has drained.
///
/// # Errors
/// A part could not start, or a worker panicked; one line that says what to do.
pub async fn run(settings: Settings, log: LogControl) -> anyhow::Result<()> {
    let settings = Arc::new(settings);
    let mut shutdown = Shutdown::install()?;
    let (drain, leaving) = drain::channel();
    let readiness = Readiness::new();
    let registry = Registry::new("ztunnel", env!("CARGO_PKG_VERSION"));
    log.register(&registry);
    let traffic = Traffic::register(&registry, TrafficLimits::default());

    let (writer, configuration) = configuration(&settings.node);
    let authority = AuthorityClient::new(settings.ca.channel(&settings.token, &settings.cluster)?);
    let lifetime = settings.certificate_lifetime;
    let certificates = Certificates::new(
        Arc::new(authority),
        CertificatesSettings { lifetime, ..CertificatesSettings::default() },
    );
    let workers = Arc::new(Workers::start(settings.workers, "worker", |_| async {})?);
    registry.register(CertificateMetrics(certificates.clone()));
    let load = Load::new(workers.count());
    let proxies = start_proxies(&settings, &configuration, &certificates, &traffic, &workers, &load);

    let (pod_states, pods_seen) = watch::channel(Vec::new());
    let sources = Sources {
        settings: settings.clone(),
        configuration: configuration.clone(),
        certificates: certificates.clone(),
        pods: pods_seen,
        connections: proxies.iter().map(|proxy| proxy.connections.clone()).collect(),
    };
    let operators = Operators {
        registry: registry.clone(),
        readiness: readiness.clone(),
        log,
        trigger: shutdown.trigger(),
    };
    let (_admin_drain, admin_watch) = drain::channel();
    let dump = move || sources.dump();
    operators.serve(settings.ports, settings.ipv6, dump, &admin_watch)?;

    let configured = readiness.register("configuration from the controller");
    let handed_over = readiness.register("pods from the node agent");
    let synced = follow_controller(&settings, writer, XdsMetrics::register(&registry))?;
    let metrics = WorkloadManagerMetrics::register(&registry);
    let ends = leaving.clone();
    let leaving_last = proxies.clone();
    let capture = Capture::new(workers.clone(), proxies, load);
    if let Some(pods) = Pods::new(capture, metrics, readiness, leaving) {
        let agent = ambit_zds::client::Client::new(&settings.agent_socket);
        tokio::spawn(async move {
            if configured.complete(synced, ends).await {
                pods.follow(agent, handed_over, pod_states).await;
            }
        });
    }
    tracing::info!(
        node = settings.node,
        workers = settings.workers,
        controller = settings.xds.address,
        "ztunnel started"
    );
    tokio::select! {
        cause = shutdown.requested() => tracing::info!("shutting down: {cause}"),
        failed = workers.failed() => anyhow::bail!(failed),
    }
    let drained = shutdown.drain(&drain, settings.drain).await;
    let finished = join_all(leaving_last.iter().map(|proxy| proxy.tunnels.finish()));
    if tokio::time::timeout(LAST_BYTES, finished).await.is_err() {
        tracing::debug!("tunnels are still open {LAST_BYTES:?} after their last stream: ending without them");
    }
    tracing::info!("drained: {drained:?}");
    Ok(())
}

/// Subscribes to the configuration; the result becomes true once all of it has come.
fn follow_controller(
    settings: &Settings,
    writer: Writer,
    metrics: XdsMetrics,
) -> anyhow::Result<watch::Receiver<bool>> {
    let channel = settings.xds.channel(&settings.token, &settings.cluster)?;
    let client = ambit_xds::Client::new(
        channel,
        origin(settings)?,
        node(settings),
        &[Kind::Address, Kind::Authorization],
    )
    .observed_by(Arc::new(metrics));
    let synced = client.synced();
    tokio::spawn(client.run(move |update: Update| writer.apply(update.changes)));
    Ok(synced)
}

fn start_proxies(
    settings: &Arc<Settings>,
    configuration: &Configuration,
    certificates: &Certificates,
    traffic: &Traffic,
    workers: &Workers,
    load: &Load,
) -> Vec<Arc<Proxy>> {
    let buffers = buffers(settings);
    let proxy = |index: usize| {
        let proxy = Proxy::new(
            Arc::new(Namespaces),
            settings.clone(),
            buffers.clone(),
            configuration.clone(),
            certificates.clone(),
            traffic.worker(),
        );
        let proxy = Arc::new(proxy.on_worker(index, load.clone()));
        let watch = proxy.live.clone().watch(configuration.clone());
        workers.spawn_on(index, watch);
        workers.spawn_on(index, close_stale(proxy.clone(), settings.drain));
        proxy
    };
    (0..workers.count()).map(proxy).collect()
}

fn origin(settings: &Settings) -> anyhow::Result<http::Uri> {
    Ok(settings.xds.address.parse()?)
}

/// The node id and metadata that Istio's control plane expects of a ztunnel.
fn node(settings: &Settings) -> Node {
    let Settings { pod_name, pod_namespace, instance_ip, node, .. } = settings;
    let mut metadata = settings.metadata.clone();
    metadata.insert("NAME".into(), json!(pod_name));
    metadata.insert("NAMESPACE".into(), json!(pod_namespace));
    metadata.insert("INSTANCE_IPS".into(), json!(instance_ip));
    metadata.insert("NODE_NAME".into(), json!(node));
    metadata.insert("CLUSTER_ID".into(), json!(settings.cluster));
    let id = format!("ztunnel~{instance_ip}~{pod_name}.{pod_namespace}~{pod_namespace}.svc.cluster.local");
    Node { id, cluster: String::new(), metadata }
}
