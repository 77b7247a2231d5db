//! Pods as workloads (facts: sections 1.1 and 1.3).

use ambit_model::workload::{Health, NetworkMode, Tunnel, WorkloadType};

use super::{build, captured, index, objects, ports};
use crate::captured::Captured;
use crate::settings::MeshSettings;

fn pod(status: &str) -> String {
    format!("{{apiVersion: v1, kind: Pod, metadata: {{name: a, namespace: shop}}, status: {status}}}")
}

#[test]
fn a_pod_is_published_while_it_lives_and_has_an_address() {
    for (status, published) in [
        ("{podIP: 10.0.0.1}", true),
        ("{podIP: 10.0.0.1, phase: Pending}", true),
        ("{podIP: 10.0.0.1, phase: Running}", true),
        ("{podIP: 10.0.0.1, phase: Unknown}", true),
        ("{podIP: 10.0.0.1, phase: Succeeded}", false),
        ("{podIP: 10.0.0.1, phase: Failed}", false),
        ("{phase: Running}", false),
    ] {
        assert_eq!(index(&pod(status)).workloads().len(), usize::from(published), "{status}");
    }
}

#[test]
fn all_addresses_count_the_single_one_only_without_them() {
    let both = index(&pod("{podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}"));
    assert_eq!(
        both.workload("a").addresses,
        ["10.0.0.1", "fd00::1"].map(|ip| ip.parse::<std::net::IpAddr>().unwrap())
    );
    let one = index(&pod("{podIP: 10.0.0.9}"));
    assert_eq!(one.workload("a").addresses, ["10.0.0.9".parse::<std::net::IpAddr>().unwrap()]);
}

#[test]
fn what_is_observed_decides_health_and_nothing_observed_is_healthy() {
    let healthy = |text: &str| index(text).workload("a").health == Health::Healthy;
    assert!(healthy(&pod("{podIP: 10.0.0.1}")));
    assert!(healthy(&pod("{podIP: 10.0.0.1, conditions: [{type: Ready, status: 'True'}]}")));
    assert!(!healthy(&pod("{podIP: 10.0.0.1, conditions: [{type: Ready, status: 'False'}]}")));
    assert!(!healthy(&pod("{podIP: 10.0.0.1, conditions: [{type: Initialized, status: 'True'}]}")));
    let leaving =
        pod("{podIP: 10.0.0.1}").replace("name: a,", "name: a, deletionTimestamp: 2026-01-01T00:00:00Z,");
    assert!(!healthy(&leaving));
}

const FULL: &str = "\
{apiVersion: v1, kind: Namespace, metadata: {name: istio-system, labels: {topology.istio.io/network: net-1}}}
---
{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {topology.kubernetes.io/region: r, topology.kubernetes.io/zone: z, topology.istio.io/subzone: s}}}
---
apiVersion: v1
kind: Pod
metadata:
  name: cart-7d9-x
  generateName: cart-7d9-
  namespace: shop
  labels: {app: cart, version: v2, pod-template-hash: 7d9}
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: cart-7d9, uid: u, controller: true}]
spec: {nodeName: n1, serviceAccountName: cart}
status: {podIP: 10.0.0.1}
";

#[test]
fn names_node_locality_network_and_identity() {
    let mesh = MeshSettings {
        trust_domain: "example.org".to_owned(),
        cluster_id: "c1".to_owned(),
        ..MeshSettings::default()
    };
    let index = build(&objects(FULL), &Captured::default(), &mesh);
    let cart = index.workload("cart-7d9-x");
    assert_eq!(&*cart.uid, "c1//Pod/shop/cart-7d9-x");
    assert_eq!(cart.identity.to_string(), "spiffe://example.org/ns/shop/sa/cart");
    assert_eq!((&*cart.cluster, &*cart.network, &*cart.node), ("c1", "net-1", "n1"));
    let locality = &cart.locality;
    assert_eq!((&*locality.region, &*locality.zone, &*locality.subzone), ("r", "z", "s"));
    assert_eq!((&*cart.workload_name, cart.workload_type), ("cart", WorkloadType::Pod));
    assert_eq!((&*cart.canonical_name, &*cart.canonical_revision), ("cart", "v2"));
    assert_eq!(cart.network_mode, NetworkMode::Standard);
    assert_eq!(cart.capacity, 1);
}

#[test]
fn defaults_where_a_pod_says_nothing() {
    let index = index(&pod("{podIP: 10.0.0.1}"));
    let a = index.workload("a");
    assert_eq!(a.identity.to_string(), "spiffe://cluster.local/ns/shop/sa/default");
    assert_eq!((&*a.canonical_name, &*a.canonical_revision, &*a.workload_name), ("a", "latest", "a"));
    assert_eq!((&*a.node, &*a.network), ("", ""));
}

#[test]
fn the_network_of_the_settings_holds_without_a_label() {
    let mesh = MeshSettings { network: "net-2".to_owned(), ..MeshSettings::default() };
    let index = build(&objects(&pod("{podIP: 10.0.0.1}")), &Captured::default(), &mesh);
    assert_eq!(&*index.workload("a").network, "net-2");
}

