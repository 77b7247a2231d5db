//! The settings of a waypoint: environment variables, those of Istio's proxies where they mean the same, read once.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ambit_app::settings::proxy::{
    Endpoint, Ports, drain, endpoint, keepalive, metadata, tls_options, workers,
};
use ambit_app::settings::{Environment, Problem, SettingsError};
use ambit_hbone::Engine;
use ambit_identity::tls;
use ambit_model::identity::DEFAULT_TRUST_DOMAIN;
use ambit_model::traffic::ports;
use ambit_model::{Identity, Text};
use serde_json::{Map, Value};

/// All settings of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The controller's configuration service (`XDS_ADDRESS`, `XDS_ROOT_CA`, `ALT_XDS_HOSTNAME`, `XDS_HEADER_*`).
    pub xds: Endpoint,
    /// The certificate service (`CA_ADDRESS`, `CA_ROOT_CA`, `ALT_CA_HOSTNAME`, `CA_HEADER_*`).
    pub ca: Endpoint,
    /// File with the token that proves who this proxy is, read for each request (`AUTH_TOKEN`).
    pub token: PathBuf,
    /// Whose certificate it serves with (`TRUST_DOMAIN`, `POD_NAMESPACE`, `SERVICE_ACCOUNT`).
    pub identity: Identity,
    /// Name of its own pod (`POD_NAME`).
    pub pod_name: Text,
    /// Namespace of its pod and of its Gateway (`POD_NAMESPACE`).
    pub namespace: Text,
    /// The Gateway that it stands for (`GATEWAY_NAME`).
    pub gateway: Text,
    /// The Gateway's class (`GATEWAY_CLASS`).
    pub class: Text,
    /// Its own address (`INSTANCE_IP`).
    pub address: Option<IpAddr>,
    /// This node (`NODE_NAME`).
    pub node: Text,
    /// Metadata of the node id (`ISTIO_META_*`, `ISTIO_METAJSON_*`).
    pub metadata: Map<String, Value>,
    /// The cluster (`ISTIO_META_CLUSTER_ID`, `CLUSTER_ID`).
    pub cluster: Text,
    /// The network that it is on (`ISTIO_META_NETWORK`, `NETWORK`).
    pub network: Text,
    /// Data-plane threads (`WAYPOINT_WORKER_THREADS`).
    pub workers: usize,
    /// Lifetime asked of the certificate service (`SECRET_TTL`).
    pub certificate_lifetime: Duration,
    /// Streams per tunnel, dialled and accepted (`POOL_MAX_STREAMS_PER_CONNECTION`).
    pub tunnel_streams: u32,
    /// How long an unused tunnel is kept (`POOL_UNUSED_RELEASE_TIMEOUT`).
    pub tunnel_idle: Duration,
    /// HTTP/2 window of a stream in bytes (`HTTP2_STREAM_WINDOW_SIZE`).
    pub stream_window: u32,
    /// HTTP/2 window of a tunnel in bytes, larger than a stream's (`HTTP2_CONNECTION_WINDOW_SIZE`).
    pub connection_window: u32,
    /// Largest HTTP/2 frame accepted, in bytes (`HTTP2_FRAME_SIZE`).
    pub frame: u32,
    /// Listen on IPv6 too (`IPV6_ENABLED`).
    pub ipv6: bool,
    /// How long requests and connections may go on after a SIGTERM (`CONNECTION_TERMINATION_DEADLINE`, or
    /// `TERMINATION_GRACE_PERIOD_SECONDS` less a few seconds).
    pub drain: Duration,
    /// Keepalive of accepted and dialled sockets (`KEEPALIVE_ENABLED`, `_TIME`, `_INTERVAL`, `_RETRIES`).
    pub keepalive: Option<ambit_transport::Keepalive>,
    /// `TCP_USER_TIMEOUT` of dialled sockets (`USER_TIMEOUT_ENABLED`).
    pub user_timeout: bool,
    /// How long the first bytes of a connection to a port without a declared protocol are waited for
    /// (`PROTOCOL_DETECTION_TIMEOUT`).
    pub detection: Duration,
    /// What speaks HTTP/2 in tunnels (`AMBIT_TUNNEL_ENGINE`).
    pub tunnel_engine: Engine,
    /// Let the kernel move the bytes of plain connections (`AMBIT_SPLICE`).
    pub splice: bool,
    /// The mesh's TLS (`AMBIT_TLS_RECORDS`, `AMBIT_TLS_RESUMPTION`).
    pub tls: tls::Options,
    /// Tell applications who the client is, in `x-forwarded-client-cert` (`AMBIT_CLIENT_IDENTITY_HEADER`). The client's
    /// own header of that name never passes.
    pub client_identity: bool,
    /// Where tunnels are accepted (`AMBIT_HBONE_PORT`).
    pub port: u16,
    /// Administration port on localhost, metrics port and readiness port.
    pub ports: Ports,
}

