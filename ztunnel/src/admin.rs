//! What operators see: `/config_dump`, `/logging`, `/metrics`, readiness. Localhost, but for metrics and readiness.

use std::sync::Arc;
use std::time::SystemTime;

use ambit_app::admin::{Document, LogChange, MetricsFormat};
use ambit_app::{Readiness, Routes, Trigger};
use ambit_identity::Certificates;
use ambit_identity::certificate::Description;
use ambit_telemetry::log::LogControl;
use ambit_telemetry::metrics::Registry;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::configuration::Configuration;
use crate::connections::{self, Connections};
use crate::dump;
use crate::pods::PodState;
use crate::settings::Settings;

/// What the routes read.
#[derive(Clone)]
pub struct Sources {
    /// Settings of the process.
    pub settings: Arc<Settings>,
    /// Configuration from the controller.
    pub configuration: Configuration,
    /// Certificates.
    pub certificates: Certificates,
    /// The pods and whether they are served.
    pub pods: watch::Receiver<Vec<PodState>>,
    /// The open connections of each worker.
    pub connections: Vec<Connections>,
    /// Metrics.
    pub registry: Registry,
    /// What is pending.
    pub readiness: Readiness,
    /// Log levels.
    pub log: LogControl,
    /// The end.
    pub trigger: Trigger,
}

impl Sources {
    /// The administration routes, for localhost.
    pub fn administration(&self) -> Routes {
        let (dumped, log) = (self.clone(), self.log.clone());
        self.statistics()
            .readiness("/healthz/ready", self.readiness.clone())
            .config_dump(move || {
                let dump = dumped.dump();
                async move { dump }
            })
            .logging(move |change| {
                let levels = match change {
                    LogChange::Show => Ok(log.current()),
                    LogChange::Level(levels) => log.add(&levels.replace(':', "=")),
                    LogChange::Reset => log.reset(""),
                };
                levels.map_err(|error| error.to_string())
            })
            .quit(self.trigger.clone())
    }

    /// The metrics routes.
    pub fn statistics(&self) -> Routes {
        let registry = self.registry.clone();
        Routes::new().metrics(move |format| {
            let accept = match format {
                MetricsFormat::OpenMetrics => "application/openmetrics-text",
                MetricsFormat::Text => "",
            };
            let (_, text) = registry.encode(accept);
            async move { text }
        })
    }

    /// The readiness routes.
    pub fn health(&self) -> Routes {
        Routes::new().readiness("/healthz/ready", self.readiness.clone())
    }

    fn dump(&self) -> Document {
        let product = json!({ "version": env!("CARGO_PKG_VERSION"), "product": "ambit" });
        dump::resources(self.configuration.snapshot())
            .list("certificates", self.certificates.entries().into_iter().map(|entry| certificate(&entry)))
            .member("workloadState", pods(&self.pods.borrow(), &self.connections))
            .member("config", settings(&self.settings))
            .member("staticConfig", json!({ "workloads": [], "policies": [], "services": [] }))
            .member("version", product)
    }
}

fn certificate(entry: &ambit_identity::certificates::CertificateEntry) -> Value {
    let list = |list: Vec<Description>| list.iter().map(description).collect::<Value>();
    json!({
        "identity": entry.identity.to_string(),
        "state": entry.state.to_string(),
        "certChain": entry.certificate.as_ref().map_or(json!([]), |certificate| list(certificate.chain())),
        "rootCerts": entry.certificate.as_ref().map_or(json!([]), |certificate| list(certificate.roots())),
    })
}

fn description(description: &Description) -> Value {
    json!({
        // Istio's readers take the whole PEM text as Base64.
        "pem": STANDARD.encode(&description.pem),
        "serialNumber": description.serial,
        "validFrom": rfc3339(description.not_before),
        "expirationTime": rfc3339(description.not_after),
    })
}

fn rfc3339(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|_| "unknown".into(), |time| time.to_string())
}

fn pods(pods: &[PodState], connections: &[Connections]) -> Value {
    let state = |state: &PodState| {
        let info = json!({
            "name": &*state.pod.name,
            "namespace": &*state.pod.namespace,
            "serviceAccount": &*state.pod.service_account,
        });
        let mut dump =
            json!({ "state": if state.failed.is_some() { "Pending" } else { "Up" }, "info": info });
        let open: Vec<_> = connections.iter().flat_map(|worker| worker.of(&state.pod)).collect();
        dump["connections"] = connections::dump(&open);
        if let Some(reason) = &state.failed {
            dump["reason"] = json!(reason);
        }
        (state.uid.to_string(), dump)
    };
    Value::Object(pods.iter().map(state).collect())
}

fn settings(settings: &Settings) -> Value {
    json!({
        "localNode": settings.node,
        "clusterId": settings.cluster,
        "xdsAddress": settings.xds.address,
        "caAddress": settings.ca.address,
        "numWorkerThreads": settings.workers,
        "secretTtl": format!("{:?}", settings.certificate_lifetime),
        "poolMaxStreamsPerConn": settings.tunnel_streams,
        "windowSize": settings.stream_window,
        "connectionWindowSize": settings.connection_window,
        "frameSize": settings.frame,
        "packetMark": settings.mark,
        "ipv6Enabled": settings.ipv6,
        "selfTerminationDeadline": format!("{:?}", settings.drain),
        "inpodUds": settings.agent_socket,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_dumped_as_istioctl_reads_it() {
        let start = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
        let dumped = description(&Description {
            pem: "-----BEGIN CERTIFICATE-----\n".into(),
            serial: "271676055104741785552467469040731750696653685944".into(),
            not_before: start,
            not_after: start + std::time::Duration::from_secs(3600),
        });
        assert_eq!(dumped["pem"], "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==");
        assert_eq!(dumped["serialNumber"], "271676055104741785552467469040731750696653685944");
        assert_eq!(dumped["validFrom"], "2023-11-14T22:13:20Z");
        assert_eq!(dumped["expirationTime"], "2023-11-14T23:13:20Z");
    }
}