/// A pod with these annotations and labels, in a namespace that is enrolled or not.
fn tunnel_of(enrolled: bool, annotations: &str, labels: &str, captured: &Captured) -> (Tunnel, bool) {
    let mode = if enrolled { "ambient" } else { "none" };
    let yaml = format!(
        "{{apiVersion: v1, kind: Namespace, metadata: {{name: shop, labels: {{istio.io/dataplane-mode: {mode}}}}}}}\n---\n\
         apiVersion: v1\nkind: Pod\nmetadata: {{name: a, namespace: shop, uid: u1, annotations: {{{annotations}}}, labels: {{{labels}}}}}\n\
         spec: {{nodeName: n1}}\nstatus: {{podIP: 10.0.0.1}}\n"
    );
    let index = build(&objects(&yaml), captured, &MeshSettings::default());
    (index.workload("a").tunnel, index.workload("a").native_tunnel)
}

#[test]
fn hbone_when_enrolled_and_captured_or_spoken_natively() {
    let nobody = Captured::default();
    let enabled = "ambient.istio.io/redirection: enabled";
    assert_eq!(tunnel_of(true, "", "", &nobody), (Tunnel::None, false));
    assert_eq!(tunnel_of(true, enabled, "", &nobody), (Tunnel::Hbone, false));
    assert_eq!(tunnel_of(true, "ambient.istio.io/redirection: pending", "", &nobody), (Tunnel::None, false));
    assert_eq!(tunnel_of(false, enabled, "", &nobody), (Tunnel::None, false));
    assert_eq!(
        tunnel_of(false, "", "networking.istio.io/tunnel: 'http,quic'", &nobody),
        (Tunnel::Hbone, true)
    );
    for (node, pod, expected) in [
        ("n1", ("shop", "a", None), Tunnel::Hbone),
        ("n1", ("shop", "a", Some("u1")), Tunnel::Hbone),
        ("n1", ("shop", "a", Some("u0")), Tunnel::None),
        ("n1", ("other", "a", None), Tunnel::None),
        ("n1", ("shop", "ab", None), Tunnel::None),
        ("n2", ("shop", "a", None), Tunnel::None),
    ] {
        assert_eq!(tunnel_of(true, "", "", &captured(node, pod)), (expected, false), "{node} {pod:?}");
    }
    assert_eq!(tunnel_of(false, "", "", &captured("n1", ("shop", "a", None))), (Tunnel::None, false));
}

#[test]
fn a_pod_without_uid_is_captured_whatever_uid_its_agent_gives_it() {
    let yaml = "\
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: shop}, spec: {nodeName: n1}, status: {podIP: 10.0.0.1}}
";
    for uid in [None, Some("shop/a"), Some("anything")] {
        let index = build(&objects(yaml), &captured("n1", ("shop", "a", uid)), &MeshSettings::default());
        assert_eq!(index.workload("a").tunnel, Tunnel::Hbone, "{uid:?}");
    }
}

#[test]
fn host_network_pods_own_no_address() {
    let yaml = pod("{podIP: 10.0.0.1}").replace("status:", "spec: {hostNetwork: true}, status:");
    assert_eq!(index(&yaml).workload("a").network_mode, NetworkMode::HostNetwork);
}

const PORTS: &str = "\
apiVersion: v1
kind: Service
metadata: {name: svc, namespace: shop}
spec:
  clusterIP: 10.96.0.1
  selector: {app: a}
  ports:
  - {name: plain, port: 80}
  - {name: number, port: 81, targetPort: 8081}
  - {name: named, port: 82, targetPort: web}
  - {name: sidecar, port: 83, targetPort: side}
  - {name: init, port: 84, targetPort: once}
  - {name: udp, port: 85, targetPort: dns}
  - {name: missing, port: 86, targetPort: nope}
---
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: shop, labels: {app: a}}
spec:
  containers: [{name: c, ports: [{name: web, containerPort: 8082}, {name: dns, containerPort: 53, protocol: UDP}]}]
  initContainers:
  - {name: s, restartPolicy: Always, ports: [{name: side, containerPort: 8083}, {name: web, containerPort: 1}]}
  - {name: i, ports: [{name: once, containerPort: 8084}]}
status: {podIP: 10.0.0.1}
---
{apiVersion: v1, kind: Pod, metadata: {name: b, namespace: shop, labels: {app: b}}, status: {podIP: 10.0.0.2}}
---
{apiVersion: v1, kind: Pod, metadata: {name: c, namespace: other, labels: {app: a}}, status: {podIP: 10.0.0.3}}
";

#[test]
fn named_ports_are_resolved_by_pod_and_left_out_where_they_are_missing() {
    let index = index(PORTS);
    assert_eq!(ports(index.workload("a"), "svc"), [(80, 80), (81, 8081), (82, 8082), (83, 8083)]);
    assert!(index.workload("b").services.is_empty());
    assert!(index.workload("c").services.is_empty(), "a selector picks in its own namespace only");
    let published = &index.service("svc").ports;
    let published: Vec<_> = published.iter().map(|port| (port.service_port, port.target_port)).collect();
    assert_eq!(published, [(80, 80), (81, 8081), (82, 0), (83, 0), (84, 0), (85, 0), (86, 0)]);
}
