//! One line per request, target `access`, with the fields of Istio's JSON access log and the workloads of our own.

use std::net::SocketAddr;
use std::time::Duration;

use tracing::{Level, enabled, event};

use crate::labels::{RequestFacts, TrafficFacts};

/// What only the log says about a request.
#[derive(Debug, Clone, Default)]
pub struct Words {
    /// Method.
    pub method: String,
    /// Path and query as they came.
    pub path: String,
    /// `HTTP/1.1`, `HTTP/2`.
    pub protocol: &'static str,
    /// Host and port as they came.
    pub authority: String,
    /// `user-agent`.
    pub user_agent: Option<String>,
    /// `x-request-id`.
    pub request_id: Option<String>,
    /// `x-forwarded-for`.
    pub forwarded_for: Option<String>,
}

/// What a line says.
pub(super) struct Record<'a> {
    pub(super) traffic: TrafficFacts<'a>,
    pub(super) request: RequestFacts,
    pub(super) words: &'a Words,
    pub(super) client: SocketAddr,
    pub(super) asked: Option<SocketAddr>,
    pub(super) upstream: Option<SocketAddr>,
    pub(super) cluster: Option<String>,
    pub(super) route: Option<&'a str>,
    pub(super) details: &'a str,
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) duration: Duration,
    pub(super) upstream_time: Option<Duration>,
}

/// Whether a line of this loudness would be written: only then are [`Words`] worth making.
pub fn is_logged() -> bool {
    enabled!(target: "access", Level::WARN)
}

macro_rules! line {
    ($level:expr, $record:expr) => {
        if enabled!(target: "access", $level) {
            let Record { traffic, request, words, .. } = $record;
            let source = traffic.source;
            let destination = traffic.destination;
            event!(
                target: "access",
                parent: None,
                $level,
                method = words.method.as_str(),
                path = words.path.as_str(),
                protocol = words.protocol,
                authority = words.authority.as_str(),
                response_code = request.code,
                response_flags = request.flags.to_string().as_str(),
                response_code_details = $record.details,
                grpc_status = request.grpc_status,
                bytes_received = $record.received,
                bytes_sent = $record.sent,
                duration = milliseconds($record.duration),
                upstream_service_time = $record.upstream_time.map(milliseconds),
                x_forwarded_for = words.forwarded_for.as_deref(),
                user_agent = words.user_agent.as_deref(),
                request_id = words.request_id.as_deref(),
                upstream_host = $record.upstream.map(tracing::field::display),
                upstream_cluster = $record.cluster.as_deref(),
                downstream_local_address = $record.asked.map(tracing::field::display),
                downstream_remote_address = %$record.client,
                route_name = $record.route,
                src.workload = source.map(|workload| &*workload.name),
                src.namespace = source.map(|workload| &*workload.namespace),
                src.identity = traffic.source_identity.map(ToString::to_string).as_deref(),
                dst.service = traffic.service.map(|service| &*service.key.hostname),
                dst.workload = destination.map(|workload| &*workload.name),
                dst.namespace = destination.map(|workload| &*workload.namespace),
                "request complete"
            );
        }
    };
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A request that this proxy answered itself, or that went wrong, is louder.
pub(super) fn write(record: &Record<'_>) {
    if record.request.flags.is_empty() {
        line!(Level::INFO, record);
    } else {
        line!(Level::WARN, record);
    }
}
