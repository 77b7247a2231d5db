//! What happens to requests and responses on their way.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{BackendRef, PathRewrite};
use crate::Text;
use crate::l7::matching::{Share, ValueMatch};

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Filter {
    /// Headers of the request.
    Request(HeaderChange),
    /// Headers of the response.
    Response(HeaderChange),
    /// Host and path of the request.
    Rewrite(Rewrite),
    /// A copy of the request, whose answer nobody waits for.
    Mirror(Mirror),
    /// Cross-origin requests.
    Cors(Cors),
    /// A fault on purpose.
    Fault(Fault),
    /// So many requests and no more.
    RateLimit(RateLimit),
}

/// Changes to headers: first set, then add, then remove. Names are in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderChange {
    /// Replaces every value. `host` is the authority of a request.
    pub set: Vec<(Text, Text)>,
    /// Adds a value to those that are there.
    pub add: Vec<(Text, Text)>,
    /// Removes every value.
    pub remove: Vec<Text>,
}

/// Replaces host or path before the request goes to its backend; matching is over by then.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rewrite {
    /// Host.
    pub host: Option<Text>,
    /// Path.
    pub path: Option<PathRewrite>,
}

/// A copy of a share of the requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// Where to.
    pub to: BackendRef,
    /// Which share.
    pub share: Share,
    /// Why it cannot be obeyed: the rule is answered 500.
    pub invalid: Option<Text>,
}

/// Cross-origin rules (Fetch standard, CORS protocol).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// Allowed origins.
    pub origins: Vec<ValueMatch>,
    /// Allowed methods; `*` allows all.
    pub methods: Vec<Text>,
    /// Allowed request headers; `*` allows all.
    pub headers: Vec<Text>,
    /// Response headers that scripts may read.
    pub expose: Vec<Text>,
    /// How long a preflight's answer may be kept.
    pub max_age: Option<Duration>,
    /// Whether credentials are allowed.
    pub credentials: bool,
    /// Preflights that are not allowed go on to the backend instead of being answered here (Istio
    /// `unmatchedPreflights`).
    pub forward_unmatched: bool,
}

/// Delays or aborts a share of the requests (Istio HTTPFaultInjection). Each share is drawn for itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// How long, and which share.
    pub delay: Option<(Duration, Share)>,
    /// With what, and which share.
    pub abort: Option<(Abort, Share)>,
}

/// How a request is aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Abort {
    /// With an HTTP status.
    Http(u16),
    /// With a gRPC status.
    Grpc(u16),
}

/// A token bucket on each waypoint replica.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// Requests that may come at once.
    pub burst: u32,
    /// Requests that are added ...
    pub fill: u32,
    /// ... in each of these intervals.
    pub interval: Duration,
    /// One bucket for each client identity rather than one for all.
    pub per_client: bool,
}
