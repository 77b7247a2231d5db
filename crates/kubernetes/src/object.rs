//! One object of any kind that the mesh reads.

use std::fmt;
use std::sync::Arc;

use crate::gateway_api::{
    BackendTLSPolicy, GATEWAY_GROUP, GRPCRoute, Gateway, GatewayClass, HTTPRoute, ReferenceGrant, TCPRoute,
    TLSRoute,
};
use crate::{
    AuthorizationPolicy, EndpointSlice, Metadata, Namespace, Node, PeerAuthentication, Pod, Service,
    ServiceAccount,
};

/// An object of any kind that the mesh reads. Cheap to clone; clones share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// `v1` Namespace.
    Namespace(Arc<Namespace>),
    /// `v1` Node.
    Node(Arc<Node>),
    /// `v1` ServiceAccount.
    ServiceAccount(Arc<ServiceAccount>),
    /// `v1` Pod.
    Pod(Arc<Pod>),
    /// `v1` Service.
    Service(Arc<Service>),
    /// `discovery.k8s.io/v1` EndpointSlice.
    EndpointSlice(Arc<EndpointSlice>),
    /// `security.istio.io` AuthorizationPolicy.
    AuthorizationPolicy(Arc<AuthorizationPolicy>),
    /// `security.istio.io` PeerAuthentication.
    PeerAuthentication(Arc<PeerAuthentication>),
    /// `gateway.networking.k8s.io` Gateway.
    Gateway(Arc<Gateway>),
    /// `gateway.networking.k8s.io` GatewayClass.
    GatewayClass(Arc<GatewayClass>),
    /// `gateway.networking.k8s.io` HTTPRoute.
    HTTPRoute(Arc<HTTPRoute>),
    /// `gateway.networking.k8s.io` GRPCRoute.
    GRPCRoute(Arc<GRPCRoute>),
    /// `gateway.networking.k8s.io` TLSRoute.
    TLSRoute(Arc<TLSRoute>),
    /// `gateway.networking.k8s.io` TCPRoute.
    TCPRoute(Arc<TCPRoute>),
    /// `gateway.networking.k8s.io` ReferenceGrant.
    ReferenceGrant(Arc<ReferenceGrant>),
    /// `gateway.networking.k8s.io` BackendTLSPolicy.
    BackendTLSPolicy(Arc<BackendTLSPolicy>),
}

/// The kinds that the mesh reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Namespace.
    Namespace,
    /// Node.
    Node,
    /// ServiceAccount.
    ServiceAccount,
    /// Pod.
    Pod,
    /// Service.
    Service,
    /// EndpointSlice.
    EndpointSlice,
    /// AuthorizationPolicy.
    AuthorizationPolicy,
    /// PeerAuthentication.
    PeerAuthentication,
    /// Gateway.
    Gateway,
    /// GatewayClass.
    GatewayClass,
    /// HTTPRoute.
    HTTPRoute,
    /// GRPCRoute.
    GRPCRoute,
    /// TLSRoute.
    TLSRoute,
    /// TCPRoute.
    TCPRoute,
    /// ReferenceGrant.
    ReferenceGrant,
    /// BackendTLSPolicy.
    BackendTLSPolicy,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Namespace,
        Self::Node,
        Self::ServiceAccount,
        Self::Pod,
        Self::Service,
        Self::EndpointSlice,
        Self::AuthorizationPolicy,
        Self::PeerAuthentication,
        Self::Gateway,
        Self::GatewayClass,
        Self::HTTPRoute,
        Self::GRPCRoute,
        Self::TLSRoute,
        Self::TCPRoute,
        Self::ReferenceGrant,
        Self::BackendTLSPolicy,
    ];

    /// Its name, as in `kind:`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::Node => "Node",
            Self::ServiceAccount => "ServiceAccount",
            Self::Pod => "Pod",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::AuthorizationPolicy => "AuthorizationPolicy",
            Self::PeerAuthentication => "PeerAuthentication",
            Self::Gateway => "Gateway",
            Self::GatewayClass => "GatewayClass",
            Self::HTTPRoute => "HTTPRoute",
            Self::GRPCRoute => "GRPCRoute",
            Self::TLSRoute => "TLSRoute",
            Self::TCPRoute => "TCPRoute",
            Self::ReferenceGrant => "ReferenceGrant",
            Self::BackendTLSPolicy => "BackendTLSPolicy",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Its API group; empty for the core group.
    pub fn group(self) -> &'static str {
        match self {
            Self::EndpointSlice => "discovery.k8s.io",
            Self::AuthorizationPolicy | Self::PeerAuthentication => "security.istio.io",
            Self::Namespace | Self::Node | Self::ServiceAccount | Self::Pod | Self::Service => "",
            _ => GATEWAY_GROUP,
        }
    }

    /// The `apiVersion` under which it is written; [`Kind::versions`] are read.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::EndpointSlice => "discovery.k8s.io/v1",
            Self::AuthorizationPolicy | Self::PeerAuthentication => "security.istio.io/v1",
            Self::Namespace | Self::Node | Self::ServiceAccount | Self::Pod | Self::Service => "v1",
            _ => "gateway.networking.k8s.io/v1",
        }
    }

    /// The versions of its group in which it is read.
    pub fn versions(self) -> &'static [&'static str] {
        match self {
            Self::AuthorizationPolicy | Self::PeerAuthentication => &["v1", "v1beta1"],
            Self::Gateway | Self::GatewayClass | Self::HTTPRoute | Self::ReferenceGrant => &["v1", "v1beta1"],
            Self::GRPCRoute | Self::TCPRoute => &["v1", "v1alpha2"],
            Self::TLSRoute => &["v1", "v1alpha3", "v1alpha2"],
            Self::BackendTLSPolicy => &["v1", "v1alpha3"],
            _ => &["v1"],
        }
    }

    /// Whether its objects live in a namespace.
    pub fn is_namespaced(self) -> bool {
        !matches!(self, Self::Namespace | Self::Node | Self::GatewayClass)
    }
}