const DEFAULT_CONTROLLER: &str = "https://localhost:15012";
const CLUSTER_CONTROLLER: &str = "https://istiod.istio-system.svc:15012";
const DEFAULT_TOKEN: &str = "./var/run/secrets/tokens/istio-token";
const DEFAULT_CLASS: &str = "ambit-waypoint";
const DETECTION: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MIB: u32 = 1024 * 1024;
const SWITCH: &[(&str, bool)] = &[("on", true), ("off", false)];

/// Reads all settings; every problem is reported together.
///
/// # Errors
/// Each variable that cannot be obeyed, with what is accepted.
pub fn settings(mut environment: Environment) -> Result<Settings, SettingsError> {
    let env = &mut environment;
    env.refuse_unknown("AMBIT_");
    let in_cluster = env.optional_text("KUBERNETES_SERVICE_HOST").is_some();
    let controller = if in_cluster { CLUSTER_CONTROLLER } else { DEFAULT_CONTROLLER };
    let metadata = metadata(env);
    let said = |name: &str, text: String| match metadata.get(name).and_then(Value::as_str) {
        Some(said) => Text::from(said),
        None => text.into(),
    };
    let (stream_window, connection_window) = windows(env);
    let namespace = env.required_text("POD_NAMESPACE", "it is the namespace of the gateway");
    let settings = Settings {
        xds: endpoint(env, "XDS", controller),
        ca: endpoint(env, "CA", controller),
        token: env.path("AUTH_TOKEN", DEFAULT_TOKEN),
        identity: identity(env, &namespace)?,
        pod_name: env.required_text("POD_NAME", "the controller knows this proxy by it").into(),
        namespace: namespace.into(),
        gateway: env.required_text("GATEWAY_NAME", "it says whose services this proxy serves").into(),
        class: env.text("GATEWAY_CLASS", DEFAULT_CLASS).into(),
        address: env.optional_ip("INSTANCE_IP"),
        node: env.text("NODE_NAME", "").into(),
        cluster: said("CLUSTER_ID", env.text("CLUSTER_ID", "Kubernetes")),
        network: said("NETWORK", env.text("NETWORK", "")),
        workers: workers(env, "WAYPOINT_WORKER_THREADS"),
        certificate_lifetime: env.duration("SECRET_TTL", DAY),
        tunnel_streams: env.number("POOL_MAX_STREAMS_PER_CONNECTION", 100, 1..=10_000),
        tunnel_idle: env.duration("POOL_UNUSED_RELEASE_TIMEOUT", Duration::from_secs(90)),
        stream_window,
        connection_window,
        frame: env.number("HTTP2_FRAME_SIZE", MIB / 4, 16_384..=16_777_215),
        ipv6: env.flag("IPV6_ENABLED", true),
        drain: drain(env),
        keepalive: keepalive(env),
        user_timeout: env.flag("USER_TIMEOUT_ENABLED", true),
        detection: env.duration("PROTOCOL_DETECTION_TIMEOUT", DETECTION),
        tunnel_engine: env.choice(
            "AMBIT_TUNNEL_ENGINE",
            Engine::default(),
            &[("own", Engine::Own), ("library", Engine::Library)],
        ),
        splice: env.choice("AMBIT_SPLICE", true, SWITCH),
        tls: tls_options(env),
        client_identity: env.choice("AMBIT_CLIENT_IDENTITY_HEADER", false, SWITCH),
        port: env.number("AMBIT_HBONE_PORT", ports::HBONE, 0..=u16::MAX),
        ports: Ports::read(env),
        metadata,
    };
    environment.finish()?;
    Ok(settings)
}

