//! `ambit_certificate_*`: how long the node's certificates last. Ours; Istio's ztunnel has no such metric, and expired
//! certificates that nobody noticed have taken whole meshes down.

use std::time::{SystemTime, UNIX_EPOCH};

use ambit_identity::Certificates;
use ambit_telemetry::metrics::exposition::write_label;
use ambit_telemetry::metrics::{Collect, Exposition, Kind};

/// Reads the store at every scrape.
#[derive(Debug)]
pub struct CertificateMetrics(pub Certificates);

impl Collect for CertificateMetrics {
    fn collect(&self, out: &mut Exposition) {
        let entries = self.0.entries();
        let labels = |identity: &ambit_model::Identity| {
            let mut labels = String::new();
            write_label(&mut labels, "identity", &identity.to_string());
            labels
        };
        let name = "ambit_certificate_available";
        let mut available =
            out.family(name, "Whether the identity has a certificate in use, 1 or 0", Kind::Gauge);
        for entry in &entries {
            available.sample(&labels(&entry.identity), u8::from(entry.certificate.is_some()));
        }
        let name = "ambit_certificate_expiry_timestamp_seconds";
        let help = "When the certificate of an identity expires, in seconds since 1970";
        let mut expiry = out.family(name, help, Kind::Gauge);
        for (entry, certificate) in
            entries.iter().filter_map(|entry| Some((entry, entry.certificate.as_ref()?)))
        {
            expiry.sample(&labels(&entry.identity), seconds(certificate.not_after()));
        }
        let roots =
            entries.iter().filter_map(|entry| entry.certificate.as_ref()).flat_map(|each| each.roots());
        if let Some(first) = roots.map(|root| root.not_after).min() {
            let name = "ambit_trust_bundle_expiry_timestamp_seconds";
            let help = "When the first root of the trust bundle expires, in seconds since 1970";
            out.family(name, help, Kind::Gauge).sample("", seconds(first));
        }
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
