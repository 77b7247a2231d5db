use std::net::IpAddr;

use ambit_model::service::{AppProtocol, BalanceMode, Port, ServiceAddress, ServiceKey};
use ambit_model::workload::Health;
use ambit_model::{Change, NetworkAddress, Unreadable};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

const VIP: [u8; 4] = [10, 96, 0, 1];

fn key() -> ServiceKey {
    ServiceKey::new("ns", "cart.ns.svc.cluster.local")
}

fn waypoint_key() -> ServiceKey {
    ServiceKey::new("ns", "waypoint.ns.svc.cluster.local")
}

fn pod(name: &str, last: u8, tunnel: Tunnel) -> Workload {
    let mut workload = Workload::new(&format!("c//Pod/ns/{name}"), name, "ns").unwrap();
    workload.addresses = vec![IpAddr::from([10, 0, 0, last])];
    workload.tunnel = tunnel;
    workload
}

fn port(service_port: u16, target_port: u16) -> Port {
    Port { service_port, target_port, protocol: AppProtocol::Unknown }
}

fn endpoint(mut workload: Workload, service: ServiceKey, port: Port) -> Workload {
    workload.services.insert(service, vec![port]);
    workload
}

fn service() -> Service {
    let mut service = Service::new("cart", key());
    service.addresses = vec![ServiceAddress::Ip(NetworkAddress::new("".into(), VIP.into()))];
    service.ports = vec![port(80, 8080)];
    service
}

fn waypoint() -> Gateway {
    Gateway { destination: GatewayDestination::Service(waypoint_key()), hbone_port: 15008 }
}

fn with(workloads: Vec<Workload>, services: Vec<Service>) -> Snapshot {
    let mut snapshot = Snapshot::new("");
    snapshot.apply(workloads.into_iter().map(|workload| Change::Workload(workload.into())));
    snapshot.apply(services.into_iter().map(|service| Change::Service(service.into())));
    snapshot
}

fn resolve_at(snapshot: &Snapshot, own: &Workload, address: &str) -> NextHop {
    resolve(snapshot, own, address.parse().unwrap(), &mut StdRng::seed_from_u64(7))
}

#[test]
fn a_pod_that_speaks_hbone_is_reached_by_it_and_never_in_plaintext() {
    let web = pod("web", 1, Tunnel::Hbone);
    let snapshot =
        with(vec![web.clone(), pod("cart", 2, Tunnel::Hbone), pod("old", 3, Tunnel::None)], vec![]);
    let NextHop::Hbone { gateway, authority, expected, .. } = resolve_at(&snapshot, &web, "10.0.0.2:80")
    else {
        panic!("not a tunnel")
    };
    assert_eq!((gateway, authority), ("10.0.0.2:15008".parse().unwrap(), "10.0.0.2:80".parse().unwrap()));
    assert_eq!(&*expected, ["spiffe://cluster.local/ns/ns/sa/default".into()]);
    let NextHop::Direct { address, .. } = resolve_at(&snapshot, &web, "10.0.0.3:80") else {
        panic!("not direct")
    };
    assert_eq!(address, "10.0.0.3:80".parse().unwrap());
}

#[test]
fn a_service_resolves_to_its_target_port() {
    let web = pod("web", 1, Tunnel::Hbone);
    let cart = endpoint(pod("cart", 2, Tunnel::Hbone), key(), port(80, 8080));
    let mut cart_service = service();
    cart_service.subject_alt_names = vec!["spiffe://other/ns/x/sa/y".into()];
    let snapshot = with(vec![web.clone(), cart], vec![cart_service]);
    let NextHop::Hbone { authority, expected, service, .. } = resolve_at(&snapshot, &web, "10.96.0.1:80")
    else {
        panic!("not a tunnel")
    };
    assert_eq!(authority, "10.0.0.2:8080".parse().unwrap());
    assert_eq!(expected.len(), 2);
    assert_eq!(service.unwrap().key, key());
}

