//! Telemetry: spans, metrics and access logs per target (Istio `telemetry.istio.io/v1`).

use serde::{Deserialize, Serialize};

use super::matching::Share;
use super::object::{ObjectKey, Target};
use crate::Text;

/// One object. What a nearer target says goes before what a wider one says, field by field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// The user's object.
    pub key: ObjectKey,
    /// When it was created, in seconds since 1970.
    pub created: i64,
    /// Where it applies.
    pub targets: Vec<Target>,
    /// Spans.
    pub tracing: Option<Tracing>,
    /// Access logs.
    pub access_log: Option<AccessLog>,
    /// Metrics.
    pub metrics: Vec<MetricOverride>,
}

/// Spans.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tracing {
    /// Providers by name; `None` is not said.
    pub providers: Option<Vec<Text>>,
    /// Share of requests that begin a trace; `None` is not said.
    pub sampling: Option<Share>,
    /// No spans at all.
    pub disabled: Option<bool>,
    /// Further tags.
    pub tags: Vec<(Text, Tag)>,
}

/// Where a tag's value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Tag {
    /// It is this.
    Literal(Text),
    /// From a request header, or else this.
    Header(Text, Text),
    /// From the waypoint's environment, or else this.
    Environment(Text, Text),
}

/// Access logs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessLog {
    /// None at all.
    pub disabled: Option<bool>,
    /// Only responses of at least this status, a simple form of Istio's filter expression.
    pub minimum_status: Option<u16>,
}

/// A change to a metric's labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricOverride {
    /// Which metric, by Istio's name of it (`REQUEST_COUNT`); `None` for all.
    pub metric: Option<Text>,
    /// Not counted at all.
    pub disabled: Option<bool>,
    /// Labels that are left out.
    pub remove: Vec<Text>,
}
