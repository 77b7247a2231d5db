//! What the client does, in Istio's metrics.

use ambit_telemetry::metrics::{TerminationReason, XdsMetrics};

use super::{Observer, Termination};
use crate::Kind;

impl Observer for XdsMetrics {
    fn received(&self, kind: Kind, bytes: usize) {
        self.message(kind.type_url(), bytes as u64);
    }

    fn terminated(&self, why: Termination) {
        XdsMetrics::terminated(
            self,
            match why {
                Termination::ConnectionError => TerminationReason::ConnectionError,
                Termination::Error => TerminationReason::Error,
                Termination::Reconnect => TerminationReason::Reconnect,
                Termination::Complete => TerminationReason::Complete,
            },
        );
    }
}