#[test]
fn a_service_without_healthy_endpoint_rejects_unless_it_passes_through() {
    let web = pod("web", 1, Tunnel::Hbone);
    let mut sick = endpoint(pod("cart", 2, Tunnel::Hbone), key(), port(80, 8080));
    sick.health = Health::Unhealthy;
    let snapshot = with(vec![web.clone(), sick], vec![service()]);
    assert!(matches!(resolve_at(&snapshot, &web, "10.96.0.1:80"), NextHop::Reject(Rejection::NoEndpoint(_))));
    assert!(matches!(resolve_at(&snapshot, &web, "10.96.0.1:81"), NextHop::Reject(Rejection::NoEndpoint(_))));
    let mut open = service();
    open.load_balancing.mode = BalanceMode::Passthrough;
    let snapshot = with(vec![web.clone()], vec![open]);
    assert!(matches!(resolve_at(&snapshot, &web, "10.96.0.1:80"), NextHop::Passthrough { .. }));
}

#[test]
fn an_unknown_address_passes_through_and_the_proxys_own_ports_do_not() {
    let web = pod("web", 1, Tunnel::Hbone);
    let snapshot = with(vec![web.clone()], vec![]);
    assert!(matches!(
        resolve_at(&snapshot, &web, "192.0.2.1:443"),
        NextHop::Passthrough { service: None, .. }
    ));
    for port in [15001, 15006, 15008] {
        let address = format!("127.0.0.1:{port}");
        assert!(matches!(resolve_at(&snapshot, &web, &address), NextHop::Reject(Rejection::SelfCall(_))));
        let address = format!("[::1]:{port}");
        assert!(matches!(resolve_at(&snapshot, &web, &address), NextHop::Reject(Rejection::SelfCall(_))));
    }
}

#[test]
fn an_address_of_somebody_unreadable_is_rejected_until_a_good_version_comes() {
    let web = pod("web", 1, Tunnel::Hbone);
    let cart = pod("cart", 2, Tunnel::Hbone);
    let mut snapshot = with(vec![web.clone()], vec![]);
    let single = |ip: [u8; 4]| ServiceAddress::Ip(NetworkAddress::new("".into(), ip.into()));
    let unreadable = |key: &str, address: ServiceAddress| {
        let (key, addresses) = (key.into(), vec![address]);
        Change::Unreadable(Box::new(Unreadable { key, addresses, reason: "odd".into() }))
    };
    let block = ServiceAddress::Block("".into(), "10.97.0.0/16".parse().unwrap());
    snapshot.apply([
        unreadable(&cart.uid, single([10, 0, 0, 2])),
        unreadable(&key().to_string(), single(VIP)),
        unreadable("ns/wide", block),
    ]);
    for (address, claimant) in [
        ("10.0.0.2:80", &*cart.uid),
        ("10.96.0.1:80", "ns/cart.ns.svc.cluster.local"),
        ("10.97.3.4:80", "ns/wide"),
    ] {
        let NextHop::Reject(Rejection::Unreadable(key, reason)) = resolve_at(&snapshot, &web, address) else {
            panic!("{address} is not rejected")
        };
        assert_eq!((&*key, &*reason), (claimant, "odd"));
    }
    assert!(matches!(resolve_at(&snapshot, &web, "10.98.0.1:80"), NextHop::Passthrough { .. }));
    snapshot.apply([Change::Workload(cart.clone().into()), Change::RemoveAddress("ns/wide".into())]);
    assert!(matches!(resolve_at(&snapshot, &web, "10.0.0.2:80"), NextHop::Hbone { .. }));
    assert!(matches!(resolve_at(&snapshot, &web, "10.97.3.4:80"), NextHop::Passthrough { .. }));
    // The version that is in force stays so beside a newer one that is unreadable.
    snapshot.apply([unreadable(&cart.uid, single([10, 0, 0, 2]))]);
    assert!(matches!(resolve_at(&snapshot, &web, "10.0.0.2:80"), NextHop::Hbone { .. }));
    snapshot.apply([Change::RemoveAddress(cart.uid)]);
    assert!(matches!(resolve_at(&snapshot, &web, "10.0.0.2:80"), NextHop::Passthrough { .. }));
}

