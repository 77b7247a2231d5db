//! One line per connection, target `access`, with Istio's fields.
//!
//! Texts are recorded as strings, which both formats of [`crate::log`] quote and escape: whatever a peer can put into a
//! name stays inside its value, on its line.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use ambit_model::{Identity, Text, Workload};
use tracing::{Level, enabled, event};

use crate::labels::{SecurityPolicy, TrafficFacts};
use crate::report::{HboneTarget, Severity};

/// What a line says.
pub(crate) struct Record<'a> {
    pub(crate) traffic: TrafficFacts<'a>,
    pub(crate) source_address: SocketAddr,
    pub(crate) destination_address: SocketAddr,
    pub(crate) hbone_target: Option<&'a HboneTarget>,
    pub(crate) policy: Option<&'a str>,
    /// How the bytes go, where that is neither a tunnel nor plain TCP to another process.
    pub(crate) path: Option<&'a str>,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) duration: Duration,
    pub(crate) error: Option<&'a str>,
}

/// The texts of a line that have to be made.
struct Texts<'a> {
    source: Ends<'a>,
    destination: Ends<'a>,
    service: Option<&'a str>,
    direction: &'static str,
}

struct Ends<'a> {
    workload: Option<&'a str>,
    namespace: Option<&'a str>,
    identity: Option<String>,
    cluster: Option<&'a str>,
}

impl Record<'_> {
    fn texts(&self) -> Texts<'_> {
        let traffic = &self.traffic;
        let mutual = traffic.security == SecurityPolicy::MutualTls;
        let proved = traffic.source_identity.filter(|_| mutual);
        let expected = traffic.destination.filter(|_| mutual).map(|workload| &workload.identity);
        Texts {
            source: ends(traffic.source, proved),
            destination: ends(traffic.destination, expected),
            service: traffic.service.map(|service| &*service.key.hostname),
            direction: traffic.reporter.direction(),
        }
    }
}

fn ends<'a>(workload: Option<&'a Workload>, identity: Option<&Identity>) -> Ends<'a> {
    let known = |text: fn(&'a Workload) -> &'a Text| {
        workload.map(|workload| &**text(workload)).filter(|text| !text.is_empty())
    };
    Ends {
        workload: known(|workload| &workload.name),
        namespace: known(|workload| &workload.namespace),
        identity: identity.map(text_of),
        cluster: known(|workload| &workload.cluster),
    }
}

fn text_of(identity: &Identity) -> String {
    // Long enough for nearly all.
    let mut text = String::with_capacity(128);
    // Writing to a string does not fail.
    let _ = write!(text, "{identity}");
    text
}

/// The line of an end. The level must be a constant where the event is.
macro_rules! ended {
    ($level:expr, $record:expr, $message:literal) => {
        // The texts cost more than the rest of the line; where it is off they are not made.
        if enabled!(target: "access", $level) {
            let texts = $record.texts();
            event!(
                target: "access",
                parent: None,
                $level,
                src.addr = %$record.source_address,
                src.workload = texts.source.workload,
                src.namespace = texts.source.namespace,
                src.identity = texts.source.identity.as_deref(),
                src.cluster = texts.source.cluster,
                dst.addr = %$record.destination_address,
                dst.hbone_addr = $record.hbone_target.map(display),
                dst.service = texts.service,
                dst.workload = texts.destination.workload,
                dst.namespace = texts.destination.namespace,
                dst.identity = texts.destination.identity.as_deref(),
                dst.cluster = texts.destination.cluster,
                direction = texts.direction,
                bytes_sent = $record.sent,
                bytes_recv = $record.received,
                duration = format!("{}ms", $record.duration.as_millis()).as_str(),
                error = $record.error,
                policy = $record.policy,
                connection.path = $record.path,
                $message
            );
        }
    };
}

/// The connection was opened.
pub(crate) fn opened(record: &Record<'_>) {
    if !enabled!(target: "access", Level::DEBUG) {
        return;
    }
    let texts = record.texts();
    event!(
        target: "access",
        parent: None,
        Level::DEBUG,
        src.addr = %record.source_address,
        src.workload = texts.source.workload,
        src.namespace = texts.source.namespace,
        src.identity = texts.source.identity.as_deref(),
        src.cluster = texts.source.cluster,
        dst.addr = %record.destination_address,
        dst.hbone_addr = record.hbone_target.map(display),
        dst.service = texts.service,
        dst.workload = texts.destination.workload,
        dst.namespace = texts.destination.namespace,
        dst.identity = texts.destination.identity.as_deref(),
        dst.cluster = texts.destination.cluster,
        direction = texts.direction,
        connection.path = record.path,
        "connection opened"
    );
}

/// The connection ended well.
pub(crate) fn complete(record: &Record<'_>) {
    ended!(Level::INFO, record, "connection complete");
}

/// The connection had been opened and ended badly.
pub(crate) fn failed_open(record: &Record<'_>, severity: Severity) {
    match severity {
        Severity::Usual => ended!(Level::ERROR, record, "connection complete"),
        Severity::Warning => ended!(Level::WARN, record, "connection complete"),
        Severity::Information => ended!(Level::INFO, record, "connection complete"),
        Severity::Debug => ended!(Level::DEBUG, record, "connection complete"),
    }
}

/// The connection ended before it was opened.
pub(crate) fn failed_early(record: &Record<'_>, severity: Severity) {
    match severity {
        Severity::Usual | Severity::Warning => ended!(Level::WARN, record, "connection failed"),
        Severity::Information => ended!(Level::INFO, record, "connection failed"),
        Severity::Debug => ended!(Level::DEBUG, record, "connection failed"),
    }
}
