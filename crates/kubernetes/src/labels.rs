//! Which label keys, and which values of them, the mesh reads.

/// On a Namespace or Pod: [`DATAPLANE_AMBIENT`] enrols, [`DATAPLANE_NONE`] opts out; the pod's own label wins.
pub const DATAPLANE_MODE: &str = "istio.io/dataplane-mode";
/// The value of [`DATAPLANE_MODE`] that enrols.
pub const DATAPLANE_AMBIENT: &str = "ambient";
/// The value of [`DATAPLANE_MODE`] that opts out.
pub const DATAPLANE_NONE: &str = "none";

/// Name of the waypoint, on a Service, ServiceEntry, Pod, WorkloadEntry or Namespace; `none` opts out.
pub const USE_WAYPOINT: &str = "istio.io/use-waypoint";
/// The value of [`USE_WAYPOINT`] that opts out.
pub const WAYPOINT_NONE: &str = "none";
/// Namespace of the waypoint when it is not the object's own.
pub const USE_WAYPOINT_NAMESPACE: &str = "istio.io/use-waypoint-namespace";
/// Name of the canary waypoint, on a Service, ServiceEntry or Namespace.
pub const USE_WAYPOINT_CANARY: &str = "istio.io/use-waypoint-canary";
/// Namespace of the canary waypoint.
pub const USE_WAYPOINT_CANARY_NAMESPACE: &str = "istio.io/use-waypoint-canary-namespace";
/// On a Service, then on its Namespace: ingress gateways go through the waypoint too.
pub const INGRESS_USE_WAYPOINT: &str = "istio.io/ingress-use-waypoint";
/// On a Gateway, then on its GatewayClass: `service`, `workload`, `all` or `none`.
pub const WAYPOINT_FOR: &str = "istio.io/waypoint-for";
/// On a Pod: the Gateway of its namespace that it serves.
pub const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";
/// On a Pod or WorkloadEntry, comma separated; `http` says that the process speaks HBONE itself.
pub const TUNNEL: &str = "networking.istio.io/tunnel";
/// On configuration objects and Gateways: the control plane revision that reads them.
pub const REVISION: &str = "istio.io/rev";
/// On the root namespace (the cluster's network) or a Gateway (a remote network).
pub const NETWORK: &str = "topology.istio.io/network";
/// On a Service or Namespace: reachable from other clusters.
pub const GLOBAL: &str = "istio.io/global";
/// On a Pod: `istio` says that a sidecar serves mutual TLS.
pub const TLS_MODE: &str = "security.istio.io/tlsMode";

/// The name of the workload, before every guess from owner references.
pub const WORKLOAD_NAME: &str = "service.istio.io/workload-name";
/// The canonical service name, first choice.
pub const CANONICAL_NAME: &str = "service.istio.io/canonical-name";
/// The canonical service revision, first choice.
pub const CANONICAL_REVISION: &str = "service.istio.io/canonical-revision";
/// The canonical service name, second choice.
pub const APP_KUBERNETES_NAME: &str = "app.kubernetes.io/name";
/// The canonical service revision, second choice.
pub const APP_KUBERNETES_VERSION: &str = "app.kubernetes.io/version";
/// The canonical service name, third choice.
pub const APP: &str = "app";
/// The canonical service revision, third choice.
pub const VERSION: &str = "version";

/// Set by Kubernetes on pods of a Deployment's ReplicaSet.
pub const POD_TEMPLATE_HASH: &str = "pod-template-hash";
/// Set by Argo on pods of a Rollout's ReplicaSet.
pub const ROLLOUTS_POD_TEMPLATE_HASH: &str = "rollouts-pod-template-hash";
/// Set by OpenShift on pods of a DeploymentConfig.
pub const DEPLOYMENT_CONFIG: &str = "deploymentconfig";

/// On a Node: its region.
pub const TOPOLOGY_REGION: &str = "topology.kubernetes.io/region";
/// On a Node: its zone.
pub const TOPOLOGY_ZONE: &str = "topology.kubernetes.io/zone";
/// On a Node: its part of the zone.
pub const TOPOLOGY_SUBZONE: &str = "topology.istio.io/subzone";
/// On an EndpointSlice: the Service that it belongs to.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// On an EndpointSlice: who keeps it; Kubernetes' own controller writes [`ENDPOINT_SLICE_CONTROLLER`].
pub const ENDPOINT_SLICE_MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// The value of [`ENDPOINT_SLICE_MANAGED_BY`] on slices derived from a Service's selector.
pub const ENDPOINT_SLICE_CONTROLLER: &str = "endpointslice-controller.k8s.io";
