//! One object of any kind that the mesh reads.

use std::fmt;
use std::sync::Arc;

use crate::gateway_api::{
    BackendTLSPolicy, GRPCRoute, Gateway, GatewayClass, HTTPRoute, ReferenceGrant, TCPRoute, TLSRoute,
};
use crate::istio::{
    ConfigMap, DestinationRule, RequestAuthentication, ServiceEntry, Telemetry, VirtualService,
};
use crate::{
    AuthorizationPolicy, EndpointSlice, Metadata, Namespace, Node, PeerAuthentication, Pod, Secret, Service,
    ServiceAccount,
};

/// Calls a macro with the table of kinds: name, `apiVersion` as it is written, and the versions that are read.
macro_rules! for_kinds {
    ($with:ident) => {
        $with! {
            Namespace "v1" ["v1"],
            Node "v1" ["v1"],
            ServiceAccount "v1" ["v1"],
            Pod "v1" ["v1"],
            Service "v1" ["v1"],
            ConfigMap "v1" ["v1"],
            Secret "v1" ["v1"],
            EndpointSlice "discovery.k8s.io/v1" ["v1"],
            AuthorizationPolicy "security.istio.io/v1" ["v1", "v1beta1"],
            PeerAuthentication "security.istio.io/v1" ["v1", "v1beta1"],
            Gateway "gateway.networking.k8s.io/v1" ["v1", "v1beta1"],
            GatewayClass "gateway.networking.k8s.io/v1" ["v1", "v1beta1"],
            HTTPRoute "gateway.networking.k8s.io/v1" ["v1", "v1beta1"],
            GRPCRoute "gateway.networking.k8s.io/v1" ["v1", "v1alpha2"],
            TLSRoute "gateway.networking.k8s.io/v1" ["v1", "v1alpha3", "v1alpha2"],
            TCPRoute "gateway.networking.k8s.io/v1" ["v1", "v1alpha2"],
            ReferenceGrant "gateway.networking.k8s.io/v1" ["v1", "v1beta1"],
            BackendTLSPolicy "gateway.networking.k8s.io/v1" ["v1", "v1alpha3"],
            RequestAuthentication "security.istio.io/v1" ["v1", "v1beta1"],
            DestinationRule "networking.istio.io/v1" ["v1", "v1beta1", "v1alpha3"],
            VirtualService "networking.istio.io/v1" ["v1", "v1beta1", "v1alpha3"],
            ServiceEntry "networking.istio.io/v1" ["v1", "v1beta1", "v1alpha3"],
            Telemetry "telemetry.istio.io/v1" ["v1", "v1alpha1"],
        }
    };
}

macro_rules! define {
    ($($kind:ident $api_version:literal [$($version:literal),+],)*) => {
        /// An object of any kind that the mesh reads. Cheap to clone; clones share it.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Object {
            $(
                #[doc = concat!("`", $api_version, "` ", stringify!($kind), ".")]
                $kind(Arc<$kind>),
            )*
        }

        /// The kinds that the mesh reads.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind {
            $(
                #[doc = concat!(stringify!($kind), ".")]
                $kind,
            )*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// Its name, as in `kind:`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => stringify!($kind),)*
                }
            }

            /// The `apiVersion` under which it is written; [`Kind::versions`] are read.
            pub fn api_version(self) -> &'static str {
                match self {
                    $(Self::$kind => $api_version,)*
                }
            }

            /// The versions of its group in which it is read.
            pub fn versions(self) -> &'static [&'static str] {
                match self {
                    $(Self::$kind => &[$($version),+],)*
                }
            }
        }

        impl Object {
            /// Its kind.
            pub fn kind(&self) -> Kind {
                match self {
                    $(Self::$kind(_) => Kind::$kind,)*
                }
            }

            /// What it says about itself.
            pub fn metadata(&self) -> &Metadata {
                match self {
                    $(Self::$kind(object) => &object.metadata,)*
                }
            }

            /// What it says about itself, to be changed.
            pub fn metadata_mut(&mut self) -> &mut Metadata {
                match self {
                    $(Self::$kind(object) => &mut Arc::make_mut(object).metadata,)*
                }
            }
        }

        $(
            impl From<$kind> for Object {
                fn from(object: $kind) -> Self {
                    Self::$kind(Arc::new(object))
                }
            }
        )*

        /// Serialises the object inside.
        impl serde::Serialize for Object {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    $(Self::$kind(object) => object.serialize(serializer),)*
                }
            }
        }
    };
}

for_kinds!(define);

impl Kind {
    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// Its API group; empty for the core group.
    pub fn group(self) -> &'static str {
        self.api_version().rsplit_once('/').map_or("", |(group, _)| group)
    }

    /// Whether its objects live in a namespace.
    pub fn is_namespaced(self) -> bool {
        !matches!(self, Self::Namespace | Self::Node | Self::GatewayClass)
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
