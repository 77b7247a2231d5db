//! The settings of ztunnel: the environment variables of Istio's ztunnel, read once.
//!
//! Variables of Istio's that belong to a part that is not here (`LOCAL_XDS`, `FAKE_CA`, `CRL_PATH`, `XDS_ON_DEMAND`,
//! `UNSTABLE_ENABLE_SOCKS5`, `PROXY_MODE=dedicated`) are refused when they ask for it: starting without it would be a
//! silent change of behaviour.

use std::path::PathBuf;
use std::time::Duration;

use ambit_app::settings::proxy::{
    Endpoint, Ports, drain, endpoint, keepalive, metadata, tls_options, workers,
};
use ambit_app::settings::{Environment, Problem, SettingsError};
use ambit_hbone::Engine;
use ambit_identity::tls;
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
    /// This node (`NODE_NAME`).
    pub node: String,
    /// Name and namespace of this proxy's own pod, for the node id (`POD_NAME`, `POD_NAMESPACE`).
    pub pod_name: String,
    /// See `pod_name`.
    pub pod_namespace: String,
    /// This proxy's own address, for the node id (`INSTANCE_IP`).
    pub instance_ip: String,
    /// Metadata of the node id (`ISTIO_META_*`, `ISTIO_METAJSON_*`).
    pub metadata: Map<String, Value>,
    /// The cluster (`ISTIO_META_CLUSTER_ID`, `CLUSTER_ID`).
    pub cluster: String,
    /// The agent's socket (`INPOD_UDS`).
    pub agent_socket: PathBuf,
    /// Data-plane threads (`ZTUNNEL_WORKER_THREADS`).
    pub workers: usize,
    /// Lifetime asked of the certificate service (`SECRET_TTL`).
    pub certificate_lifetime: Duration,
    /// Streams per tunnel (`POOL_MAX_STREAMS_PER_CONNECTION`).
    pub tunnel_streams: u32,
    /// How long an unused tunnel is kept (`POOL_UNUSED_RELEASE_TIMEOUT`).
    pub tunnel_idle: Duration,
    /// HTTP/2 window of a stream in bytes, to begin with (`HTTP2_STREAM_WINDOW_SIZE`).
    pub stream_window: u32,
    /// HTTP/2 window of a tunnel in bytes, larger than a stream's (`HTTP2_CONNECTION_WINDOW_SIZE`).
    pub connection_window: u32,
    /// Largest HTTP/2 frame accepted, in bytes (`HTTP2_FRAME_SIZE`).
    pub frame: u32,
    /// Mark of every packet this proxy sends, which the pod's rules let pass (`PACKET_MARK`).
    pub mark: u32,
    /// Dial the application from the client's address (`ENABLE_ORIG_SRC`).
    pub original_source: bool,
    /// Listen on IPv6 too (`IPV6_ENABLED`).
    pub ipv6: bool,
    /// How long connections may go on after a SIGTERM (`CONNECTION_TERMINATION_DEADLINE`, or
    /// `TERMINATION_GRACE_PERIOD_SECONDS` less a few seconds).
    pub drain: Duration,
    /// Keepalive of accepted and dialled sockets, except to the application of a tunnel (`KEEPALIVE_ENABLED`, `_TIME`,
    /// `_INTERVAL`, `_RETRIES`).
    pub keepalive: Option<ambit_transport::Keepalive>,
    /// `TCP_USER_TIMEOUT` of dialled sockets (`USER_TIMEOUT_ENABLED`).
    pub user_timeout: bool,
    /// Tell the client who answers, in the response's baggage (`ENABLE_RESPONSE_BAGGAGE`).
    pub response_baggage: bool,
    /// Whether a stream's window grows beyond `stream_window` with its path (`AMBIT_TUNNEL_WINDOWS`).
    pub growing_windows: bool,
    /// What speaks HTTP/2 in tunnels (`AMBIT_TUNNEL_ENGINE`).
    pub tunnel_engine: Engine,
    /// Send and take first bytes with a CONNECT, before its answer (`AMBIT_EARLY_BYTES`).
    pub early_bytes: bool,
    /// Let the kernel move the bytes of plain connections (`AMBIT_SPLICE`).
    pub splice: bool,
    /// The mesh's TLS (`AMBIT_TLS_RECORDS`, `AMBIT_TLS_RESUMPTION`).
    pub tls: tls::Options,
    /// How two pods of this node reach each other (`AMBIT_SAME_NODE`).
    pub same_node: SameNode,
    /// Administration port on localhost, metrics port and readiness port.
    pub ports: Ports,
}

