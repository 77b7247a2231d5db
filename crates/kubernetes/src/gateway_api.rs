//! Gateway API objects as users write them (`gateway.networking.k8s.io`); nothing unknown is accepted.
//!
//! Field semantics are those of the Gateway API, version 1.6. Defaults that its CRDs would fill in are methods or
//! serde defaults here, so that a file and an object of an API server say the same.

mod backend_tls;
mod duration;
mod filter;
mod gateway;
mod grpc_route;
mod http_match;
mod http_route;
mod layer4_route;
mod reference;
mod reference_grant;
mod selector;
mod session;

pub use backend_tls::{
    BackendTLSPolicy, BackendTLSPolicySpec, BackendTLSValidation, CaCertificateRef, PolicyTarget, SanType,
    SubjectAltName, WellKnownCa,
};
pub use duration::{GatewayDuration, InvalidDuration};
pub use filter::{
    CorsFilter, ExtensionRef, ExternalAuth, FilterType, ForwardBody, Fraction, GrpcAuth, HTTPRouteFilter,
    Header, HeaderFilter, HttpAuth, MirrorFilter, PathModifier, PathModifierType, RedirectFilter,
    RewriteFilter,
};
pub use gateway::{
    AllowedNamespaces, AllowedRoutes, FromNamespaces, Gateway, GatewayAddress, GatewayClass,
    GatewayClassSpec, GatewaySpec, Infrastructure, Listener, ListenerTls, ParametersRef, RouteKind,
    RouteNamespaces, SecretRef, TlsMode,
};
pub use grpc_route::{GRPCRoute, GRPCRouteSpec, GrpcBackendRef, GrpcMatch, GrpcMethodMatch, GrpcRule};
pub use http_match::{HttpFieldMatch, HttpMatch, HttpPathMatch, MatchType, PathMatchType};
pub use http_route::{HTTPRoute, HTTPRouteSpec, HttpBackendRef, HttpRule, RouteRetry, RouteTimeouts};
pub use layer4_route::{Layer4Rule, TCPRoute, TCPRouteSpec, TLSRoute, TLSRouteSpec};
pub use reference::{BackendObject, BackendRef, GATEWAY_GROUP, ParentRef};
pub use reference_grant::{GrantFrom, GrantTo, ReferenceGrant, ReferenceGrantSpec};
pub use selector::{LabelSelector, Requirement, RequirementOperator};
pub use session::{CookieConfig, CookieLifetime, HeaderConfig, SessionPersistence, SessionType};
