//! `ambit_certificate_*`: when certificates expire and how their renewal goes. Ours; Istio's ztunnel has no such metric.

use super::family::Family;
use super::instrument::{Counter, Gauge};
use super::registry::Registry;

/// What the keeper of certificates counts. Times are seconds since 1970, so that `expiry - time()` is what is left.
#[derive(Debug, Clone)]
pub struct CertificateMetrics {
    expiry: Family<Gauge, 1>,
    roots: Gauge,
    renewals: Family<Counter, 1>,
}

impl CertificateMetrics {
    /// Registers `ambit_certificate_expiry_timestamp_seconds{identity}`,
    /// `ambit_trust_bundle_expiry_timestamp_seconds` and `ambit_certificate_renewals_total{result}`.
    pub fn register(registry: &Registry) -> Self {
        Self {
            expiry: registry.gauge_family(
                "ambit_certificate_expiry_timestamp_seconds",
                "When the certificate of an identity expires",
                ["identity"],
            ),
            roots: registry.gauge(
                "ambit_trust_bundle_expiry_timestamp_seconds",
                "When the first root of the trust bundle expires; 0 before one is known",
            ),
            renewals: registry.counter_family(
                "ambit_certificate_renewals",
                "Certificate requests by result, ok or error",
                ["result"],
            ),
        }
    }

    /// A certificate for `identity` (its SPIFFE ID) that expires at `expiry` has been issued.
    pub fn renewed(&self, identity: &str, expiry: i64) {
        self.renewals.with(["ok"]).increment();
        self.expiry.with([identity]).set(expiry);
    }

    /// A certificate request failed; the old certificate stays.
    pub fn failed(&self) {
        self.renewals.with(["error"]).increment();
    }

    /// No pod of `identity` is left, so its certificate is dropped.
    pub fn dropped(&self, identity: &str) {
        self.expiry.remove([identity]);
    }

    /// The first root of the trust bundle expires at `expiry`.
    pub fn roots(&self, expiry: i64) {
        self.roots.set(expiry);
    }
}
