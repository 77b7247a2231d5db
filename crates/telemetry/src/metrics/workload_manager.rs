//! `workload_manager_*`: the pods that the node agent has handed over. Istio's names, which have no prefix.

use super::instrument::{Counter, Gauge};
use super::registry::Registry;

/// What the receiver of pods counts.
#[derive(Debug, Clone)]
pub struct WorkloadManagerMetrics {
    /// `workload_manager_active_proxy_count`: pods that are served.
    pub active: Gauge,
    /// `workload_manager_pending_proxy_count`: pods that could not be served yet and are tried again.
    pub pending: Gauge,
    /// `workload_manager_proxies_started_total`.
    pub started: Counter,
    /// `workload_manager_proxies_stopped_total`.
    pub stopped: Counter,
}

impl WorkloadManagerMetrics {
    /// Registers the four.
    pub fn register(registry: &Registry) -> Self {
        Self {
            active: registry.gauge("workload_manager_active_proxy_count", "Pods that are served"),
            pending: registry.gauge("workload_manager_pending_proxy_count", "Pods that wait to be served"),
            started: registry.counter("workload_manager_proxies_started", "Pods that began to be served"),
            stopped: registry.counter("workload_manager_proxies_stopped", "Pods that ceased to be served"),
        }
    }
}