/// How a connection goes from a pod to another of the same node, once all that a tunnel would prove is known to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameNode {
    /// `handover`: given over inside this process, with the same checks and reports, not encrypted.
    Handover,
    /// `tunnel`: through a tunnel, as between nodes.
    Tunnel,
}

const DEFAULT_CONTROLLER: &str = "https://localhost:15012";
const CLUSTER_CONTROLLER: &str = "https://istiod.istio-system.svc:15012";
const DEFAULT_TOKEN: &str = "./var/run/secrets/tokens/istio-token";
const DEFAULT_AGENT_SOCKET: &str = "/var/run/ztunnel/ztunnel.sock";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MIB: u32 = 1024 * 1024;
const ENGINES: &[(&str, Engine)] = &[("own", Engine::Own), ("library", Engine::Library)];

/// Reads all settings; every problem is reported together.
pub fn settings(mut environment: Environment) -> Result<Settings, SettingsError> {
    let env = &mut environment;
    env.refuse_unknown("AMBIT_");
    refuse_absent_parts(env);
    let in_cluster = env.optional_text("KUBERNETES_SERVICE_HOST").is_some();
    let controller = if in_cluster { CLUSTER_CONTROLLER } else { DEFAULT_CONTROLLER };
    let metadata = metadata(env);
    let cluster = env.text("CLUSTER_ID", "Kubernetes");
    let stream_window = env.number("HTTP2_STREAM_WINDOW_SIZE", MIB / 4, 65_535..=i32::MAX as u32);
    let connection_window = env.number("HTTP2_CONNECTION_WINDOW_SIZE", 2 * MIB, 65_535..=i32::MAX as u32);
    if connection_window <= stream_window {
        let accepted = "more than HTTP2_STREAM_WINDOW_SIZE";
        let reason = "one stream that nobody reads would stop all others of its tunnel";
        let value = connection_window.to_string();
        env.problem(Problem::new("HTTP2_CONNECTION_WINDOW_SIZE", Some(&value), accepted, reason));
    }
    let settings = Settings {
        xds: endpoint(env, "XDS", controller),
        ca: endpoint(env, "CA", controller),
        token: env.path("AUTH_TOKEN", DEFAULT_TOKEN),
        node: env.required_text("NODE_NAME", "it says whose pods this proxy serves"),
        pod_name: env.text("POD_NAME", "ztunnel"),
        pod_namespace: env.text("POD_NAMESPACE", "istio-system"),
        instance_ip: env.text("INSTANCE_IP", "1.1.1.1"),
        cluster: metadata.get("CLUSTER_ID").and_then(Value::as_str).map_or(cluster, str::to_owned),
        metadata,
        agent_socket: env.path("INPOD_UDS", DEFAULT_AGENT_SOCKET),
        workers: workers(env, "ZTUNNEL_WORKER_THREADS"),
        certificate_lifetime: env.duration("SECRET_TTL", DAY),
        tunnel_streams: env.number("POOL_MAX_STREAMS_PER_CONNECTION", 100, 1..=10_000),
        tunnel_idle: env.duration("POOL_UNUSED_RELEASE_TIMEOUT", Duration::from_secs(90)),
        stream_window,
        connection_window,
        frame: env.number("HTTP2_FRAME_SIZE", MIB / 4, 16_384..=16_777_215),
        mark: env.number("PACKET_MARK", 1337, 1..=u32::MAX),
        original_source: env.flag("ENABLE_ORIG_SRC", true),
        ipv6: env.flag("IPV6_ENABLED", true),
        drain: drain(env),
        keepalive: keepalive(env),
        user_timeout: env.flag("USER_TIMEOUT_ENABLED", true),
        response_baggage: env.flag("ENABLE_RESPONSE_BAGGAGE", true),
        growing_windows: env.choice("AMBIT_TUNNEL_WINDOWS", true, &[("growing", true), ("fixed", false)]),
        tunnel_engine: env.choice("AMBIT_TUNNEL_ENGINE", Engine::default(), ENGINES),
        early_bytes: env.choice("AMBIT_EARLY_BYTES", false, &[("on", true), ("off", false)]),
        splice: env.choice("AMBIT_SPLICE", true, &[("on", true), ("off", false)]),
        tls: tls_options(env),
        same_node: env.choice(
            "AMBIT_SAME_NODE",
            SameNode::Handover,
            &[("handover", SameNode::Handover), ("tunnel", SameNode::Tunnel)],
        ),
        ports: Ports::read(env),
    };
    environment.finish()?;
    Ok(settings)
}

