//! The process: starts the parts in order, waits for the end, drains.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use ambit_app::admin::Document;
use ambit_app::admin::resources::resources;
use ambit_app::certificate_metrics::CertificateMetrics;
use ambit_app::operators::certificates as certificates_dump;
use ambit_app::{Load, Operators, Pending, Readiness, Shutdown, Workers};
use ambit_identity::certificates::CertificatesSettings;
use ambit_identity::{AuthorityClient, Certificates};
use ambit_model::Identity;
use ambit_telemetry::log::LogControl;
use ambit_telemetry::metrics::{Registry, XdsMetrics};
use ambit_telemetry::traffic::{Traffic, TrafficLimits};
use ambit_transport::listen::{ListenOptions, tcp_listener};
use ambit_transport::{ListenError, drain};
use ambit_xds::client::Update;
use ambit_xds::{Configuration, Kind, Node, Writer, configuration};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::accept::{Enters, Floor, accept};
use crate::destinations::Destinations;
use crate::ingress::doors::doors;
use crate::limiters::Limiters;
use crate::network::Kernel;
use crate::proxy::{Proxy, buffers};
use crate::rules::listeners::Listener;
use crate::rules::{Rules, RulesWriter, rules};
use crate::settings::Settings;
use crate::stale::close_stale;

/// Pause before a certificate that was not given is asked about again.
const CERTIFICATE_PAUSE: Duration = Duration::from_millis(500);

/// How long the last bytes of what was carried may take on their way into the tunnels.
const LAST_BYTES: Duration = Duration::from_secs(1);

