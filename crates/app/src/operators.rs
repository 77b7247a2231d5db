//! What the operators of a proxy are served: `/config_dump`, `/logging`, `/metrics`, readiness. Localhost, but for metrics
//! and readiness.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::SystemTime;

use ambit_identity::Certificates;
use ambit_identity::certificate::Description;
use ambit_identity::certificates::CertificateEntry;
use ambit_telemetry::log::LogControl;
use ambit_telemetry::metrics::Registry;
use ambit_transport::Watch;
use ambit_transport::listen::{ListenError, ListenOptions, tcp_listener};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::admin::{self, Document, LogChange, MetricsFormat};
use crate::settings::proxy::Ports;
use crate::{Readiness, Routes, Trigger};

/// What the routes read and change.
#[derive(Debug, Clone)]
pub struct Operators {
    /// Metrics.
    pub registry: Registry,
    /// What is pending.
    pub readiness: Readiness,
    /// Log levels.
    pub log: LogControl,
    /// The end.
    pub trigger: Trigger,
}

impl Operators {
    /// Serves all of it on this runtime until `watch` drains. `dump` makes what `/config_dump` answers.
    ///
    /// # Errors
    /// A port is taken.
    pub fn serve<D>(&self, ports: Ports, ipv6: bool, dump: D, watch: &Watch) -> Result<(), ListenError>
    where
        D: Fn() -> Document + Clone + Send + Sync + 'static,
    {
        for listener in admin::localhost(ports.admin)? {
            spawn(listener, self.administration(dump.clone()), watch);
        }
        let wildcard: IpAddr = if ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { [0, 0, 0, 0].into() };
        let options = ListenOptions { dual_stack: ipv6, reuse_port: true, ..ListenOptions::default() };
        let listen = |port| tcp_listener(SocketAddr::new(wildcard, port), &options);
        spawn(listen(ports.stats)?, self.statistics(), watch);
        spawn(listen(ports.readiness)?, self.health(), watch);
        Ok(())
    }

    /// The administration routes, for localhost.
    pub fn administration(&self, dump: impl Fn() -> Document + Send + Sync + 'static) -> Routes {
        let log = self.log.clone();
        self.statistics()
            .readiness("/healthz/ready", self.readiness.clone())
            .config_dump(move || std::future::ready(dump()))
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
            std::future::ready(registry.encode(accept).1)
        })
    }

    /// The readiness routes.
    pub fn health(&self) -> Routes {
        Routes::new().readiness("/healthz/ready", self.readiness.clone())
    }
}

fn spawn(listener: TcpListener, routes: Routes, watch: &Watch) {
    let served = admin::serve(listener, Arc::new(routes), watch.clone());
    tokio::spawn(async move {
        if let Err(error) = served.await {
            tracing::error!(%error, "an operator port cannot be served");
        }
    });
}

/// The store of certificates as `istioctl` reads it in a dump.
pub fn certificates(store: &Certificates) -> impl Iterator<Item = Value> + Send + 'static {
    store.entries().into_iter().map(|entry| certificate(&entry))
}

fn certificate(entry: &CertificateEntry) -> Value {
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
