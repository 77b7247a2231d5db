//! Services (facts: section 1.4).

use ambit_model::service::{AppProtocol, BalanceMode, IpFamilies, Scope, ServiceAddress};

use super::{build, index, objects};
use crate::captured::Captured;
use crate::settings::MeshSettings;

fn service(metadata: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: s, namespace: shop{metadata}}}, spec: {{{spec}}}}}"
    )
}

fn addresses(spec: &str) -> Vec<String> {
    let index = index(&service("", spec));
    let address = |address: &ServiceAddress| match address {
        ServiceAddress::Ip(address) => address.to_string(),
        ServiceAddress::Block(..) => panic!("a block"),
    };
    index.service("s").addresses.iter().map(address).collect()
}

#[test]
fn host_names_end_with_the_domain_and_are_canonical() {
    let mesh = MeshSettings { cluster_domain: "example.org".to_owned(), ..MeshSettings::default() };
    let index = build(&objects(&service("", "clusterIP: 10.96.0.1")), &Captured::default(), &mesh);
    assert_eq!(index.service("s").key.to_string(), "shop/s.shop.svc.example.org");
    assert!(index.service("s").canonical);
}

#[test]
fn addresses_are_those_of_all_families() {
    assert_eq!(addresses("clusterIP: 10.96.0.1"), ["/10.96.0.1"]);
    assert_eq!(
        addresses("clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1, 'fd00::1']"),
        ["/10.96.0.1", "/fd00::1"]
    );
    assert!(addresses("clusterIP: None").is_empty(), "a headless service is published without");
}

#[test]
fn external_names_are_not_published() {
    let index = index(&service("", "type: ExternalName, externalName: example.org"));
    assert!(index.services().is_empty());
}

#[test]
fn families_are_those_asked_for() {
    for (families, expected) in [
        ("[]", IpFamilies::Automatic),
        ("[IPv4]", IpFamilies::V4),
        ("[IPv6]", IpFamilies::V6),
        ("[IPv6, IPv4]", IpFamilies::Dual),
    ] {
        let index = index(&service("", &format!("ipFamilies: {families}")));
        assert_eq!(index.service("s").ip_families, expected, "{families}");
    }
}

#[test]
fn protocols_from_the_field_the_name_and_the_port() {
    use AppProtocol::{Grpc, Http2, Http11, Tcp, Tls, Unknown};
    for (port, expected) in [
        ("name: http, port: 80", Http11),
        ("name: http-web, port: 80", Http11),
        ("name: http2-web, port: 80", Http2),
        ("name: grpc-api, port: 80", Grpc),
        ("name: grpc-web, port: 80", Unknown),
        ("name: tls-x, port: 80", Tls),
        ("name: https, port: 443", Tls),
        ("name: wss, port: 443", Tls),
        ("name: ws, port: 80", Http11),
        ("name: tcp-x, port: 80", Tcp),
        ("name: web, port: 80", Unknown),
        ("name: httpx, port: 80", Unknown),
        ("port: 80", Unknown),
        ("name: web, port: 80, appProtocol: http", Http11),
        ("name: http, port: 80, appProtocol: grpc", Grpc),
        ("name: http, port: 80, appProtocol: kubernetes.io/h2c", Http2),
        ("name: http, port: 80, appProtocol: kubernetes.io/ws", Http11),
        ("name: http, port: 80, appProtocol: kubernetes.io/wss", Tls),
        ("name: http, port: 80, appProtocol: example.org/thing", Unknown),
        ("name: http, port: 80, protocol: UDP", Unknown),
        ("port: 25", Tcp),
        ("port: 53", Tcp),
        ("port: 3306", Tcp),
        ("name: db, port: 27017", Tcp),
        ("name: mysql, port: 3306", Unknown),
        ("name: http, port: 25", Http11),
    ] {
        let index = index(&service("", &format!("ports: [{{{port}}}]")));
        assert_eq!(index.service("s").ports[0].protocol, expected, "{port}");
    }
}

const ZONE: [Scope; 3] = [Scope::Network, Scope::Region, Scope::Zone];
const NODE: [Scope; 5] = [Scope::Network, Scope::Region, Scope::Zone, Scope::Subzone, Scope::Node];

#[test]
fn near_endpoints_by_field_then_annotation_then_namespace() {
    let annotation = ", annotations: {networking.istio.io/traffic-distribution: PreferSameNode}";
    let none: &[Scope] = &[];
    for (metadata, spec, mode, preference) in [
        ("", "", BalanceMode::Unspecified, none),
        ("", "trafficDistribution: PreferClose", BalanceMode::Failover, &ZONE),
        ("", "trafficDistribution: PreferSameZone", BalanceMode::Failover, &ZONE),
        ("", "trafficDistribution: PreferSameNode", BalanceMode::Failover, &NODE),
        ("", "trafficDistribution: Elsewhere", BalanceMode::Unspecified, none),
        (annotation, "", BalanceMode::Failover, &NODE),
        (annotation, "trafficDistribution: PreferClose", BalanceMode::Failover, &ZONE),
        ("", "internalTrafficPolicy: Local", BalanceMode::Strict, &[Scope::Node]),
        (
            "",
            "internalTrafficPolicy: Local, trafficDistribution: PreferClose",
            BalanceMode::Strict,
            &[Scope::Node],
        ),
    ] {
        let index = index(&service(metadata, spec));
        let balancing = &index.service("s").load_balancing;
        assert_eq!((balancing.mode, &balancing.preference[..]), (mode, preference), "{metadata} {spec}");
    }
    let namespace = "{apiVersion: v1, kind: Namespace, metadata: {name: shop, annotations: {networking.istio.io/traffic-distribution: PreferClose}}}";
    for (metadata, preference) in [("", &ZONE[..]), (annotation, &NODE[..])] {
        let index = index(&format!("{namespace}\n---\n{}", service(metadata, "")));
        assert_eq!(index.service("s").load_balancing.preference, preference);
    }
}

#[test]
fn unready_addresses_are_published_where_asked_for() {
    assert!(
        index(&service("", "publishNotReadyAddresses: true")).service("s").load_balancing.allow_unhealthy
    );
    assert!(!index(&service("", "")).service("s").load_balancing.allow_unhealthy);
}
