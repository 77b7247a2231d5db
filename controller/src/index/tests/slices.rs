//! EndpointSlices (facts: sections 1.2 and 1.3).

use ambit_model::workload::{Health, NetworkMode, Tunnel};

use super::{index, ports};

const SLICE: &str = "\
{apiVersion: v1, kind: Service, metadata: {name: db, namespace: shop}, spec: {clusterIP: 10.96.0.1, ports: [{name: sql, port: 5432}, {name: web, port: 80}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: db-1, namespace: shop, labels: {kubernetes.io/service-name: db}}
addressType: IPv4
ports: [{name: sql, port: 15432}, {name: other, port: 1}, {name: web, port: 8080, protocol: UDP}]
endpoints:
- {addresses: [192.0.2.1]}
- {addresses: [192.0.2.2], conditions: {ready: false}}
- {addresses: [192.0.2.1], conditions: {ready: false}}
- {addresses: [10.0.0.1], targetRef: {kind: Pod, namespace: shop, name: a, uid: u1}}
- {addresses: [10.0.0.2], targetRef: {kind: Pod, namespace: shop, name: b, uid: u9}}
- {addresses: [10.0.0.3], targetRef: {kind: Pod, name: c}}
- {addresses: [10.0.0.4]}
- {addresses: [10.0.0.5], targetRef: {kind: Machine, name: e}}
---
{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: shop, uid: u1}, status: {podIP: 10.0.0.1}}
---
{apiVersion: v1, kind: Pod, metadata: {name: b, namespace: shop, uid: u2}, status: {podIP: 10.0.0.2}}
---
{apiVersion: v1, kind: Pod, metadata: {name: c, namespace: shop}, status: {podIP: 10.0.0.3}}
---
{apiVersion: v1, kind: Pod, metadata: {name: d, namespace: shop}, status: {podIP: 10.0.0.4}}
---
{apiVersion: v1, kind: Pod, metadata: {name: e, namespace: other}, status: {podIPs: [{ip: fd00::5}, {ip: 10.0.0.5}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: f, namespace: shop}, spec: {hostNetwork: true}, status: {podIP: 192.0.2.1}}
";

#[test]
fn endpoints_that_are_no_pods_become_workloads_by_address() {
    let index = index(SLICE);
    let slices: Vec<_> = index.workloads().into_iter().filter(|workload| &*workload.name == "db-1").collect();
    let uids: Vec<&str> = slices.iter().map(|workload| &*workload.uid).collect();
    assert_eq!(
        uids,
        [
            "Kubernetes/discovery.k8s.io/EndpointSlice/shop/db-1/192.0.2.1",
            "Kubernetes/discovery.k8s.io/EndpointSlice/shop/db-1/192.0.2.2"
        ]
    );
    assert_eq!(
        slices.iter().map(|slice| slice.health).collect::<Vec<_>>(),
        [Health::Healthy, Health::Unhealthy]
    );
    for slice in slices {
        assert_eq!(slice.network_mode, NetworkMode::HostNetwork);
        assert_eq!(ports(slice, "db"), [(5432, 15432)]);
        assert!(slice.policies.is_empty());
    }
}

#[test]
fn references_and_addresses_join_pods_to_services_without_selector() {
    let index = index(SLICE);
    assert_eq!(ports(index.workload("a"), "db"), [(5432, 15432)]);
    assert!(index.workload("b").services.is_empty(), "the reference is to an older pod of this name");
    assert_eq!(ports(index.workload("c"), "db"), [(5432, 15432)]);
    assert_eq!(ports(index.workload("d"), "db"), [(5432, 15432)], "its address is listed");
    assert!(index.workload("f").services.is_empty(), "its address is its node's");
    let key = "shop/db.shop.svc.cluster.local".parse().unwrap();
    assert!(index.workload("e").services.contains_key(&key), "its second address is listed");
}

#[test]
fn a_captured_pod_without_reference_is_reached_over_hbone_only() {
    let yaml = SLICE.replace(
        "{name: d, namespace: shop}",
        "{name: d, namespace: shop, labels: {istio.io/dataplane-mode: ambient}, annotations: {ambient.istio.io/redirection: enabled}}",
    );
    let index = index(&yaml);
    let there = "10.0.0.4".parse().unwrap();
    let found: Vec<_> =
        index.workloads().into_iter().filter(|workload| workload.addresses.contains(&there)).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((&*found[0].name, found[0].tunnel), ("d", Tunnel::Hbone));
    assert_eq!(found[0].network_mode, NetworkMode::Standard);
}

#[test]
fn the_address_of_a_pod_that_has_ended_is_nobodys() {
    let yaml = SLICE.replace("status: {podIP: 10.0.0.4}", "status: {podIP: 10.0.0.4, phase: Succeeded}");
    let uid = "Kubernetes/discovery.k8s.io/EndpointSlice/shop/db-1/10.0.0.4";
    assert!(index(&yaml).workloads().into_iter().any(|workload| &*workload.uid == uid));
}

#[test]
fn slices_of_nobody_and_of_names_are_ignored() {
    for (from, to) in [
        ("{kubernetes.io/service-name: db}", "{}"),
        ("{kubernetes.io/service-name: db}", "{kubernetes.io/service-name: other}"),
    ] {
        let index = index(&SLICE.replace(from, to));
        assert!(index.workloads().into_iter().all(|workload| &*workload.name != "db-1"));
        assert!(index.workload("a").services.is_empty());
    }
    let names = "\
{apiVersion: v1, kind: Service, metadata: {name: db, namespace: shop}, spec: {ports: [{name: sql, port: 5432}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: db-1, namespace: shop, labels: {kubernetes.io/service-name: db}}
addressType: FQDN
ports: [{name: sql, port: 15432}]
endpoints: [{addresses: [db.example.org]}]
";
    assert!(index(names).workloads().is_empty());
}

#[test]
fn a_selector_decides_alone_for_pods() {
    let yaml = SLICE.replace("spec: {clusterIP", "spec: {selector: {app: none}, clusterIP");
    let index = index(&yaml);
    for pod in ["a", "d", "e"] {
        assert!(index.workload(pod).services.is_empty(), "{pod}");
    }
    let slices = index.workloads().into_iter().filter(|workload| &*workload.name == "db-1").count();
    assert_eq!(slices, 2, "pods are not there a second time");
}