impl Object {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Namespace(_) => Kind::Namespace,
            Self::Node(_) => Kind::Node,
            Self::ServiceAccount(_) => Kind::ServiceAccount,
            Self::Pod(_) => Kind::Pod,
            Self::Service(_) => Kind::Service,
            Self::EndpointSlice(_) => Kind::EndpointSlice,
            Self::AuthorizationPolicy(_) => Kind::AuthorizationPolicy,
            Self::PeerAuthentication(_) => Kind::PeerAuthentication,
            Self::Gateway(_) => Kind::Gateway,
            Self::GatewayClass(_) => Kind::GatewayClass,
            Self::HTTPRoute(_) => Kind::HTTPRoute,
            Self::GRPCRoute(_) => Kind::GRPCRoute,
            Self::TLSRoute(_) => Kind::TLSRoute,
            Self::TCPRoute(_) => Kind::TCPRoute,
            Self::ReferenceGrant(_) => Kind::ReferenceGrant,
            Self::BackendTLSPolicy(_) => Kind::BackendTLSPolicy,
        }
    }

    /// What it says about itself.
    pub fn metadata(&self) -> &Metadata {
        match self {
            Self::Namespace(object) => &object.metadata,
            Self::Node(object) => &object.metadata,
            Self::ServiceAccount(object) => &object.metadata,
            Self::Pod(object) => &object.metadata,
            Self::Service(object) => &object.metadata,
            Self::EndpointSlice(object) => &object.metadata,
            Self::AuthorizationPolicy(object) => &object.metadata,
            Self::PeerAuthentication(object) => &object.metadata,
            Self::Gateway(object) => &object.metadata,
            Self::GatewayClass(object) => &object.metadata,
            Self::HTTPRoute(object) => &object.metadata,
            Self::GRPCRoute(object) => &object.metadata,
            Self::TLSRoute(object) => &object.metadata,
            Self::TCPRoute(object) => &object.metadata,
            Self::ReferenceGrant(object) => &object.metadata,
            Self::BackendTLSPolicy(object) => &object.metadata,
        }
    }

    /// What it says about itself, to be changed.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        match self {
            Self::Namespace(object) => &mut Arc::make_mut(object).metadata,
            Self::Node(object) => &mut Arc::make_mut(object).metadata,
            Self::ServiceAccount(object) => &mut Arc::make_mut(object).metadata,
            Self::Pod(object) => &mut Arc::make_mut(object).metadata,
            Self::Service(object) => &mut Arc::make_mut(object).metadata,
            Self::EndpointSlice(object) => &mut Arc::make_mut(object).metadata,
            Self::AuthorizationPolicy(object) => &mut Arc::make_mut(object).metadata,
            Self::PeerAuthentication(object) => &mut Arc::make_mut(object).metadata,
            Self::Gateway(object) => &mut Arc::make_mut(object).metadata,
            Self::GatewayClass(object) => &mut Arc::make_mut(object).metadata,
            Self::HTTPRoute(object) => &mut Arc::make_mut(object).metadata,
            Self::GRPCRoute(object) => &mut Arc::make_mut(object).metadata,
            Self::TLSRoute(object) => &mut Arc::make_mut(object).metadata,
            Self::TCPRoute(object) => &mut Arc::make_mut(object).metadata,
            Self::ReferenceGrant(object) => &mut Arc::make_mut(object).metadata,
            Self::BackendTLSPolicy(object) => &mut Arc::make_mut(object).metadata,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// `Kind namespace/name`, or `Kind name`.
impl fmt::Display for Object {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metadata = self.metadata();
        formatter.write_str(&crate::problem::object_name(
            self.kind().name(),
            &metadata.namespace,
            &metadata.name,
        ))
    }
}

macro_rules! from_variants {
    ($($kind:ident),*) => {$(
        impl From<$kind> for Object {
            fn from(object: $kind) -> Self {
                Self::$kind(Arc::new(object))
            }
        }
    )*};
}

from_variants!(
    Namespace,
    Node,
    ServiceAccount,
    Pod,
    Service,
    EndpointSlice,
    AuthorizationPolicy,
    PeerAuthentication,
    Gateway,
    GatewayClass,
    HTTPRoute,
    GRPCRoute,
    TLSRoute,
    TCPRoute,
    ReferenceGrant,
    BackendTLSPolicy
);
