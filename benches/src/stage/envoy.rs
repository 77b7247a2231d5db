//! The configuration of an Envoy sidecar, as close to Istio's as one without a control plane can be.
//!
//! Same as Istio's: original destination, mutual TLS with SPIFFE names checked on both sides, TLS 1.2 to 1.3, no circuit
//! breaker that could bite, delivery from 127.0.0.6, its retries, no access log. Left out, to Envoy's advantage: telemetry filters,
//! secret discovery, endpoints of other services.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::capture::{DELIVERS_FROM, INBOUND, OUTBOUND};
use super::certificates::Files;
use super::path::Mode;

/// Where Envoy answers operators.
pub const ADMIN: u16 = 15000;
/// What Istio sets where it wants no limit.
const NO_LIMIT: u32 = u32::MAX;

/// What one sidecar is told.
#[derive(Debug, Clone)]
pub struct Sidecar<'a> {
    /// TCP or HTTP.
    pub mode: Mode,
    /// Its own certificate.
    pub files: &'a Files,
    /// The service that its pod calls, and the identity that must answer.
    pub upstream: (SocketAddr, String),
    /// The identity that may call its pod.
    pub caller: String,
    /// The port that its pod serves.
    pub port: u16,
}

impl Sidecar<'_> {
    /// The bootstrap configuration.
    pub fn bootstrap(&self) -> Value {
        json!({
            "node": {"id": "sidecar~bench", "cluster": "bench"},
            "admin": {"address": address("127.0.0.1", ADMIN)},
            "static_resources": {
                "listeners": [self.outbound_listener(), self.inbound_listener()],
                "clusters": [self.outbound_cluster(), inbound_cluster()],
            },
        })
    }

    fn outbound_listener(&self) -> Value {
        json!({
            "name": "virtualOutbound",
            "traffic_direction": "OUTBOUND",
            "address": address("0.0.0.0", OUTBOUND),
            "listener_filters": [filter("listener.original_dst", "listener.original_dst.v3.OriginalDst", json!({}))],
            "filter_chains": [{
                "filter_chain_match": {"destination_port": self.upstream.0.port()},
                "filters": [self.network_filter("outbound")],
            }],
        })
    }

    fn inbound_listener(&self) -> Value {
        let tls = json!({
            "common_tls_context": self.tls(&self.caller),
            "require_client_certificate": true,
        });
        json!({
            "name": "virtualInbound",
            "traffic_direction": "INBOUND",
            "address": address("0.0.0.0", INBOUND),
            "listener_filters": [
                filter("listener.original_dst", "listener.original_dst.v3.OriginalDst", json!({})),
                filter("listener.tls_inspector", "listener.tls_inspector.v3.TlsInspector", json!({})),
            ],
            "filter_chains": [{
                "filter_chain_match": {"destination_port": self.port, "transport_protocol": "tls"},
                "transport_socket": socket("transport_sockets.tls.v3.DownstreamTlsContext", tls),
                "filters": [self.network_filter("inbound")],
            }],
        })
    }

    /// What carries the bytes, or the requests, to the cluster `to`.
    fn network_filter(&self, to: &str) -> Value {
        let mut route = json!({"cluster": to, "timeout": "0s"});
        if to == "outbound" {
            let when = "connect-failure,refused-stream,unavailable,cancelled";
            route["retry_policy"] = json!({"retry_on": when, "num_retries": 2});
        }
        match self.mode {
            Mode::Tcp => filter(
                "network.tcp_proxy",
                "network.tcp_proxy.v3.TcpProxy",
                json!({"stat_prefix": to, "cluster": to}),
            ),
            Mode::Http => filter(
                "network.http_connection_manager",
                "network.http_connection_manager.v3.HttpConnectionManager",
                json!({
                    "stat_prefix": to,
                    "codec_type": "AUTO",
                    "use_remote_address": false,
                    "normalize_path": true,
                    "stream_idle_timeout": "0s",
                    "route_config": {
                        "name": to,
                        "virtual_hosts": [{
                            "name": to,
                            "domains": ["*"],
                            "routes": [{"match": {"prefix": "/"}, "route": route}],
                        }],
                    },
                    "http_filters": [filter("http.router", "http.router.v3.Router", json!({}))],
                }),
            ),
        }
    }

    fn outbound_cluster(&self) -> Value {
        let (to, identity) = &self.upstream;
        let tls = json!({"common_tls_context": self.tls(identity), "sni": format!("outbound_.{}_._.server", to.port())});
        json!({
            "name": "outbound",
            "type": "STATIC",
            "connect_timeout": "10s",
            "lb_policy": "LEAST_REQUEST",
            "circuit_breakers": no_limits(),
            "transport_socket": socket("transport_sockets.tls.v3.UpstreamTlsContext", tls),
            "load_assignment": {
                "cluster_name": "outbound",
                "endpoints": [{
                    "lb_endpoints": [{"endpoint": {"address": address(&to.ip().to_string(), to.port())}}],
                }],
            },
        })
    }

    fn tls(&self, peer: &str) -> Value {
        let alpn = match self.mode {
            Mode::Tcp => json!(["istio-peer-exchange", "istio"]),
            Mode::Http => json!(["http/1.1"]),
        };
        json!({
            "alpn_protocols": alpn,
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"},
            "tls_certificates": [{
                "certificate_chain": {"filename": self.files.certificate},
                "private_key": {"filename": self.files.key},
            }],
            "validation_context": {
                "trusted_ca": {"filename": self.files.root},
                "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": peer}}],
            },
        })
    }
}

fn inbound_cluster() -> Value {
    json!({
        "name": "inbound",
        "type": "ORIGINAL_DST",
        "connect_timeout": "10s",
        "lb_policy": "CLUSTER_PROVIDED",
        "cleanup_interval": "60s",
        "circuit_breakers": no_limits(),
        "upstream_bind_config": {"source_address": {"address": DELIVERS_FROM, "port_value": 0}},
    })
}

fn no_limits() -> Value {
    json!({"thresholds": [{
        "max_connections": NO_LIMIT,
        "max_pending_requests": NO_LIMIT,
        "max_requests": NO_LIMIT,
        "max_retries": NO_LIMIT,
    }]})
}

fn address(ip: &str, port: u16) -> Value {
    json!({"socket_address": {"address": ip, "port_value": port}})
}

fn filter(name: &str, kind: &str, mut settings: Value) -> Value {
    settings["@type"] = json!(format!("type.googleapis.com/envoy.extensions.filters.{kind}"));
    json!({"name": format!("envoy.filters.{name}"), "typed_config": settings})
}

fn socket(kind: &str, mut settings: Value) -> Value {
    settings["@type"] = json!(format!("type.googleapis.com/envoy.extensions.{kind}"));
    json!({"name": "envoy.transport_sockets.tls", "typed_config": settings})
}
