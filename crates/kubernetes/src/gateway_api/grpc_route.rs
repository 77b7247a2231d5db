//! GRPCRoute: which gRPC calls go where.

use serde::{Deserialize, Serialize};

use super::{HTTPRouteFilter, HttpBackendRef, HttpFieldMatch, MatchType, ParentRef, SessionPersistence};
use crate::Metadata;

/// One place where calls go; as that of an HTTPRoute, but with fewer filters.
pub type GrpcBackendRef = HttpBackendRef;

/// `gateway.networking.k8s.io/v1` and `v1alpha2` GRPCRoute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GRPCRoute {
    /// Name and namespace.
    pub metadata: Metadata,
    /// What it says.
    pub spec: GRPCRouteSpec,
}

/// `spec` of a GRPCRoute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct GRPCRouteSpec {
    /// What it is attached to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parent_refs: Vec<ParentRef>,
    /// Whether it is attached to default Gateways, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_default_gateways: Option<String>,
    /// Host names at a Gateway; any if none. Not used inside the mesh.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// Rules.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<GrpcRule>,
}

/// One rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct GrpcRule {
    /// Its name, unique in the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Alternatives; none matches every call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<GrpcMatch>,
    /// What is done on the way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<HTTPRouteFilter>,
    /// Where calls go, by weight.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backend_refs: Vec<GrpcBackendRef>,
    /// How a client keeps its endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_persistence: Option<SessionPersistence>,
}

/// Conditions that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct GrpcMatch {
    /// Service and method; every one if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<GrpcMethodMatch>,
    /// Headers, of which the first of each name counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HttpFieldMatch>,
}

/// A comparison with service and method; at least one of them is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct GrpcMethodMatch {
    /// How both are compared; `Exact` if absent.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<MatchType>,
    /// The service, with its package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
}
