//! ServiceEntries: services, endpoints, pods behind them, waypoints.

use ambit_model::Text;
use ambit_model::l7::Resource;
use ambit_model::service::{AppProtocol, BalanceMode, Port, ServiceAddress, Visibility};
use ambit_model::workload::GatewayDestination;

use super::{Index, index};

const SHOP: &str = "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}\n---\n";

fn entry(metadata: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: e, namespace: shop{metadata}}}\nspec: {{{spec}}}\n---\n"
    )
}

fn with(metadata: &str, spec: &str, more: &str) -> Index {
    index(&format!("{SHOP}{}{more}", entry(metadata, spec)))
}

fn keys(index: &Index) -> Vec<String> {
    index.services().into_iter().map(|service| service.key.to_string()).collect()
}

#[test]
fn hosts_are_services_and_endpoints_workloads() {
    let index = with(
        "",
        "hosts: [API.example.com, b.example.com], addresses: [10.9.0.1], resolution: STATIC, subjectAltNames: ['spiffe://a/ns/b/sa/c'], exportTo: ['.'], \
         ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}, {number: 443, name: tls, protocol: TLS}], \
         endpoints: [{address: 192.0.2.1, ports: {http: 9090}, labels: {version: v1}, locality: r/z/s, weight: 3, serviceAccount: web}]",
        "",
    );
    assert_eq!(index.told(), [""; 0]);
    assert_eq!(keys(&index), ["shop/api.example.com", "shop/b.example.com"]);
    let service = &**index.services()[0];
    let port = |service_port, target_port, protocol| Port { service_port, target_port, protocol };
    let tls = port(443, 443, AppProtocol::Tls);
    assert_eq!(service.ports, [port(80, 8080, AppProtocol::Http11), tls]);
    assert!(matches!(&service.addresses[..], [ServiceAddress::Ip(ip)] if ip.ip.to_string() == "10.9.0.1"));
    assert_eq!((service.visibility, service.canonical), (Visibility::Namespace, false));
    assert_eq!(service.subject_alt_names, [Text::from("spiffe://a/ns/b/sa/c")]);
    let workload = &**index.workloads()[0];
    assert_eq!(&*workload.uid, "Kubernetes/networking.istio.io/ServiceEntry/shop/e/192.0.2.1");
    assert_eq!(
        (workload.capacity, &*workload.locality.zone, &**workload.identity.service_account()),
        (3, "z", "web")
    );
    let ports = workload.services.get(&service.key).unwrap();
    assert_eq!(**ports, [port(80, 9090, AppProtocol::Http11), tls]);
    let labels = index.l7().into_iter().find_map(|resource| match &**resource {
        Resource::Labels(labels) => Some(labels.labels.clone()),
        _ => None,
    });
    assert_eq!(labels.unwrap(), [("version".into(), "v1".into())]);
}

#[test]
fn pods_are_behind_it_by_labels_and_by_address() {
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: shop, labels: {app: a}}, status: {podIP: 10.0.0.1}}";
    let ports = "ports: [{number: 80, name: http, targetPort: 8080}], resolution: STATIC, hosts: [a.b], addresses: [10.9.0.1]";
    for spec in [
        format!("{ports}, workloadSelector: {{labels: {{app: a}}}}"),
        format!("{ports}, endpoints: [{{address: 10.0.0.1}}]"),
    ] {
        let index = with("", &spec, pod);
        assert_eq!(index.workloads().len(), 1, "{spec}");
        let ports = index.workload("p").services.get(&"shop/a.b".parse().unwrap()).unwrap().clone();
        assert_eq!((ports[0].service_port, ports[0].target_port), (80, 8080), "{spec}");
    }
}

#[test]
fn what_passes_through_goes_to_the_address_that_was_dialled() {
    let index = with("", "hosts: [a.b], addresses: [10.9.0.0/16], ports: [{number: 80, name: http}]", "");
    let service = &**index.services()[0];
    assert!(
        matches!(&service.addresses[..], [ServiceAddress::Block(_, block)] if block.to_string() == "10.9.0.0/16")
    );
    assert_eq!(service.load_balancing.mode, BalanceMode::Passthrough);
}

#[test]
fn it_is_bound_to_a_waypoint_by_its_label() {
    let gateway = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: way, namespace: shop}\n\
                   spec: {gatewayClassName: ambit-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}\n";
    let metadata = ", labels: {istio.io/use-waypoint: way}";
    let spec = "hosts: [a.b], addresses: [10.9.0.1], ports: [{number: 80, name: http}], resolution: STATIC";
    for (more, host) in [(gateway, "way.shop.svc.cluster.local"), ("", "way.shop.missing.invalid")] {
        let index = with(metadata, spec, more);
        let service = index.services().into_iter().find(|service| &*service.key.hostname == "a.b").unwrap();
        let [(bound, _)] = &service.waypoints[..] else { panic!("{service:?}") };
        assert!(
            matches!(&bound.destination, GatewayDestination::Service(key) if &*key.hostname == host),
            "{bound:?}"
        );
    }
}

#[test]
fn who_is_first_has_the_host_and_what_is_not_done_is_told() {
    let spec = "hosts: [s.shop.svc.cluster.local, c.d], addresses: [10.9.0.1], resolution: STATIC";
    let service =
        "{apiVersion: v1, kind: Service, metadata: {name: s, namespace: shop}, spec: {clusterIP: 10.96.0.1}}";
    let index = with("", spec, service);
    assert!(index.service("s").canonical);
    assert_eq!(keys(&index), ["shop/c.d", "shop/s.shop.svc.cluster.local"]);
    for (spec, note) in [
        ("hosts: [a.b], addresses: [10.9.0.1], resolution: DNS", "spec.resolution"),
        ("hosts: [a.b], resolution: STATIC", "spec.addresses"),
        ("hosts: [a.b], addresses: [10.9.0.1], exportTo: [bank]", "spec.exportTo"),
        ("hosts: [a.b], addresses: [10.9.0.1], exportTo: ['~']", "exported to nobody"),
        ("hosts: [a.b, A.B], addresses: [10.9.0.1]", "older ServiceEntry"),
    ] {
        let told = with("", spec, "").told();
        assert!(told.len() == 1 && told[0].contains(note), "{told:?}");
    }
}
