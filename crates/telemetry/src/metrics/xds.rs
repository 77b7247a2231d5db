//! `istio_xds_*`: the connection to the control plane.

use super::family::Family;
use super::instrument::Counter;
use super::registry::Registry;

/// Why a connection to the control plane ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TerminationReason {
    /// It could not be made, or was lost.
    ConnectionError,
    /// The stream ended with an error.
    Error,
    /// The server asked for a new one, as it does from time to time.
    Reconnect,
    /// The stream ended in order.
    Complete,
}

impl TerminationReason {
    /// The value of the label `reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConnectionError => "ConnectionError",
            Self::Error => "Error",
            Self::Reconnect => "Reconnect",
            Self::Complete => "Complete",
        }
    }
}

/// What a configuration client counts.
#[derive(Debug, Clone)]
pub struct XdsMetrics {
    terminations: Family<Counter, 1>,
    messages: Family<Counter, 1>,
    bytes: Family<Counter, 1>,
}

impl XdsMetrics {
    /// Registers `istio_xds_connection_terminations_total{reason}`, `istio_xds_message_total{url}` and
    /// `istio_xds_message_bytes_total{url}`.
    pub fn register(registry: &Registry) -> Self {
        Self {
            terminations: registry.counter_family(
                "istio_xds_connection_terminations",
                "Ended connections to the control plane",
                ["reason"],
            ),
            messages: registry.counter_family(
                "istio_xds_message",
                "Messages received from the control plane",
                ["url"],
            ),
            bytes: registry.counter_family(
                "istio_xds_message_bytes",
                "Bytes received from the control plane",
                ["url"],
            ),
        }
    }

    /// A connection ended.
    pub fn terminated(&self, reason: TerminationReason) {
        self.terminations.with([reason.as_str()]).increment();
    }

    /// A response for `type_url` of `bytes` bytes of resources arrived.
    pub fn message(&self, type_url: &str, bytes: u64) {
        self.messages.with([type_url]).increment();
        self.bytes.with([type_url]).add(bytes);
    }
}
