//! An index that was kept from change to change is the one that is made from nothing, and its deltas lead from each state
//! to the next.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ambit_kubernetes::{Loaded, Object, validate_set};
use proptest::prelude::*;

use super::build;
use crate::captured::{Captured, CapturedPod};
use crate::index::{Difference, Index, Indexer};
use crate::settings::MeshSettings;

/// Objects by slots: of each slot at most one variant is there.
const SLOTS: [&[&str]; 27] = [
    &[
        "{kind: Namespace, metadata: {name: shop}}",
        "{kind: Namespace, metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient, istio.io/use-waypoint: w}, annotations: {networking.istio.io/traffic-distribution: PreferClose}}}",
    ],
    &[
        "{kind: Namespace, metadata: {name: bank}}",
        "{kind: Namespace, metadata: {name: bank, labels: {istio.io/dataplane-mode: ambient}}}",
    ],
    &[
        "{kind: Namespace, metadata: {name: istio-system, labels: {topology.istio.io/network: other}}}",
        "{kind: Namespace, metadata: {name: istio-system}}",
    ],
    &[
        "{kind: Node, metadata: {name: n1, labels: {topology.kubernetes.io/region: here}}}",
        "{kind: Node, metadata: {name: n1, labels: {topology.kubernetes.io/region: there}}}",
    ],
    &[
        "{kind: Pod, metadata: {name: a, namespace: shop, labels: {app: a}}, spec: {nodeName: n1}, status: {podIP: 10.0.0.1}}",
        "{kind: Pod, metadata: {name: a, namespace: shop, labels: {app: b}}, spec: {nodeName: n2}, status: {podIP: 10.0.0.9}}",
        "{kind: Pod, metadata: {name: a, namespace: shop, labels: {app: a}}, status: {podIP: 10.0.0.1, phase: Failed}}",
    ],
    &[
        "{kind: Pod, metadata: {name: b, namespace: shop, uid: u1, labels: {app: a}, annotations: {ambient.istio.io/redirection: enabled}}, spec: {nodeName: n1}, status: {podIP: 10.0.0.2}}",
        "{kind: Pod, metadata: {name: b, namespace: shop, uid: u2, labels: {app: b}}, spec: {nodeName: n1, hostNetwork: true}, status: {podIP: 10.0.0.2}}",
        "{kind: Pod, metadata: {name: b, namespace: shop, uid: u1}, spec: {serviceAccountName: web}, status: {podIP: 10.0.0.2}}",
    ],
    &[
        "{kind: Pod, metadata: {name: c, namespace: bank, labels: {app: a}}, spec: {nodeName: n1}, status: {podIP: 10.0.0.3}}",
        "{kind: Pod, metadata: {name: c, namespace: bank, labels: {app: c}}, spec: {nodeName: n1}, status: {podIP: 10.0.0.1}}",
    ],
    &[
        "{kind: Service, metadata: {name: s, namespace: shop}, spec: {clusterIP: 10.96.0.1, selector: {app: a}, ports: [{port: 80, targetPort: 8080}]}}",
        "{kind: Service, metadata: {name: s, namespace: shop}, spec: {clusterIP: 10.96.0.1, selector: {app: b}, ports: [{port: 81}]}}",
        "{kind: Service, metadata: {name: s, namespace: shop}, spec: {type: ExternalName, externalName: example.org}}",
    ],
    &[
        "{kind: Service, metadata: {name: e, namespace: shop}, spec: {clusterIP: None, ports: [{name: p, port: 80}]}}",
        "{kind: Service, metadata: {name: e, namespace: shop}, spec: {clusterIP: None, selector: {app: b}, ports: [{name: p, port: 80}]}}",
    ],
    &[
        "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: e1, namespace: shop, labels: {kubernetes.io/service-name: e}}, addressType: IPv4, ports: [{name: p, port: 8080}], endpoints: [{addresses: [10.0.0.1]}, {addresses: [192.0.2.1]}]}",
        "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: e1, namespace: shop, labels: {kubernetes.io/service-name: e}}, addressType: IPv4, ports: [{name: p, port: 9090}], endpoints: [{addresses: [10.0.0.2], targetRef: {kind: Pod, name: b, namespace: shop, uid: u1}}, {addresses: [10.0.0.3]}]}",
    ],
    &[
        "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: e2, namespace: shop, labels: {kubernetes.io/service-name: e}}, addressType: IPv4, ports: [{name: p, port: 7070}], endpoints: [{addresses: [10.0.0.1]}]}",
    ],
    &[
        "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: p, namespace: shop}, spec: {selector: {matchLabels: {app: a}}, action: DENY, rules: [{}]}}",
        "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: p, namespace: shop}, spec: {selector: {matchLabels: {app: b}}, rules: [{to: [{operation: {methods: [GET]}}]}]}}",
        "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: p, namespace: shop}, spec: {action: AUDIT}}",
    ],
    &[
        "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: r, namespace: istio-system}, spec: {selector: {matchLabels: {app: a}}, rules: [{}]}}",
        "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: r, namespace: istio-system}, spec: {rules: [{}]}}",
    ],
    &[
        "{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: m, namespace: istio-system}, spec: {mtls: {mode: STRICT}}}",
        "{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: m, namespace: istio-system}, spec: {selector: {matchLabels: {app: a}}, mtls: {mode: STRICT}}}",
    ],
    &[
        "{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: w, namespace: shop}, spec: {mtls: {mode: STRICT}}}",
        "{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: w, namespace: shop}, spec: {mtls: {mode: PERMISSIVE}}}",
    ],
    &[
        "{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: s, namespace: shop}, spec: {selector: {matchLabels: {app: a}}, mtls: {mode: STRICT}, portLevelMtls: {80: {mode: PERMISSIVE}}}}",
        "{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: s, namespace: shop}, spec: {selector: {matchLabels: {app: b}}, mtls: {mode: PERMISSIVE}}}",
    ],
    &[
        "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: w, namespace: shop}, spec: {gatewayClassName: ambit-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}}",
        "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: w, namespace: shop, labels: {istio.io/waypoint-for: all}}, spec: {gatewayClassName: ours, listeners: [{name: mesh, port: 15008, protocol: HBONE, allowedRoutes: {namespaces: {from: None}}}]}}",
        "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: w, namespace: shop}, spec: {gatewayClassName: ambit, listeners: [{name: web, port: 80, protocol: HTTP}]}}",
    ],
    &[
        "{kind: Pod, metadata: {name: w1, namespace: shop, labels: {gateway.networking.k8s.io/gateway-name: w, istio.io/dataplane-mode: none}}, spec: {serviceAccountName: w}, status: {podIP: 10.0.0.20}}",
        "{kind: Pod, metadata: {name: w1, namespace: shop, labels: {app: a}}, status: {podIP: 10.0.0.20}}",
        "{kind: Pod, metadata: {name: w1, namespace: shop, labels: {app: a, istio.io/use-waypoint: w}}, status: {podIP: 10.0.0.20}}",
    ],
    &[
        "{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: ours}, spec: {controllerName: ambit.mesh/waypoint}}",
        "{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: ambit-waypoint, labels: {istio.io/waypoint-for: workload}}, spec: {controllerName: ambit.mesh/waypoint}}",
    ],
    &[
        "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: h, namespace: shop}, spec: {parentRefs: [{group: '', kind: Service, name: s}, {name: w}], rules: [{backendRefs: [{name: e, port: 80}]}]}}",
        "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: h, namespace: shop}, spec: {parentRefs: [{group: '', kind: Service, name: e, sectionName: p}], rules: [{backendRefs: [{name: s, port: 81}]}]}}",
    ],
    &[
        "{apiVersion: gateway.networking.k8s.io/v1, kind: GRPCRoute, metadata: {name: g, namespace: bank}, spec: {parentRefs: [{group: '', kind: Service, name: s, namespace: shop}], rules: [{backendRefs: [{name: e, namespace: shop, port: 80}]}]}}",
        "{apiVersion: gateway.networking.k8s.io/v1, kind: GRPCRoute, metadata: {name: g, namespace: shop}, spec: {parentRefs: [{group: '', kind: Service, name: s, port: 81}]}}",
        "{apiVersion: gateway.networking.k8s.io/v1, kind: ReferenceGrant, metadata: {name: g, namespace: shop}, spec: {from: [{group: gateway.networking.k8s.io, kind: GRPCRoute, namespace: bank}], to: [{group: '', kind: Service}]}}",
    ],
    &[
        "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: t, namespace: shop}, spec: {targetRefs: [{kind: Service, name: s}, {kind: Service, name: e}], rules: [{}]}}",
        "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: t, namespace: shop}, spec: {targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: w}], action: DENY, rules: [{}]}}",
        "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: t, namespace: shop}, spec: {selector: {matchLabels: {app: a}}, rules: [{}]}}",
    ],
    &[
        "{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: e, namespace: shop}, spec: {hosts: [a.b], addresses: [10.97.0.1], resolution: STATIC, ports: [{number: 80, name: p}], endpoints: [{address: 10.0.0.1}, {address: 192.0.2.9}]}}",
        "{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: e, namespace: shop, labels: {istio.io/use-waypoint: w}}, spec: {hosts: [a.b, s.shop.svc.cluster.local], addresses: [10.97.0.1], resolution: STATIC, ports: [{number: 81, name: p}], workloadSelector: {labels: {app: a}}}}",
    ],
    &[
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: v, namespace: shop}, spec: {hosts: [s, a.b], http: [{route: [{destination: {host: e}}]}]}}",
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: v, namespace: shop}, spec: {hosts: ['*.shop.svc.cluster.local'], http: [{delegate: {name: d}}]}}",
    ],
    &[
        "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: d, namespace: bank}, spec: {host: s.shop.svc.cluster.local}}",
        "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: d, namespace: bank}, spec: {host: a.b}}",
    ],
    &[
        "{apiVersion: security.istio.io/v1, kind: RequestAuthentication, metadata: {name: r, namespace: shop}, spec: {targetRefs: [{group: networking.istio.io, kind: ServiceEntry, name: e}], jwtRules: [{issuer: a}]}}",
    ],
    &[
        "{apiVersion: telemetry.istio.io/v1, kind: Telemetry, metadata: {name: t, namespace: shop}, spec: {targetRefs: [{kind: Service, name: s}], accessLogging: [{disabled: true}]}}",
    ],
];