#[test]
fn a_waypoint_is_never_gone_around() {
    let web = pod("web", 1, Tunnel::Hbone);
    let cart = endpoint(pod("cart", 2, Tunnel::Hbone), key(), port(80, 8080));
    let mut bound = service();
    bound.waypoints = vec![(waypoint(), 100)];
    let mut gate = Service::new("waypoint", waypoint_key());
    gate.ports = vec![port(15008, 15008)];
    let snapshot = with(vec![web.clone(), cart.clone()], vec![bound.clone()]);
    assert!(matches!(resolve_at(&snapshot, &web, "10.96.0.1:80"), NextHop::Reject(Rejection::Waypoint(..))));
    let snapshot = with(vec![web.clone(), cart.clone()], vec![bound.clone(), gate.clone()]);
    assert!(matches!(resolve_at(&snapshot, &web, "10.96.0.1:80"), NextHop::Reject(Rejection::Waypoint(..))));
    let gate_pod = endpoint(pod("gate", 9, Tunnel::Hbone), waypoint_key(), port(15008, 15008));
    let snapshot = with(vec![web.clone(), cart, gate_pod], vec![bound, gate]);
    let NextHop::Hbone { gateway, authority, .. } = resolve_at(&snapshot, &web, "10.96.0.1:80") else {
        panic!("not a tunnel")
    };
    assert_eq!(gateway, "10.0.0.9:15008".parse().unwrap());
    assert_eq!(authority, "10.96.0.1:80".parse().unwrap(), "a service waypoint is asked for the service");
}

#[test]
fn a_waypoints_own_pod_reaches_the_workload_itself() {
    let mut cart = pod("cart", 2, Tunnel::Hbone);
    cart.waypoint = Some(waypoint().into());
    let gate_pod = endpoint(pod("gate", 9, Tunnel::Hbone), waypoint_key(), port(15008, 15008));
    let mut gate = Service::new("waypoint", waypoint_key());
    gate.ports = vec![port(15008, 15008)];
    let web = pod("web", 1, Tunnel::Hbone);
    let snapshot = with(vec![web.clone(), cart, gate_pod.clone()], vec![gate]);
    let at = |own: &Workload| match resolve_at(&snapshot, own, "10.0.0.2:80") {
        NextHop::Hbone { gateway, authority, .. } => (gateway.to_string(), authority.to_string()),
        other => panic!("{other:?}"),
    };
    assert_eq!(at(&web), ("10.0.0.9:15008".into(), "10.0.0.2:80".into()));
    assert_eq!(at(&gate_pod), ("10.0.0.2:15008".into(), "10.0.0.2:80".into()));
}

#[test]
fn another_network_is_refused_while_there_is_no_gateway_to_it() {
    let web = pod("web", 1, Tunnel::Hbone);
    let mut far = endpoint(pod("far", 2, Tunnel::Hbone), key(), port(80, 8080));
    far.network = "elsewhere".into();
    let snapshot = with(vec![web.clone(), far], vec![service()]);
    assert!(matches!(
        resolve_at(&snapshot, &web, "10.96.0.1:80"),
        NextHop::Reject(Rejection::OtherNetwork(..))
    ));
}

proptest! {
    /// Whatever the mix of endpoints: one that speaks HBONE is never dialled in plaintext, and only healthy ones are.
    #[test]
    fn plaintext_never_reaches_a_mesh_endpoint(kinds in proptest::collection::vec((any::<bool>(), any::<bool>()), 0..6), seed: u64) {
        let web = pod("web", 1, Tunnel::Hbone);
        let mut workloads = vec![web.clone()];
        for (index, (hbone, healthy)) in kinds.iter().enumerate() {
            let last = 10 + u8::try_from(index).unwrap();
            let tunnel = if *hbone { Tunnel::Hbone } else { Tunnel::None };
            let mut workload = endpoint(pod(&format!("p{index}"), last, tunnel), key(), port(80, 8080));
            workload.health = if *healthy { Health::Healthy } else { Health::Unhealthy };
            workloads.push(workload);
        }
        let snapshot = with(workloads, vec![service()]);
        let destination = SocketAddr::new(VIP.into(), 80);
        match resolve(&snapshot, &web, destination, &mut StdRng::seed_from_u64(seed)) {
            NextHop::Direct { workload, .. } => {
                prop_assert_eq!((workload.tunnel, workload.health), (Tunnel::None, Health::Healthy));
            }
            NextHop::Hbone { workload, gateway, .. } => {
                prop_assert_eq!((workload.tunnel, workload.health), (Tunnel::Hbone, Health::Healthy));
                prop_assert!(workload.owns(gateway.ip()));
            }
            NextHop::Reject(_) => prop_assert!(kinds.iter().all(|(_, healthy)| !healthy)),
            NextHop::Passthrough { .. } => prop_assert!(false, "a service address never passes through"),
        }
    }
}
