//! The settings that the proxies of the mesh share, under the names of Istio's ztunnel.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use ambit_identity::control::ControlError;
use ambit_identity::{ControlChannel, ControlSettings, RootCa, tls};
use ambit_model::traffic::ports;
use ambit_transport::Keepalive;
use serde_json::{Map, Value};

use super::{Environment, Problem, parse_duration};
use crate::runtime::{cores, worker_threads};

const DEFAULT_ROOTS: &str = "./var/run/secrets/istio/root-cert.pem";
const DEFAULT_DRAIN: Duration = Duration::from_secs(5);

/// Where certificates and configuration come from, and how it is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `https://HOST:PORT`.
    pub address: String,
    /// The root certificates that its certificate must chain to.
    pub roots: RootCa,
    /// Name to verify instead of the host of the address.
    pub verify_name: Option<String>,
    /// Further headers of each request.
    pub headers: BTreeMap<String, String>,
}

impl Endpoint {
    /// A connection to it that is made when needed, with the token of this file.
    ///
    /// # Errors
    /// An address, a header or a root certificate that cannot be used.
    pub fn channel(&self, token: &Path, cluster: &str) -> Result<ControlChannel, ControlError> {
        let mut control = ControlSettings::new(&self.address, self.roots.clone());
        control.verify_name = self.verify_name.clone();
        control.token = Some(token.to_owned());
        control.cluster_id = Some(cluster.to_owned());
        let lower = |(name, value): (&String, &String)| (name.to_lowercase(), value.clone());
        control.headers = self.headers.iter().map(lower).collect();
        ControlChannel::new(control)
    }
}

/// The ports that a proxy serves for operators in its own namespace. `AMBIT_ADMIN_PORT`, `AMBIT_STATS_PORT` and
/// `AMBIT_READINESS_PORT` move them, so that several nodes fit on one machine; 0 lets the system choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// Localhost only.
    pub admin: u16,
    /// Every address.
    pub stats: u16,
    /// Every address.
    pub readiness: u16,
}

impl Ports {
    /// As set.
    pub fn read(env: &mut Environment) -> Self {
        Self {
            admin: env.number("AMBIT_ADMIN_PORT", ports::ADMIN, 0..=u16::MAX),
            stats: env.number("AMBIT_STATS_PORT", ports::STATS, 0..=u16::MAX),
            readiness: env.number("AMBIT_READINESS_PORT", ports::READINESS, 0..=u16::MAX),
        }
    }
}

/// How the mesh's TLS is spoken (`AMBIT_TLS_RECORDS`, `AMBIT_TLS_RESUMPTION`).
pub fn tls_options(env: &mut Environment) -> tls::Options {
    let usual = tls::Options::default();
    let layers = [("own", tls::Layer::Own), ("library", tls::Layer::Library)];
    tls::Options {
        records: env.choice("AMBIT_TLS_RECORDS", usual.records, &layers),
        resumption: env.choice("AMBIT_TLS_RESUMPTION", usual.resumption, &[("on", true), ("off", false)]),
    }
}

/// A service of the controller: `PREFIX_ADDRESS`, `PREFIX_ROOT_CA`, `ALT_PREFIX_HOSTNAME`, `PREFIX_HEADER_*`.
pub fn endpoint(env: &mut Environment, prefix: &str, default: &str) -> Endpoint {
    let address = env.parsed(&format!("{prefix}_ADDRESS"), "https://HOST:PORT", |value| {
        // Istio's charts may leave the scheme out.
        let value = if value.contains("://") { value.to_owned() } else { format!("https://{value}") };
        let uri: http::Uri = value.parse().map_err(|error: http::uri::InvalidUri| error.to_string())?;
        match (uri.scheme_str(), uri.host()) {
            (Some("https"), Some(_)) => Ok(value.trim_end_matches('/').to_owned()),
            (Some("http"), _) => Err("configuration is never taken from an unencrypted port".to_owned()),
            _ => Err("it is not".to_owned()),
        }
    });
    Endpoint {
        address: address.unwrap_or_else(|| default.to_owned()),
        roots: roots(env.text(&format!("{prefix}_ROOT_CA"), DEFAULT_ROOTS)),
        verify_name: env.optional_text(&format!("ALT_{prefix}_HOSTNAME")),
        headers: env.prefixed(&format!("{prefix}_HEADER_")),
    }
}

/// Istio's three forms: a file, PEM text, or the word `SYSTEM`.
fn roots(value: String) -> RootCa {
    match value.as_str() {
        "SYSTEM" => RootCa::System,
        text if text.contains("-----BEGIN CERTIFICATE-----") => RootCa::Pem(value),
        _ => RootCa::File(value.into()),
    }
}

/// What is said to the controller: `ISTIO_META_*` as text and `ISTIO_METAJSON_*` as JSON, without their prefixes.
pub fn metadata(env: &mut Environment) -> Map<String, Value> {
    let texts = env.prefixed("ISTIO_META_").into_iter();
    let mut metadata: Map<String, Value> = texts.map(|(name, text)| (name, Value::String(text))).collect();
    for (name, text) in env.prefixed("ISTIO_METAJSON_") {
        match serde_json::from_str(&text) {
            Ok(value) => {
                metadata.insert(name, value);
            }
            Err(error) => {
                let name = format!("ISTIO_METAJSON_{name}");
                env.problem(Problem::new(&name, Some(&text), "JSON", &error.to_string()));
            }
        }
    }
    metadata
}

/// Data-plane threads, by the variable `name`.
pub fn workers(env: &mut Environment, name: &str) -> usize {
    let cores = cores();
    let accepted = "a number of threads, or a percentage of the processors such as 50%";
    let set = env.parsed(name, accepted, |value| worker_threads(Some(value), cores));
    set.or_else(|| worker_threads(None, cores).ok()).unwrap_or(2)
}

/// How long connections may go on after a SIGTERM (`CONNECTION_TERMINATION_DEADLINE`, or
/// `TERMINATION_GRACE_PERIOD_SECONDS` less a few seconds).
pub fn drain(env: &mut Environment) -> Duration {
    let explicit = env.parsed("CONNECTION_TERMINATION_DEADLINE", "a duration such as 25s", parse_duration);
    let grace = env.parsed("TERMINATION_GRACE_PERIOD_SECONDS", "a number of seconds", str::parse::<u64>);
    // The last seconds are for closing what is left in an orderly way before the kill.
    let within_grace =
        grace.map(|grace| Duration::from_secs(if grace > 10 { grace - 5 } else { grace.max(2) - 1 }));
    explicit.or(within_grace).unwrap_or(DEFAULT_DRAIN)
}

/// Probes of sockets (`KEEPALIVE_ENABLED`, `_TIME`, `_INTERVAL`, `_RETRIES`).
pub fn keepalive(env: &mut Environment) -> Option<Keepalive> {
    let usual = Keepalive::default();
    let keepalive = Keepalive {
        idle: env.duration("KEEPALIVE_TIME", usual.idle),
        interval: env.duration("KEEPALIVE_INTERVAL", usual.interval),
        probes: env.number("KEEPALIVE_RETRIES", usual.probes, 1..=127),
    };
    env.flag("KEEPALIVE_ENABLED", true).then_some(keepalive)
}