fn loaded(text: &str) -> Loaded {
    let yaml = if text.contains("apiVersion") {
        text.to_owned()
    } else {
        text.replacen('{', "{apiVersion: v1, ", 1)
    };
    let read = ambit_kubernetes::read_text(Path::new("test.yaml"), &yaml);
    read.unwrap_or_else(|problems| panic!("{text}: {problems:?}")).objects.remove(0)
}

/// Keeps what is published by following differences.
fn follow<T: PartialEq + std::fmt::Debug>(
    kept: &mut BTreeMap<String, Arc<T>>,
    differences: &[Difference<T>],
) {
    for Difference { name, old, new } in differences {
        assert_ne!(old, new, "{name} did not differ");
        assert_eq!(kept.remove(&**name), *old, "{name}");
        kept.extend(new.iter().map(|new| (name.to_string(), new.clone())));
    }
}

fn captured(pods: u8) -> Captured {
    let named = [("a", "shop"), ("b", "shop"), ("c", "bank")];
    let pods = named.iter().enumerate().filter(|(bit, _)| pods & (1 << bit) != 0);
    let pods = pods.map(|(_, (name, namespace))| CapturedPod {
        namespace: (*namespace).into(),
        name: (*name).into(),
        uid: None,
    });
    Captured::default().with_node(&"n1".parse().unwrap(), pods)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn it_is_the_index_that_is_made_from_nothing(
        // Several slots change at once, as when a directory settles.
        edits in proptest::collection::vec((proptest::collection::vec((0usize..22, 0usize..4), 0..6), 0u8..8), 1..14)
    ) {
        let mesh = MeshSettings::default();
        let mut indexer = Indexer::new(mesh.clone());
        let mut there: BTreeMap<usize, Loaded> = BTreeMap::new();
        let (mut workloads, mut services, mut policies) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut l7 = BTreeMap::new();
        for (changes, pods) in edits {
            let mut next = there.clone();
            for (slot, variant) in changes {
                match SLOTS[slot].get(variant) {
                    Some(text) => next.insert(slot, loaded(text)),
                    None => next.remove(&slot),
                };
            }
            let set: Vec<Loaded> = next.values().cloned().collect();
            if !validate_set(&set).iter().all(|problem| problem.reason.contains("does not exist")) {
                continue;
            }
            let differ = |one: &BTreeMap<usize, Loaded>, other: &BTreeMap<usize, Loaded>| -> Vec<Object> {
                let objects = one.iter().filter(|(slot, loaded)| {
                    other.get(slot).map(|other| &other.object) != Some(&loaded.object)
                });
                objects.map(|(_, loaded)| loaded.object.clone()).collect()
            };
            let captured = Arc::new(captured(pods));
            let delta = indexer.update(&differ(&there, &next), &differ(&next, &there), captured.clone());
            there = next;
            follow(&mut workloads, &delta.workloads);
            follow(&mut services, &delta.services);
            follow(&mut policies, &delta.policies);
            follow(&mut l7, &delta.l7);
            let fresh: Index = build(there.values().map(|loaded| &loaded.object), &captured, &mesh);
            prop_assert_eq!(&indexer.index(), &fresh);
            prop_assert_eq!(workloads.values().collect::<Vec<_>>(), fresh.workloads());
            prop_assert_eq!(services.values().collect::<Vec<_>>(), fresh.services());
            prop_assert_eq!(policies.values().collect::<Vec<_>>(), fresh.policies());
            prop_assert_eq!(l7.values().collect::<Vec<_>>(), fresh.l7());
        }
    }
}

#[test]
fn a_policy_without_a_selector_touches_no_workload() {
    let objects = [loaded(SLOTS[0][1]).object, loaded(SLOTS[4][0]).object];
    let mut indexer = Indexer::new(MeshSettings::default());
    indexer.update(&[], &objects, Arc::default());
    let policy = loaded(SLOTS[12][1]).object;
    let delta = indexer.update(&[], &[policy], Arc::default());
    assert!(delta.workloads.is_empty() && delta.services.is_empty());
    assert_eq!(delta.policies.len(), 1);
}
