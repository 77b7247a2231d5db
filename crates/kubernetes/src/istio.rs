//! Istio's objects for requests as users write them; nothing unknown is accepted.
//!
//! Field semantics are those of Istio's API, version 1.31. What its CRDs read as protobuf JSON (durations, enums by
//! name) is read so here.

mod connection_pool;
mod destination_rule;
mod duration;
mod grpc_status;
mod http_extras;
mod http_route;
mod load_balancer;
mod mesh_config;
mod request_authentication;
mod service_entry;
mod telemetry;
mod virtual_service;

pub use connection_pool::{ConnectionKeepalive, ConnectionPool, H2Upgrade, HttpPool, TcpKeepalive, TcpPool};
pub use destination_rule::{
    ClientTls, DestinationRule, DestinationRuleSpec, OutlierDetection, PortSelector, PortTrafficPolicy,
    ProxyProtocol, ProxyProtocolVersion, RetryBudget, Subset, TlsMode, TrafficPolicy, Tunnel,
};
pub use duration::{InvalidIstioDuration, IstioDuration};
pub use grpc_status::grpc_status;
pub use http_extras::{CorsPolicy, FaultAbort, FaultDelay, FaultInjection, UnmatchedPreflights};
pub use http_route::{
    Delegate, DerivePort, DirectResponse, HeaderOperations, Headers, HttpBody, HttpMatchRequest,
    HttpRedirect, HttpRetry, HttpRewrite, HttpRoute, HttpRouteDestination, MirrorPolicy, Percent,
    RegexRewrite,
};
pub use load_balancer::{
    ConsistentHash, CookieAttribute, Distribute, Failover, HttpCookie, LoadBalancer, LocalitySetting, Maglev,
    RingHash, SimpleBalancer, WarmupConfiguration, ZoneAwareSetting,
};
pub use mesh_config::{
    CheckedBody, ConfigMap, ExtAuthzGrpc, ExtAuthzHttp, ExtensionProvider, HttpService, MESH_CONFIG_MAP,
    MESH_KEY, MeshConfig, NormalizationType, OpenTelemetry, PathNormalization,
};
pub use request_authentication::{
    ClaimToHeader, JwtHeader, JwtRule, RequestAuthentication, RequestAuthenticationSpec,
};
pub use service_entry::{
    EntryPort, LabelsSelector, Location, Resolution, ServiceEntry, ServiceEntrySpec, WorkloadEntry,
    WorkloadEntrySpec,
};
pub use telemetry::{
    AccessLogging, CustomTag, IstioMetric, LogFilter, MetricSelector, Metrics, MetricsOverride, ModeMatch,
    TagOperation, TagOverride, TagSource, TagValue, Telemetry, TelemetrySpec, Tracing, WorkloadMode,
};
pub use virtual_service::{
    Destination, L4Match, RouteDestination, StringMatch, TcpRoute, TlsMatch, TlsRoute, VirtualService,
    VirtualServiceSpec,
};
