//! Which annotation keys, and which values of them, the mesh reads.

/// How the keys of annotations begin that only this mesh reads; one that is not here is refused.
pub const PREFIX: &str = "ambit.mesh/";

/// On a Pod: absolute path of its network namespace, on a machine without Kubernetes (`/run/netns/web`).
pub const NETNS: &str = "ambit.mesh/netns";

/// On a Pod, written by the node agent: [`REDIRECTION_ENABLED`], [`REDIRECTION_PENDING`] or absent.
pub const REDIRECTION: &str = "ambient.istio.io/redirection";
/// The pod is captured: it is reached over HBONE.
pub const REDIRECTION_ENABLED: &str = "enabled";
/// The rules are in, but no ztunnel has accepted the pod yet.
pub const REDIRECTION_PENDING: &str = "pending";

/// On a Pod, a boolean: inbound traffic is not redirected.
pub const BYPASS_INBOUND_CAPTURE: &str = "ambient.istio.io/bypass-inbound-capture";
/// On a Pod, a boolean: overrides whether its DNS is captured.
pub const DNS_CAPTURE: &str = "ambient.istio.io/dns-capture";
/// On a Pod, comma separated interfaces whose arriving traffic counts as outbound.
pub const REROUTE_VIRTUAL_INTERFACES: &str = "istio.io/reroute-virtual-interfaces";
/// On a Pod: present when a sidecar was injected; such a pod is never enrolled.
pub const SIDECAR_STATUS: &str = "sidecar.istio.io/status";
/// On a Service or Namespace: percentage of traffic for the canary waypoint, 0 to 100.
pub const USE_WAYPOINT_CANARY_WEIGHT: &str = "istio.io/use-waypoint-canary-weight";
/// On a Gateway or GatewayClass: `PROXY`, `PROXY/<port>` or `NONE/<port>`.
pub const WAYPOINT_INBOUND_BINDING: &str = "ambient.istio.io/waypoint-inbound-binding";
/// On a Service, then on its Namespace: how traffic prefers near endpoints.
pub const TRAFFIC_DISTRIBUTION: &str = "networking.istio.io/traffic-distribution";
/// On a ServiceEntry: `false` opts out of automatic addresses.
pub const ENABLE_AUTOALLOCATE_IP: &str = "networking.istio.io/enable-autoallocate-ip";
/// On an AuthorizationPolicy, a boolean: report what it would decide, decide nothing.
pub const DRY_RUN: &str = "istio.io/dry-run";
