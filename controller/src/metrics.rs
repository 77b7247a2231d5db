//! What the controller counts.

use std::time::{SystemTime, UNIX_EPOCH};

use ambit_kubernetes::{Kind, Object};
use ambit_telemetry::Registry;
use ambit_telemetry::metrics::{Counter, Family, Gauge};

use crate::index::Index;

/// The counters and gauges; clones share them.
#[derive(Debug, Clone)]
pub struct Metrics {
    objects: Family<Gauge, 1>,
    published: Family<Gauge, 1>,
    valid: Gauge,
    last_good: Gauge,
    /// Discovery streams that are open.
    pub clients: Gauge,
    /// TLS connections that are open.
    pub connections: Gauge,
    /// Connections that came to nothing, by reason.
    pub refused_connections: Family<Counter, 1>,
    /// Rejections by clients, by type.
    pub nacks: Family<Counter, 1>,
    /// Calls whose token proved nothing.
    pub unauthenticated: Counter,
    /// Certificates issued.
    pub certificates_issued: Counter,
    /// Certificates refused, by reason.
    pub certificates_refused: Family<Counter, 1>,
    /// When the root ends, seconds since 1970.
    pub root_expiry: Gauge,
    /// When the serving certificate ends, seconds since 1970.
    pub serving_expiry: Gauge,
}

impl Metrics {
    /// Registers everything.
    pub fn new(registry: &Registry) -> Self {
        Self {
            objects: registry.gauge_family("ambit_controller_objects", "Objects in force", ["kind"]),
            published: registry.gauge_family(
                "ambit_controller_published",
                "Resources published to nodes",
                ["type"],
            ),
            valid: registry.gauge(
                "ambit_controller_configuration_valid",
                "1 while the configuration directory is valid, else 0",
            ),
            last_good: registry.gauge(
                "ambit_controller_last_good_configuration_timestamp_seconds",
                "When the configuration in force was applied",
            ),
            clients: registry.gauge("ambit_controller_connected_clients", "Open discovery streams"),
            connections: registry.gauge("ambit_controller_connections", "Open TLS connections"),
            refused_connections: registry.counter_family(
                "ambit_controller_connections_refused",
                "Connections that ended before any call",
                ["reason"],
            ),
            nacks: registry.counter_family(
                "ambit_controller_nacks",
                "Resources that clients rejected",
                ["type"],
            ),
            unauthenticated: registry
                .counter("ambit_controller_unauthenticated_calls", "Calls without a valid node token"),
            certificates_issued: registry
                .counter("ambit_controller_certificates_issued", "Workload certificates issued"),
            certificates_refused: registry.counter_family(
                "ambit_controller_certificates_refused",
                "Workload certificates refused",
                ["reason"],
            ),
            root_expiry: registry
                .gauge("ambit_controller_root_expiry_timestamp_seconds", "When the root certificate ends"),
            serving_expiry: registry.gauge(
                "ambit_controller_serving_expiry_timestamp_seconds",
                "When the serving certificate ends",
            ),
        }
    }

    pub(crate) fn configuration_valid(&self, valid: bool) {
        self.valid.set(valid.into());
    }

    pub(crate) fn configuration_applied(&self, at: SystemTime) {
        self.configuration_valid(true);
        self.last_good.set(unix(at));
    }

    /// What is published, and how the number of objects changed.
    pub(crate) fn counts(&self, index: &Index, removed: &[Object], added: &[Object]) {
        let count = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
        for kind in Kind::ALL.iter().copied() {
            let of_kind =
                |objects: &[Object]| count(objects.iter().filter(|object| object.kind() == kind).count());
            self.objects.with([kind.name()]).add(of_kind(added) - of_kind(removed));
        }
        for (name, length) in ["workload", "service", "policy"].into_iter().zip(index.counts()) {
            self.published.with([name]).set(count(length));
        }
        self.published.with(["l7"]).set(count(index.l7().len()));
    }
}

/// Seconds since 1970.
pub fn unix(time: SystemTime) -> i64 {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(seconds).unwrap_or(i64::MAX)
}