fn refuse_absent_parts(env: &mut Environment) {
    env.choice("PROXY_MODE", (), &[("shared", ())]);
    for name in ["XDS_ON_DEMAND", "FAKE_CA", "UNSTABLE_ENABLE_SOCKS5"] {
        if env.flag(name, false) {
            env.problem(Problem::new(name, Some("true"), "false", "this proxy does not have that part"));
        }
    }
    for name in ["LOCAL_XDS_PATH", "LOCAL_XDS", "CRL_PATH"] {
        if let Some(value) = env.optional_text(name) {
            env.problem(Problem::new(name, Some(&value), "unset", "this proxy does not have that part"));
        }
    }
}

#[cfg(test)]
mod tests {
    use ambit_identity::RootCa;

    use super::*;

    fn read(values: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        settings(Environment::from_map(values.iter().copied()))
    }

    #[test]
    fn istios_variables_are_read() {
        let settings = read(&[
            ("NODE_NAME", "n1"),
            ("XDS_ADDRESS", "https://10.0.0.1:15012"),
            ("CA_ADDRESS", "https://ca.example:15012/"),
            ("ALT_CA_HOSTNAME", "istiod.istio-system.svc"),
            ("ISTIO_META_CLUSTER_ID", "east"),
            ("CLUSTER_ID", "west"),
            ("XDS_HEADER_tenant", "a"),
            ("SECRET_TTL", "1h30m"),
            ("ZTUNNEL_WORKER_THREADS", "3"),
            ("TERMINATION_GRACE_PERIOD_SECONDS", "30"),
        ])
        .unwrap();
        assert_eq!(settings.xds.address, "https://10.0.0.1:15012");
        assert_eq!(settings.ca.address, "https://ca.example:15012");
        assert_eq!(settings.ca.verify_name.as_deref(), Some("istiod.istio-system.svc"));
        assert_eq!(settings.cluster, "east");
        assert_eq!(settings.xds.headers.get("tenant").map(String::as_str), Some("a"));
        assert_eq!(settings.certificate_lifetime, Duration::from_secs(5400));
        assert_eq!((settings.workers, settings.drain), (3, Duration::from_secs(25)));
    }

    #[test]
    fn an_address_without_scheme_is_https() {
        let settings =
            read(&[("NODE_NAME", "n1"), ("XDS_ADDRESS", "istiod.istio-system.svc:15012")]).unwrap();
        assert_eq!(settings.xds.address, "https://istiod.istio-system.svc:15012");
        let error = read(&[("NODE_NAME", "n1"), ("CA_ADDRESS", "grpc://istiod:15012")]).unwrap_err();
        assert!(error.to_string().contains("CA_ADDRESS"), "{error}");
    }

