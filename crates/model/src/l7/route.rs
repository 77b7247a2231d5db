//! A route: which requests go where, and what happens to them on the way (Gateway API xRoutes, Istio VirtualService).

mod action;
mod filter;
mod resilience;

use serde::{Deserialize, Serialize};

use super::matching::{FieldMatch, PathMatch, ValueMatch};
use super::object::{ObjectKey, Target};
use crate::Text;

pub use action::{Action, Backend, BackendRef, PathRewrite, Redirect, RedirectPort};
pub use filter::{Abort, Cors, Fault, Filter, HeaderChange, Mirror, RateLimit, Rewrite};
pub use resilience::{Retry, RetryCondition, SessionKind, SessionPersistence, Timeouts};

/// Which of several matching rules counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Order {
    /// The most specific match over all routes of the parent (Gateway API, HTTPRouteRule.matches).
    Specificity,
    /// The first in the order of the list; older objects first (VirtualService).
    Listed,
}

/// What the rules are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Layer {
    /// HTTP requests.
    Http,
    /// gRPC calls. On one port of a service they come before HTTP rules.
    Grpc,
    /// TLS connections, by server name.
    Tls,
    /// TCP connections.
    Tcp,
}

/// One route. A VirtualService becomes one for each of its `http`, `tls` and `tcp` lists that has rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The user's object.
    pub key: ObjectKey,
    /// When it was created, in seconds since 1970; among equals the oldest counts, 0 is unknown and oldest.
    pub created: i64,
    /// What it is attached to: only the parents that accepted it.
    pub parents: Vec<Parent>,
    /// Host names (lower case, `*.` allowed in front) that requests must have at a Gateway; none means any. Not used
    /// where the parent is a service.
    pub hostnames: Vec<Text>,
    /// What its rules are about.
    pub layer: Layer,
    /// Which rule counts.
    pub order: Order,
    /// It stands in another namespace than some service that it is attached to (a consumer route, GEP-1426): see
    /// [`Route::is_consumer_of`].
    pub consumer: bool,
    /// The rules.
    pub rules: Vec<Rule>,
}

impl Route {
    /// Whether only clients of the route's own namespace see it at this target.
    pub fn is_consumer_of(&self, target: &Target) -> bool {
        matches!(target, Target::Service(key) if self.consumer && key.namespace != self.key.namespace)
    }
}

/// One parent of a route.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parent {
    /// A service, a gateway, or the whole mesh (VirtualService for hosts that are no service).
    pub target: Target,
    /// Only this port of it.
    pub port: Option<u16>,
    /// Only this listener of it.
    pub section: Option<Text>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name, for telemetry.
    pub name: Option<Text>,
    /// Alternatives; none matches every request.
    pub matches: Vec<Match>,
    /// What is done to requests and responses, in this order.
    pub filters: Vec<Filter>,
    /// Where they go.
    pub action: Action,
    /// How long they may take.
    pub timeouts: Timeouts,
    /// How they are tried again; `None` leaves it to the mesh's default.
    pub retry: Option<Retry>,
    /// How a client keeps its endpoint.
    pub session: Option<SessionPersistence>,
    /// Why the rule cannot be obeyed as it is written: what matches it is answered 500 (Gateway API, invalid filters).
    pub invalid: Option<Text>,
}

impl Rule {
    /// A rule for every request, with this action.
    pub fn new(action: Action) -> Self {
        Self {
            name: None,
            matches: Vec::new(),
            filters: Vec::new(),
            action,
            timeouts: Timeouts::default(),
            retry: None,
            session: None,
            invalid: None,
        }
    }
}

/// Conditions that must all hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Match {
    /// Path of the canonical request.
    pub path: Option<PathMatch>,
    /// Letters of path and query prefixes are compared without their case (VirtualService `ignoreUriCase`).
    pub ignore_path_case: bool,
    /// Method, with its case.
    pub method: Option<ValueMatch>,
    /// `http` or `https`.
    pub scheme: Option<ValueMatch>,
    /// Host and port as the client sent them, in lower case.
    pub authority: Option<ValueMatch>,
    /// Headers; several values of one header are joined by commas.
    pub headers: Vec<FieldMatch>,
    /// Headers that must not be so (VirtualService `withoutHeaders`).
    pub without_headers: Vec<FieldMatch>,
    /// Query parameters; of several values of one the first counts.
    pub query: Vec<FieldMatch>,
    /// Claims of a validated token (VirtualService headers `@request.auth.claims...`).
    pub claims: Vec<FieldMatch>,
    /// Port of the service.
    pub port: Option<u16>,
    /// Namespace of the client.
    pub source_namespace: Option<Text>,
    /// Labels of the client's workload, all of them.
    pub source_labels: Vec<(Text, Text)>,
    /// Gateways (`namespace/name`) that the request came through, `mesh` for none; none listed means any of the route's.
    pub gateways: Vec<Text>,
    /// Server names of a TLS connection, `*.` allowed in front; any of them.
    pub server_names: Vec<Text>,
    /// Blocks of destination addresses; any of them.
    pub destination_blocks: Vec<ipnet::IpNet>,
}
