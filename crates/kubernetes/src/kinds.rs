//! Which kinds are read, which are left to Kubernetes, and which are refused because nothing would enforce them.

/// What happens to an object of some API group, version and kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// It becomes an [`crate::Object`].
    Read(crate::Kind),
    /// It is Kubernetes' business; the mesh needs nothing of it.
    NotOurs,
    /// It steers traffic in a way that the mesh does not honour yet.
    NotHonoured,
    /// It restricts access in a way that nothing here enforces: accepting it would widen access.
    Refused,
    /// It is served in another version.
    OtherVersion(&'static str),
    /// Nobody here knows it.
    Unknown,
}

/// What can be read, for people.
pub const SUPPORTED: &str = "v1 Namespace, Pod, Service, Node, ServiceAccount, List, ConfigMap istio, Secret of type kubernetes.io/tls; discovery.k8s.io/v1 EndpointSlice; \
     security.istio.io/v1 and v1beta1 AuthorizationPolicy, PeerAuthentication, RequestAuthentication; \
     networking.istio.io/v1, v1beta1 and v1alpha3 DestinationRule, ServiceEntry, VirtualService; \
     telemetry.istio.io/v1 and v1alpha1 Telemetry; \
     gateway.networking.k8s.io/v1 Gateway, GatewayClass, HTTPRoute, GRPCRoute, TLSRoute, TCPRoute, ReferenceGrant, \
     BackendTLSPolicy";

/// Groups whose kinds are all Kubernetes' own business.
const FOREIGN_GROUPS: [&str; 19] = [
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "kustomize.config.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
];

/// Kinds of other groups, which also have kinds that matter, that are Kubernetes' own business.
const FOREIGN_KINDS: [(&str, &str); 13] = [
    ("", "Endpoints"),
    ("", "Event"),
    ("", "LimitRange"),
    ("", "PersistentVolume"),
    ("", "PersistentVolumeClaim"),
    ("", "PodTemplate"),
    ("", "ReplicationController"),
    ("", "ResourceQuota"),
    ("networking.k8s.io", "IPAddress"),
    ("networking.k8s.io", "Ingress"),
    ("networking.k8s.io", "IngressClass"),
    ("networking.k8s.io", "ServiceCIDR"),
    ("install.istio.io", "IstioOperator"),
];

/// Kinds that restrict access, or may, and that nothing here enforces.
const UNENFORCED: [(&str, &str); 6] = [
    ("networking.k8s.io", "NetworkPolicy"),
    ("policy.networking.k8s.io", "AdminNetworkPolicy"),
    ("policy.networking.k8s.io", "BaselineAdminNetworkPolicy"),
    ("networking.istio.io", "EnvoyFilter"),
    ("extensions.istio.io", "WasmPlugin"),
    ("policy.networking.k8s.io", "ClusterNetworkPolicy"),
];

/// Groups whose other kinds steer traffic or observe it.
const ROUTING_GROUPS: [&str; 5] = [
    "gateway.networking.k8s.io",
    "gateway.networking.x-k8s.io",
    "inference.networking.k8s.io",
    "networking.istio.io",
    "telemetry.istio.io",
];

/// What happens to an object with this `apiVersion` and `kind`.
pub fn treatment(api_version: &str, kind: &str) -> Treatment {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    if let Some(known) = crate::Kind::named(kind).filter(|known| known.group() == group) {
        let versions = known.versions();
        return match versions.contains(&version) {
            true => Treatment::Read(known),
            false => Treatment::OtherVersion(known.api_version()),
        };
    }
    if UNENFORCED.contains(&(group, kind)) || group == "security.istio.io" {
        return Treatment::Refused;
    }
    if FOREIGN_GROUPS.contains(&group) || FOREIGN_KINDS.contains(&(group, kind)) {
        return Treatment::NotOurs;
    }
    if ROUTING_GROUPS.contains(&group) { Treatment::NotHonoured } else { Treatment::Unknown }
}