fn windows(env: &mut Environment) -> (u32, u32) {
    let stream = env.number("HTTP2_STREAM_WINDOW_SIZE", MIB / 4, 65_535..=i32::MAX as u32);
    let connection = env.number("HTTP2_CONNECTION_WINDOW_SIZE", 2 * MIB, 65_535..=i32::MAX as u32);
    if connection <= stream {
        let accepted = "more than HTTP2_STREAM_WINDOW_SIZE";
        let reason = "one stream that nobody reads would stop all others of its tunnel";
        let value = connection.to_string();
        env.problem(Problem::new("HTTP2_CONNECTION_WINDOW_SIZE", Some(&value), accepted, reason));
    }
    (stream, connection)
}

/// What is missing was named already; `unset` stands for it.
fn identity(env: &mut Environment, namespace: &str) -> Result<Identity, SettingsError> {
    let domain = env.text("TRUST_DOMAIN", DEFAULT_TRUST_DOMAIN);
    let account = env.required_text("SERVICE_ACCOUNT", "it is part of this proxy's identity");
    let or_unset = |text: &str| if text.is_empty() { "unset".to_owned() } else { text.to_owned() };
    Identity::new(&domain, &or_unset(namespace), &or_unset(&account)).map_err(|reason| {
        let accepted = "a name that makes a SPIFFE ID with TRUST_DOMAIN and POD_NAMESPACE";
        let problem = Problem::new("SERVICE_ACCOUNT", Some(&account), accepted, &reason.to_string());
        SettingsError { problems: vec![problem] }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDED: [(&str, &str); 4] = [
        ("POD_NAME", "waypoint-1"),
        ("POD_NAMESPACE", "shop"),
        ("SERVICE_ACCOUNT", "waypoint"),
        ("GATEWAY_NAME", "waypoint"),
    ];

    fn read(values: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        settings(Environment::from_map(NEEDED.iter().chain(values).copied()))
    }

    #[test]
    fn a_waypoint_knows_who_it_is() {
        let settings = read(&[("TRUST_DOMAIN", "example.org"), ("INSTANCE_IP", "10.0.0.9")]).unwrap();
        assert_eq!(settings.identity.to_string(), "spiffe://example.org/ns/shop/sa/waypoint");
        assert_eq!(settings.address, Some(IpAddr::from([10, 0, 0, 9])));
        assert_eq!((&*settings.gateway, &*settings.class), ("waypoint", "ambit-waypoint"));
        assert_eq!((settings.port, settings.detection), (15008, DETECTION));
    }

    #[test]
    fn metadata_goes_before_the_plain_variables() {
        let set = [("ISTIO_META_NETWORK", "east"), ("NETWORK", "west"), ("CLUSTER_ID", "c1")];
        let settings = read(&set).unwrap();
        assert_eq!((&*settings.network, &*settings.cluster), ("east", "c1"));
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let wrong = [
            ("AMBIT_CLIENT_IDENTITY_HEADER", "yes"),
            ("AMBIT_HBONE_PROT", "1"),
            ("PROTOCOL_DETECTION_TIMEOUT", "1 second"),
            ("INSTANCE_IP", "here"),
        ];
        let error = settings(Environment::from_map(wrong)).unwrap_err().to_string();
        let missing = NEEDED.iter().map(|(name, _)| *name);
        for name in wrong.iter().map(|(name, _)| *name).chain(missing) {
            assert!(error.contains(name), "{name} is not named in {error}");
        }
        let error = read(&[("TRUST_DOMAIN", "NOT VALID")]).unwrap_err().to_string();
        assert!(error.contains("SERVICE_ACCOUNT") && error.contains("trust domain"), "{error}");
    }
}
