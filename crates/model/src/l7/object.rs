//! Which object of the user's a value stands for, and what it is attached to.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Text;
use crate::service::ServiceKey;

/// The kinds of object that users write for L7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ObjectKind {
    /// `gateway.networking.k8s.io` HTTPRoute.
    HTTPRoute,
    /// `gateway.networking.k8s.io` GRPCRoute.
    GRPCRoute,
    /// `gateway.networking.k8s.io` TLSRoute.
    TLSRoute,
    /// `gateway.networking.k8s.io` TCPRoute.
    TCPRoute,
    /// `networking.istio.io` VirtualService.
    VirtualService,
    /// `networking.istio.io` DestinationRule.
    DestinationRule,
    /// `gateway.networking.k8s.io` BackendTLSPolicy.
    BackendTLSPolicy,
    /// `gateway.networking.x-k8s.io` XBackendTrafficPolicy.
    XBackendTrafficPolicy,
    /// `security.istio.io` AuthorizationPolicy.
    AuthorizationPolicy,
    /// `security.istio.io` RequestAuthentication.
    RequestAuthentication,
    /// `telemetry.istio.io` Telemetry.
    Telemetry,
    /// `gateway.networking.k8s.io` Gateway.
    Gateway,
}

/// An object by kind, namespace and name. As text `<Kind>/<namespace>/<name>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectKey {
    /// Kind.
    pub kind: ObjectKind,
    /// Namespace.
    pub namespace: Text,
    /// Name.
    pub name: Text,
}

impl ObjectKey {
    /// A key from its parts.
    pub fn new(kind: ObjectKind, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{}/{}", self.kind, self.namespace, self.name)
    }
}

/// What an object is attached to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Target {
    /// One service (a Service, or a host of a ServiceEntry) by its key.
    Service(ServiceKey),
    /// Everything that goes through one Gateway.
    Gateway {
        /// Its namespace.
        namespace: Text,
        /// Its name.
        name: Text,
    },
    /// Everything that goes through any Gateway of a class.
    GatewayClass(Text),
    /// Everything that goes to services of a namespace.
    Namespace(Text),
    /// Everything in the mesh: an object of the root namespace that names no target.
    Mesh,
}
