//! How a service is called: balancing, pools, outlier detection, TLS, subsets (Istio DestinationRule and the Gateway
//! API's backend policies).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::matching::Share;
use super::object::{ObjectKey, Target};
use crate::Text;
use crate::service::ServiceKey;

/// One rule. What a subset says goes before what the rule says, block by block; what a port says replaces both as a
/// whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestinationRule {
    /// The user's object.
    pub key: ObjectKey,
    /// When it was created, in seconds since 1970.
    pub created: i64,
    /// Host name of the services it is for, in full; `*.` allowed in front.
    pub host: Text,
    /// Namespaces of the clients that obey it; none means all (`exportTo`).
    pub visible_to: Vec<Text>,
    /// For every port.
    pub policy: TrafficPolicy,
    /// For single ports.
    pub ports: Vec<(u16, TrafficPolicy)>,
    /// Parts of the service.
    pub subsets: Vec<Subset>,
    /// Why it cannot be obeyed: requests to its host are answered 503.
    pub invalid: Option<Text>,
}

impl DestinationRule {
    /// What is called by it: who cannot read the rule must not call that at all. The namespace of the host is not
    /// known here: the rule's own stands for it.
    pub fn target(&self) -> Target {
        match self.host.starts_with('*') {
            true => Target::Mesh,
            false => Target::Service(ServiceKey::new(&self.key.namespace, &self.host)),
        }
    }
}

/// A part of a service's endpoints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subset {
    /// Its name.
    pub name: Text,
    /// Labels that its endpoints have, all of them.
    pub labels: Vec<(Text, Text)>,
    /// For every port.
    pub policy: TrafficPolicy,
    /// For single ports.
    pub ports: Vec<(u16, TrafficPolicy)>,
}

/// The blocks of a policy. `None` is not said.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrafficPolicy {
    /// How an endpoint is chosen.
    pub load_balancer: Option<LoadBalancer>,
    /// Limits.
    pub connections: Option<ConnectionPool>,
    /// Which endpoints are left out for a while.
    pub outlier: Option<OutlierDetection>,
    /// TLS to the application, inside the tunnel.
    pub tls: Option<UpstreamTls>,
    /// Most retries under way.
    pub retry_budget: Option<RetryBudget>,
    /// A PROXY protocol header of this version (1 or 2) goes before the bytes.
    pub proxy_protocol: Option<u8>,
}

/// How an endpoint is chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadBalancer {
    /// The rule.
    pub algorithm: Algorithm,
    /// New endpoints get their full share only after this time (`warmup`).
    pub warmup: Option<Warmup>,
    /// What is preferred; `None` leaves it to the service.
    pub locality: Option<Locality>,
}

/// A rule to choose an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Algorithm {
    /// The less loaded of two that are drawn (Istio's default).
    LeastRequest,
    /// One after the other.
    RoundRobin,
    /// Any.
    Random,
    /// The one of two that has answered faster of late, by its number of requests (an addition of ours).
    PeakEwma,
    /// The address that the client dialled.
    Passthrough,
    /// The one that a hash points at.
    Hash {
        /// Of what.
        of: HashKey,
        /// With what table.
        ring: HashRing,
    },
}

/// What is hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum HashKey {
    /// A header, in lower case.
    Header(Text),
    /// A cookie, made here with this path and age where the client has none.
    Cookie {
        /// Name.
        name: Text,
        /// `Path` attribute.
        path: Text,
        /// Age; `None` never makes one, zero makes one for the session.
        ttl: Option<Duration>,
        /// Further attributes, in order; an empty value is a flag.
        attributes: Vec<(Text, Text)>,
    },
    /// The client pod's address.
    SourceIp,
    /// A query parameter.
    Query(Text),
}

/// The table of a consistent hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum HashRing {
    /// Points on a ring, at least so many.
    Ring(u32),
    /// Maglev's table of so many places, a prime.
    Maglev(u32),
}

