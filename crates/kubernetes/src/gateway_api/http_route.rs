//! HTTPRoute: which HTTP requests go where.

use serde::{Deserialize, Serialize};

use super::{BackendObject, GatewayDuration, HTTPRouteFilter, HttpMatch, ParentRef, SessionPersistence};
use crate::{Metadata, fields};

/// `gateway.networking.k8s.io/v1` and `v1beta1` HTTPRoute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HTTPRoute {
    /// Name and namespace.
    pub metadata: Metadata,
    /// What it says.
    pub spec: HTTPRouteSpec,
}

/// `spec` of an HTTPRoute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HTTPRouteSpec {
    /// What it is attached to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parent_refs: Vec<ParentRef>,
    /// Whether it is attached to default Gateways, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_default_gateways: Option<String>,
    /// Host names at a Gateway; any if none. Not used inside the mesh.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// Rules; none is one for every request without backends.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<HttpRule>,
}

/// One rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HttpRule {
    /// Its name, unique in the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Alternatives; none matches every request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<HttpMatch>,
    /// What is done on the way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<HTTPRouteFilter>,
    /// Where requests go, by weight.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backend_refs: Vec<HttpBackendRef>,
    /// How long they may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<RouteTimeouts>,
    /// How they are tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RouteRetry>,
    /// How a client keeps its endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_persistence: Option<SessionPersistence>,
}

/// How long a request may take; `0s` is without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RouteTimeouts {
    /// As a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<GatewayDuration>,
    /// One try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend_request: Option<GatewayDuration>,
}

/// How a request is tried again (GEP-1731).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RouteRetry {
    /// Statuses of failed tries, 400 to 599.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<u16>,
    /// Tries after the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Shortest pause between tries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<GatewayDuration>,
}

/// One place where requests go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HttpBackendRef {
    /// API group; the core group if empty or absent.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Kind; `Service` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name.
    pub name: String,
    /// Namespace; the route's own if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Port of it.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "fields::optional_port")]
    pub port: Option<u16>,
    /// Share of the requests; 1 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// What is done to requests that go there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<HTTPRouteFilter>,
}

impl HttpBackendRef {
    /// The object that it names.
    pub fn object(&self) -> BackendObject {
        BackendObject {
            group: self.group.clone(),
            kind: self.kind.clone(),
            name: self.name.clone(),
            namespace: self.namespace.clone(),
            port: self.port,
        }
    }
}
