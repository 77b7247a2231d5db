//! Limits and times of connections (Istio ConnectionPoolSettings).

use serde::{Deserialize, Serialize};

use super::IstioDuration;
use crate::fields;

/// Limits and times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ConnectionPool {
    /// Of TCP, and so of HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpPool>,
    /// Of HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpPool>,
}

/// Of TCP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TcpPool {
    /// Most connections; without limit if absent or 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<i32>,
    /// Longest wait for one; 10 s if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_timeout: Option<IstioDuration>,
    /// Keep-alive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// A connection ends after this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connection_duration: Option<IstioDuration>,
    /// A connection without bytes ends after this time; 1 h if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<IstioDuration>,
}

/// TCP's keep-alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TcpKeepalive {
    /// Probes without answer before the connection counts as dead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probes: Option<u32>,
    /// Silence before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<IstioDuration>,
    /// Time between them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<IstioDuration>,
}

/// Of HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HttpPool {
    /// Most requests that wait for a connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http1_max_pending_requests: Option<i32>,
    /// Most requests under way, whatever the version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http2_max_requests: Option<i32>,
    /// Most requests on one connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_requests_per_connection: Option<i32>,
    /// Most retries under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_retries: Option<i32>,
    /// A connection without requests ends after this time; 1 h if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<IstioDuration>,
    /// Whether HTTP/1.1 becomes HTTP/2.
    #[serde(skip_serializing_if = "fields::is_default")]
    pub h2_upgrade_policy: H2Upgrade,
    /// Requests go out in the version in which they came in.
    #[serde(skip_serializing_if = "fields::is_false")]
    pub use_client_protocol: bool,
    /// Most streams on one HTTP/2 connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrent_streams: Option<i32>,
    /// HTTP/2 pings.
    #[serde(skip_serializing_if = "Option::is_none", rename = "http2KeepAlive", alias = "http2Keepalive")]
    pub http2_keep_alive: Option<ConnectionKeepalive>,
}

/// Whether HTTP/1.1 becomes HTTP/2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum H2Upgrade {
    /// As the mesh does.
    #[default]
    Default,
    /// No.
    DoNotUpgrade,
    /// Yes.
    Upgrade,
}

/// HTTP/2 pings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ConnectionKeepalive {
    /// Time between them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<IstioDuration>,
    /// Longest wait for the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<IstioDuration>,
}
