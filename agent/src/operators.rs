//! What operators can ask: readiness, metrics, and where each pod stands.

use std::sync::Arc;

use ambit_app::admin::{Answer, LogChange};
use ambit_app::{Readiness, Routes};
use ambit_telemetry::log::LogControl;
use ambit_telemetry::metrics::{Counter, Family, Gauge, Registry};
use serde_json::{Value, json};
use tokio::sync::watch;

/// Every word of [`crate::plan::Standing::word`].
const STATES: [&str; 7] = ["outside", "leaving", "working", "blocked", "waiting", "rejected", "captured"];

/// One pod for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodRow {
    pub(crate) pod: String,
    pub(crate) uid: String,
    pub(crate) netns: Option<String>,
    pub(crate) namespace_id: Option<String>,
    pub(crate) rules: &'static str,
    pub(crate) ztunnel: &'static str,
    pub(crate) state: &'static str,
    pub(crate) reason: String,
    pub(crate) explained: bool,
}

impl PodRow {
    fn json(&self) -> Value {
        json!({
            "pod": self.pod,
            "uid": self.uid,
            "netns": self.netns,
            "netns_id": self.namespace_id,
            "state": self.state,
            "rules": self.rules,
            "ztunnel": self.ztunnel,
            "reason": self.reason,
        })
    }
}

/// What is counted.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pods: Family<Gauge, 1>,
    repairs: Counter,
    problems: Gauge,
    valid: Gauge,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        Self {
            pods: registry.gauge_family("ambit_agent_pods", "Pods of this node by state", ["state"]),
            repairs: registry
                .counter("ambit_agent_repairs", "Times that a pod's rules were found changed and repaired"),
            problems: registry
                .gauge("ambit_agent_configuration_problems", "Problems of the configuration directory now"),
            valid: registry
                .gauge("ambit_agent_configuration_valid", "1 when the configuration directory is valid"),
        }
    }

    pub(crate) fn pods(&self, rows: &[PodRow]) {
        for state in STATES {
            let count = rows.iter().filter(|row| row.state == state).count();
            self.pods.with([state]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    pub(crate) fn repaired(&self) {
        self.repairs.increment();
    }

    pub(crate) fn problems(&self, count: usize) {
        self.problems.set(i64::try_from(count).unwrap_or(i64::MAX));
        self.valid.set(i64::from(count == 0));
    }
}

/// The paths that everybody may ask.
pub(crate) fn routes(readiness: Readiness, registry: Registry) -> Routes {
    Routes::new().readiness("/healthz/ready", readiness).metrics(move |format| {
        let (_, text) = registry.encode(format.content_type());
        async move { text }
    })
}

/// The paths that tell of pods or change something: for localhost only.
pub(crate) fn private_routes(
    routes: Routes,
    rows: watch::Receiver<Arc<Vec<PodRow>>>,
    log: LogControl,
) -> Routes {
    routes
        .logging(move |change| match change {
            LogChange::Show => Ok(log.current()),
            LogChange::Level(level) => log.add(&level.replace(':', "=")).map_err(|error| error.to_string()),
            LogChange::Reset => log.reset("").map_err(|error| error.to_string()),
        })
        .get("/pods", "where each pod of this node stands, as JSON", move |_| {
            let rows: Vec<Value> = rows.borrow().iter().map(PodRow::json).collect();
            async move { Answer::json(&Value::Array(rows)) }
        })
}