/// Slow start.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Warmup {
    /// How long it takes.
    pub duration: Duration,
    /// The least share of its weight that an endpoint has, in percent (Istio: 10).
    pub minimum: f64,
    /// The curve: 1 is a line.
    pub aggression: f64,
}

/// Preference of places (Istio `localityLbSetting`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locality {
    /// From a place (`region/zone/subzone`, `*` allowed), to places by weight.
    pub distribute: Vec<(Text, Vec<(Text, u32)>)>,
    /// From a region, to the region that takes over.
    pub failover: Vec<(Text, Text)>,
    /// Labels, most important first; an endpoint with more of them in common is preferred.
    pub failover_priority: Vec<Text>,
    /// Whether there is any preference.
    pub enabled: bool,
}

/// Limits of one replica towards one service. `None` is without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionPool {
    /// Connections to an endpoint of all TCP and HTTP/1.1 (`tcp.maxConnections`).
    pub max_connections: Option<u32>,
    /// Longest wait for a connection: 10 s unless said.
    pub connect_timeout: Option<Duration>,
    /// A connection without bytes ends after this time.
    pub tcp_idle_timeout: Option<Duration>,
    /// A connection ends after this time in any case (`maxConnectionDuration`).
    pub max_duration: Option<Duration>,
    /// Requests that wait for a connection (`http1MaxPendingRequests`).
    pub max_pending: Option<u32>,
    /// Requests under way, whatever the version (`http2MaxRequests`).
    pub max_requests: Option<u32>,
    /// Requests after which a connection is not used again; 0 is without limit.
    pub max_requests_per_connection: Option<u32>,
    /// Retries under way (`maxRetries`).
    pub max_retries: Option<u32>,
    /// A connection without requests ends after this time: 1 h unless said.
    pub http_idle_timeout: Option<Duration>,
    /// Streams in one HTTP/2 connection.
    pub max_streams: Option<u32>,
    /// Whether HTTP/1.1 requests are sent as HTTP/2.
    pub upgrade: Option<bool>,
    /// Requests go out in the version they came in.
    pub use_client_protocol: bool,
    /// TCP keep-alive: idle time, interval, probes.
    pub keepalive: Option<(Duration, Duration, u32)>,
}

/// When an endpoint is left out (Istio OutlierDetection, with its defaults filled in).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutlierDetection {
    /// 5xx in a row, failures to connect counted; 0 is off.
    pub consecutive_5xx: u32,
    /// 502, 503, 504 in a row; 0 is off.
    pub consecutive_gateway: u32,
    /// Failures to connect and resets in a row, counted apart; `None` counts them with the others.
    pub consecutive_local: Option<u32>,
    /// How often endpoints that are out are looked at.
    pub interval: Duration,
    /// Left out for this time, times how often it has been.
    pub base_ejection: Duration,
    /// Largest share that may be out, in percent.
    pub max_ejection_percent: u32,
    /// With fewer healthy endpoints than this, in percent, nobody is left out.
    pub min_health_percent: u32,
}

/// TLS to the application.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamTls {
    /// Server name to ask for; `None` asks for the host of the request.
    pub server_name: Option<Text>,
    /// Names of which the certificate must have one; empty: the server name.
    pub names: Vec<Text>,
    /// Authorities, PEM; empty: those of the system.
    pub authorities: Text,
    /// Own certificate chain, PEM; empty for none.
    pub certificate: Text,
    /// Its key, PEM.
    pub key: Secret,
    /// Any certificate will do (`insecureSkipVerify`).
    pub insecure: bool,
    /// Why TLS cannot be set up as asked: requests are answered 503.
    pub invalid: Option<Text>,
}

/// A private key or password. Never shown.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Secret(pub Text);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_empty() { "Secret(none)" } else { "Secret(...)" })
    }
}

/// Retries under way may be this share of requests under way, and at least so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetryBudget {
    /// Share of active requests.
    pub share: Share,
    /// At least so many.
    pub minimum: u32,
    /// Counted over this time; `None`: at one moment.
    pub interval: Option<Duration>,
}
