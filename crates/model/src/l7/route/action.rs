//! What a rule does with a request.

use serde::{Deserialize, Serialize};

use super::Filter;
use crate::Text;
use crate::service::ServiceKey;

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Action {
    /// To one of these, by weight. None, or no weight in all, is answered 500.
    Forward(Vec<Backend>),
    /// Back to the client, to go elsewhere.
    Redirect(Redirect),
    /// Answered here (VirtualService `directResponse`).
    Respond {
        /// Status, 200 to 599.
        status: u16,
        /// Body, at most 1 MiB.
        body: Text,
    },
}

/// One of the places where requests may go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// Where to.
    pub to: BackendRef,
    /// Its share of the rule's requests is weight over the sum of weights.
    pub weight: u32,
    /// What is done to its requests and responses, after the rule's own filters.
    pub filters: Vec<Filter>,
    /// Why it cannot be used (no such service, not permitted): its share is answered 500.
    pub invalid: Option<Text>,
}

/// A port of a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendRef {
    /// The service.
    pub service: ServiceKey,
    /// Its port; 0 is the port that the client asked for.
    pub port: u16,
    /// A subset of a DestinationRule.
    pub subset: Option<Text>,
}

/// How a path is replaced. The result is never empty: where nothing is left, it is `/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum PathRewrite {
    /// All of it.
    Full(Text),
    /// The elements that the rule's path match took (Gateway API `ReplacePrefixMatch`).
    Elements(Text),
    /// The letters that the rule's path match took (VirtualService `uri`).
    Prefix(Text),
    /// What an expression matches, every time; the replacement may name groups as `\1`.
    Regex {
        /// RE2 syntax.
        pattern: Text,
        /// What is put there.
        replacement: Text,
    },
}

/// The port of a redirect's location.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum RedirectPort {
    /// That of the scheme where the redirect names one, else that of the request (Gateway API).
    Automatic,
    /// That of the request (Istio `FROM_REQUEST_PORT`).
    Request,
    /// That of the scheme (Istio `FROM_PROTOCOL_DEFAULT`).
    Scheme,
    /// This one; omitted where it is the scheme's own.
    Fixed(u16),
}

/// A redirect.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// Scheme, if another.
    pub scheme: Option<Text>,
    /// Host, if another.
    pub host: Option<Text>,
    /// Path, if another.
    pub path: Option<PathRewrite>,
    /// Port.
    pub port: RedirectPort,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}