    #[test]
    fn roots_come_in_istios_three_forms() {
        let of = |value: &str| read(&[("NODE_NAME", "n1"), ("XDS_ROOT_CA", value)]).unwrap().xds.roots;
        assert_eq!(of("SYSTEM"), RootCa::System);
        assert_eq!(of("/etc/root.pem"), RootCa::File("/etc/root.pem".into()));
        assert_eq!(of(""), RootCa::File("./var/run/secrets/istio/root-cert.pem".into()));
        let pem = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
        assert_eq!(of(pem), RootCa::Pem(pem.into()));
    }

    #[test]
    fn metadata_is_text_or_json() {
        let labels = ("ISTIO_METAJSON_LABELS", r#"{"app":"ztunnel"}"#);
        let settings = read(&[("NODE_NAME", "n1"), ("ISTIO_META_MESH_ID", "m1"), labels]).unwrap();
        assert_eq!(settings.metadata["MESH_ID"], "m1");
        assert_eq!(settings.metadata["LABELS"]["app"], "ztunnel");
        let error = read(&[("NODE_NAME", "n1"), ("ISTIO_METAJSON_LABELS", "{")]).unwrap_err();
        assert!(error.to_string().contains("ISTIO_METAJSON_LABELS"), "{error}");
    }

    #[test]
    fn the_fast_tls_can_be_switched_off() {
        let of = |value: &str| read(&[("NODE_NAME", "n1"), ("AMBIT_TLS_RECORDS", value)]);
        assert_eq!(read(&[("NODE_NAME", "n1")]).unwrap().tls.records, tls::Layer::Own);
        assert_eq!(of("own").unwrap().tls.records, tls::Layer::Own);
        assert_eq!(of("library").unwrap().tls.records, tls::Layer::Library);
        assert!(of("own").unwrap().tls.resumption);
        let off = read(&[("NODE_NAME", "n1"), ("AMBIT_TLS_RESUMPTION", "off")]).unwrap();
        assert!(!off.tls.resumption);
        let error = of("rustls").unwrap_err().to_string();
        assert!(error.contains("AMBIT_TLS_RECORDS") && error.contains("own, library"), "{error}");
    }

    #[test]
    fn pods_of_one_node_are_joined_or_tunnelled() {
        let of = |value: &str| read(&[("NODE_NAME", "n1"), ("AMBIT_SAME_NODE", value)]);
        assert_eq!(of("").unwrap().same_node, SameNode::Handover);
        assert_eq!(of("handover").unwrap().same_node, SameNode::Handover);
        assert_eq!(of("tunnel").unwrap().same_node, SameNode::Tunnel);
        let error = of("plain").unwrap_err().to_string();
        assert!(error.contains("AMBIT_SAME_NODE") && error.contains("handover, tunnel"), "{error}");
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let error = read(&[
            ("XDS_ADDRESS", "http://10.0.0.1:15010"),
            ("PACKET_MARK", "0"),
            ("PROXY_MODE", "dedicated"),
            ("HTTP2_CONNECTION_WINDOW_SIZE", "100000"),
            ("AMBIT_ADMIN_PROT", "1"),
            ("AMBIT_SPLICE", "maybe"),
            ("AMBIT_TUNNEL_ENGINE", "h2"),
            ("AMBIT_TUNNEL_WINDOWS", "wide"),
        ])
        .unwrap_err()
        .to_string();
        for name in [
            "NODE_NAME",
            "XDS_ADDRESS",
            "PACKET_MARK",
            "PROXY_MODE",
            "HTTP2_CONNECTION_WINDOW_SIZE",
            "AMBIT_ADMIN_PROT",
            "AMBIT_SPLICE",
            "AMBIT_TUNNEL_ENGINE",
            "AMBIT_TUNNEL_WINDOWS",
        ] {
            assert!(error.contains(name), "{name} is not named in {error}");
        }
    }
}