/// Runs the waypoint on the control thread until it has drained.
///
/// # Errors
/// A part could not start, or a worker panicked; one line that says what to do.
pub async fn run(settings: Settings, log: LogControl) -> anyhow::Result<()> {
    let settings = Arc::new(settings);
    let mut shutdown = Shutdown::install()?;
    let (drain, leaving) = drain::channel();
    let readiness = Readiness::new();
    let registry = Registry::new("waypoint", env!("CARGO_PKG_VERSION"));
    log.register(&registry);
    let traffic = Traffic::register(&registry, TrafficLimits::default());

    let (writer, configuration) = configuration(&settings.node);
    let (rules_writer, rules) = rules(&settings);
    let authority = AuthorityClient::new(settings.ca.channel(&settings.token, &settings.cluster)?);
    let lifetime = settings.certificate_lifetime;
    let certificates = Certificates::new(
        Arc::new(authority),
        CertificatesSettings { lifetime, ..CertificatesSettings::default() },
    );
    registry.register(CertificateMetrics(certificates.clone()));
    let _own_certificate = certificates.hold(&settings.identity);
    let workers = Arc::new(Workers::start(settings.workers, "worker", |_| async {})?);
    let load = Load::new(workers.count());
    let proxies = start_proxies(&settings, &configuration, &rules, &certificates, &traffic, &workers, &load);

    let configured = readiness.register("configuration from the controller");
    let certified = readiness.register("certificate from the controller");
    let operators = Operators { registry: registry.clone(), readiness, log, trigger: shutdown.trigger() };
    let (_admin_drain, admin_watch) = drain::channel();
    let dump = {
        let (settings, configuration) = (settings.clone(), configuration.clone());
        let (certificates, rules) = (certificates.clone(), rules.clone());
        move || dump(&settings, &configuration, &certificates, &rules)
    };
    operators.serve(settings.ports, settings.ipv6, dump, &admin_watch)?;

    let synced = follow_controller(&settings, writer, rules_writer, XdsMetrics::register(&registry))?;
    let listener = listen(&settings, settings.port)?;
    let listening = listener.local_addr()?;
    tokio::spawn(certify(certificates.clone(), settings.identity.clone(), certified));
    let leaving_last = proxies.clone();
    let floor = Floor { workers: workers.clone(), proxies, load, drain: leaving.clone() };
    let ports = (settings.clone(), rules.ports());
    tokio::spawn(async move {
        if configured.complete(synced, leaving).await {
            // Only now: before, nothing of a request could be judged. The kernel keeps who comes early.
            if let Err(error) = accept(listener, &floor, Enters::Tunnels, std::future::pending()) {
                tracing::error!(%error, "tunnels cannot be accepted");
            }
            let (settings, ports) = ports;
            doors(floor, &settings, ports, |port| listen(&settings, port)).await;
        }
    });
    tracing::info!(
        gateway = %settings.gateway,
        namespace = %settings.namespace,
        identity = %settings.identity,
        %listening,
        workers = settings.workers,
        controller = settings.xds.address,
        "waypoint started"
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
    rules: RulesWriter,
    metrics: XdsMetrics,
) -> anyhow::Result<watch::Receiver<bool>> {
    let channel = settings.xds.channel(&settings.token, &settings.cluster)?;
    let kinds = [Kind::Address, Kind::L7];
    let client = ambit_xds::Client::new(channel, settings.xds.address.parse()?, node(settings), &kinds)
        .observed_by(Arc::new(metrics));
    let synced = client.synced();
    tokio::spawn(client.run(move |update: Update| {
        rules.apply(&update.changes);
        writer.apply(update.changes);
    }));
    Ok(synced)
}

/// Waits for this proxy's first certificate, however often it has to be asked for.
async fn certify(certificates: Certificates, identity: Identity, certified: Pending) {
    while let Err(error) = certificates.certificate(&identity).await {
        tracing::debug!(%error, "no certificate yet");
        tokio::time::sleep(CERTIFICATE_PAUSE).await;
    }
    certified.ready();
}

fn start_proxies(
    settings: &Arc<Settings>,
    configuration: &Configuration,
    rules: &Rules,
    certificates: &Certificates,
    traffic: &Traffic,
    workers: &Workers,
    load: &Load,
) -> Vec<Arc<Proxy>> {
    let buffers = buffers(settings);
    let (limiters, destinations) = (Limiters::default(), Destinations::default());
    let proxy = |index: usize| {
        let proxy = Proxy::new(
            Arc::new(Kernel),
            settings.clone(),
            buffers.clone(),
            configuration.clone(),
            rules.clone(),
            certificates.clone(),
            traffic.worker(),
        );
        let proxy = Arc::new(
            proxy.on_worker(index, load.clone()).with_shared(limiters.clone(), destinations.clone()),
        );
        workers.spawn_on(index, close_stale(proxy.clone(), settings.drain));
        proxy
    };
    (0..workers.count()).map(proxy).collect()
}

fn listen(settings: &Settings, port: u16) -> Result<TcpListener, ListenError> {
    let wildcard: IpAddr =
        if settings.ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    tcp_listener(SocketAddr::new(wildcard, port), &listen_options(settings))
}

/// The port is shared, so that the next version of this program can listen before this one has drained.
fn listen_options(settings: &Settings) -> ListenOptions {
    let keepalive = settings.keepalive.clone();
    ListenOptions { dual_stack: settings.ipv6, reuse_port: true, keepalive, ..ListenOptions::default() }
}

/// The node id and metadata that Istio's control plane expects of a waypoint.
fn node(settings: &Settings) -> Node {
    let Settings { pod_name, namespace, gateway, .. } = settings;
    let address = settings.address.map_or_else(|| "1.1.1.1".to_owned(), |address| address.to_string());
    let mut metadata = settings.metadata.clone();
    metadata.insert("NAME".into(), json!(pod_name));
    metadata.insert("NAMESPACE".into(), json!(namespace));
    metadata.insert("INSTANCE_IPS".into(), json!(address));
    metadata.insert("NODE_NAME".into(), json!(settings.node));
    metadata.insert("CLUSTER_ID".into(), json!(settings.cluster));
    metadata.insert("NETWORK".into(), json!(settings.network));
    metadata.insert("SERVICE_ACCOUNT".into(), json!(settings.identity.service_account()));
    metadata.insert("GATEWAY_NAME".into(), json!(gateway));
    metadata.insert("GATEWAY_CLASS".into(), json!(settings.class));
    let id = format!("waypoint~{address}~{pod_name}.{namespace}~{namespace}.svc.cluster.local");
    Node { id, cluster: format!("{gateway}.{namespace}"), metadata }
}

/// What `/config_dump` answers.
fn dump(
    settings: &Settings,
    configuration: &Configuration,
    certificates: &Certificates,
    rules: &Rules,
) -> Document {
    let config = json!({
        "gateway": settings.gateway,
        "gatewayClass": settings.class,
        "namespace": settings.namespace,
        "identity": settings.identity.to_string(),
        "localNode": settings.node,
        "clusterId": settings.cluster,
        "network": settings.network,
        "xdsAddress": settings.xds.address,
        "caAddress": settings.ca.address,
        "numWorkerThreads": settings.workers,
        "protocolDetectionTimeout": format!("{:?}", settings.detection),
        "selfTerminationDeadline": format!("{:?}", settings.drain),
    });
    resources(configuration.snapshot())
        .list("certificates", certificates_dump(certificates))
        .list("listeners", listeners_dump(rules).into_iter())
        .member("config", config)
        .member("version", json!({ "version": env!("CARGO_PKG_VERSION"), "product": "ambit" }))
}

/// Of certificates from outside only what everybody sees.
fn listeners_dump(rules: &Rules) -> Vec<Value> {
    let listeners = rules.listeners();
    let dump = |(port, listener): (u16, &Arc<Listener>)| {
        let certificate = listener.certificate.as_ref().map(|presented| &presented.certificate);
        json!({
            "name": listener.name,
            "port": port,
            "protocol": format!("{:?}", listener.protocol),
            "hostname": listener.hostname,
            "certificateSha256": certificate.map(|certificate| certificate.fingerprint()),
        })
    };
    listeners.iter().map(dump).collect()
}
