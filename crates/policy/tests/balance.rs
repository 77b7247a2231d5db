//! Endpoint choice against a naive evaluator that lists every endpoint with its rank.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ambit_model::service::{AppProtocol, BalanceMode, IpFamilies, LoadBalancing, Port, Scope, ServiceKey};
use ambit_model::workload::{ApplicationTunnel, Gateway, GatewayDestination, Health};
use ambit_model::{Change, Service, Snapshot, Workload};
use ambit_policy::balance::NoEndpointReason;
use ambit_policy::{Family, choose, choose_waypoint};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

fn port(service_port: u16, target_port: u16) -> Port {
    Port { service_port, target_port, protocol: AppProtocol::Unknown }
}

fn key() -> ServiceKey {
    ServiceKey::new("shop", "cart.shop.svc.cluster.local")
}

fn service() -> Service {
    let mut service = Service::new("cart", key());
    service.ports = vec![port(80, 8080), port(81, 0)];
    service
}

fn endpoint(number: usize) -> Workload {
    let mut workload =
        Workload::new(&format!("c//Pod/shop/cart-{number}"), &format!("cart-{number}"), "shop").unwrap();
    workload.addresses = vec![IpAddr::from([10, 0, 0, u8::try_from(number).unwrap()])];
    workload.services.insert(key(), vec![port(80, 8080), port(81, 9000)]);
    workload
}

fn client() -> Workload {
    let mut client = Workload::new("c//Pod/shop/web", "web", "shop").unwrap();
    place(&mut client, [0; 6]);
    client
}

/// Region, zone, subzone, node, cluster and network by number.
fn place(workload: &mut Workload, at: [u8; 6]) {
    let [region, zone, subzone, node, cluster, network] = at.map(|number| number.to_string().into());
    workload.locality.region = region;
    workload.locality.zone = zone;
    workload.locality.subzone = subzone;
    workload.node = node;
    workload.cluster = cluster;
    workload.network = network;
}

fn snapshot(endpoints: &[Workload]) -> Snapshot {
    let mut snapshot = Snapshot::new("");
    snapshot.apply(endpoints.iter().cloned().map(|workload| Change::Workload(workload.into())));
    snapshot
}

fn gateway() -> Gateway {
    Gateway { destination: GatewayDestination::Service(key()), hbone_port: 15008 }
}

fn any_endpoint(number: usize) -> impl Strategy<Value = Workload> {
    let families = prop_oneof![
        4 => Just(vec!["10.0.0.1"]), 2 => Just(vec!["fd00::1"]), 2 => Just(vec!["10.0.0.1", "fd00::1"]), 1 => Just(vec![])
    ];
    let ports = prop_oneof![3 => Just(vec![port(80, 8080), port(81, 9000)]), 1 => Just(vec![port(80, 8080)]), 1 => Just(vec![])];
    (
        proptest::array::uniform6(0u8..2),
        proptest::bool::weighted(0.7),
        0u32..4,
        families,
        ports,
        (proptest::bool::weighted(0.2), proptest::bool::weighted(0.3), proptest::bool::weighted(0.2)),
    )
        .prop_map(move |(at, healthy, capacity, families, ports, (named, reachable, tunnel))| {
            let mut workload = endpoint(number);
            place(&mut workload, at);
            workload.health = if healthy { Health::Healthy } else { Health::Unhealthy };
            workload.capacity = capacity;
            workload.addresses = families.into_iter().map(|ip| ip.parse().unwrap()).collect();
            workload.services.insert(key(), ports);
            workload.hostname = if named { "cart.example.com" } else { "" }.into();
            workload.network_gateway = reachable.then(|| gateway().into());
            workload.application_tunnel =
                tunnel.then_some(ApplicationTunnel { proxy_protocol: true, port: None });
            workload
        })
}

fn any_balancing() -> impl Strategy<Value = LoadBalancing> {
    use Scope::{Cluster, Network, Node, Region, Subzone, Zone};
    let scopes = proptest::sample::subsequence(vec![Region, Zone, Subzone, Node, Cluster, Network], 0..=6)
        .prop_shuffle();
    let mode =
        prop_oneof![Just(BalanceMode::Unspecified), Just(BalanceMode::Strict), Just(BalanceMode::Failover)];
    (scopes, mode, any::<bool>()).prop_map(|(preference, mode, allow_unhealthy)| LoadBalancing {
        preference,
        mode,
        allow_unhealthy,
    })
}

/// ztunnel's ranking, said slowly.
fn rank(balancing: &LoadBalancing, client: &Workload, endpoint: &Workload) -> Option<usize> {
    if balancing.mode == BalanceMode::Unspecified {
        return Some(0);
    }
    let same = |scope: Scope| match scope {
        Scope::Region => client.locality.region == endpoint.locality.region,
        Scope::Zone => client.locality.zone == endpoint.locality.zone,
        Scope::Subzone => client.locality.subzone == endpoint.locality.subzone,
        Scope::Node => client.node == endpoint.node,
        Scope::Cluster => client.cluster == endpoint.cluster,
        Scope::Network => client.network == endpoint.network,
    };
    let wish = balancing.preference.first() == Some(&Scope::Network);
    let (mut rank, mut bonus) = (0, 0);
    for scope in &balancing.preference {
        if same(*scope) {
            rank += 1;
            if wish && *scope == Scope::Network {
                bonus = balancing.preference.len() - 1;
            }
        } else if !(wish && *scope == Scope::Network) {
            break;
        }
    }
    (balancing.mode != BalanceMode::Strict || rank == balancing.preference.len()).then_some(rank + bonus)
}

/// The uids that may be chosen, with their target ports.
fn naive(service: &Service, asked: u16, client: &Workload, endpoints: &[Workload]) -> BTreeMap<String, u16> {
    let Some(listed) = service.ports.iter().find(|port| port.service_port == asked) else {
        return BTreeMap::new();
    };
    let mut ranked = Vec::new();
    for endpoint in endpoints {
        let own = endpoint.services.get(&key()).unwrap().iter().find(|port| port.service_port == asked);
        let target = own.map_or(listed.target_port, |own| own.target_port);
        let healthy = endpoint.health == Health::Healthy || service.load_balancing.allow_unhealthy;
        let has_address = endpoint.addresses.iter().any(|ip| match service.ip_families {
            IpFamilies::V4 => ip.is_ipv4(),
            IpFamilies::V6 => ip.is_ipv6(),
            _ => true,
        });
        let through_gateway = endpoint.network_gateway.is_some() && endpoint.network != client.network;
        let reachable = has_address || !endpoint.hostname.is_empty() || through_gateway;
        if target != 0 && healthy && reachable {
            let rank = rank(&service.load_balancing, client, endpoint);
            ranked.extend(rank.map(|rank| (rank, endpoint.uid.to_string(), target)));
        }
    }
    let best = ranked.iter().map(|(rank, ..)| *rank).max();
    ranked
        .into_iter()
        .filter(|(rank, ..)| Some(*rank) == best)
        .map(|(_, uid, target)| (uid, target))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Only what the naive evaluator lists is chosen, all of it is chosen sooner or later, nothing is an error.
    #[test]
    fn chooses_exactly_what_a_naive_evaluator_lists(
        endpoints in (any_endpoint(0), any_endpoint(1), any_endpoint(2), any_endpoint(3), 0usize..5)
            .prop_map(|(a, b, c, d, many)| [a, b, c, d].into_iter().take(many).collect::<Vec<_>>()),
        balancing in any_balancing(),
        families in proptest::sample::select(vec![IpFamilies::Automatic, IpFamilies::V4, IpFamilies::V6, IpFamilies::Dual]),
        asked in proptest::sample::select(vec![80u16, 81, 82]),
        wanted in proptest::sample::select(vec![Family::V4, Family::V6]),
        seed in any::<u64>(),
    ) {
        let mut service = service();
        service.load_balancing = balancing;
        service.ip_families = families;
        let client = client();
        let expected = naive(&service, asked, &client, &endpoints);
        let snapshot = snapshot(&endpoints);
        let mut rng = StdRng::seed_from_u64(seed);
        let mut seen = BTreeMap::new();
        for _ in 0..200 {
            match choose(&snapshot, &service, asked, &client, wanted, &mut rng) {
                Ok(chosen) => {
                    seen.insert(chosen.workload.uid.to_string(), chosen.target_port);
                    if let Some(ip) = chosen.address {
                        prop_assert!(chosen.workload.owns(ip));
                        let has = |family| chosen.workload.addresses.iter().any(|ip| Family::of(*ip) == family);
                        let allowed = |family| match families {
                            IpFamilies::V4 => family == Family::V4,
                            IpFamilies::V6 => family == Family::V6,
                            _ => true,
                        };
                        prop_assert!(allowed(Family::of(ip)));
                        prop_assert!(Family::of(ip) == wanted || !(has(wanted) && allowed(wanted)));
                    }
                }
                Err(_) => prop_assert!(expected.is_empty()),
            }
        }
        prop_assert_eq!(seen, expected);
    }
}

#[test]
fn the_share_of_an_endpoint_is_its_capacity() {
    let weights = [1u32, 2, 7];
    let endpoints: Vec<_> =
        weights.iter().enumerate().map(|(n, weight)| Workload { capacity: *weight, ..endpoint(n) }).collect();
    let (snapshot, service, client) = (snapshot(&endpoints), service(), client());
    let mut rng = StdRng::seed_from_u64(7);
    let mut counts = BTreeMap::new();
    let draws = 20_000u32;
    for _ in 0..draws {
        let chosen = choose(&snapshot, &service, 80, &client, Family::V4, &mut rng).unwrap();
        *counts.entry(chosen.workload.uid.to_string()).or_insert(0u32) += 1;
    }
    for (endpoint, weight) in endpoints.iter().zip(weights) {
        let expected = f64::from(draws) * f64::from(weight) / 10.0;
        let difference = (f64::from(counts[&*endpoint.uid]) - expected).abs();
        // Five standard deviations of the binomial distribution.
        assert!(difference < 5.0 * (expected * (1.0 - f64::from(weight) / 10.0)).sqrt(), "{counts:?}");
    }
}

#[test]
fn every_failure_names_what_is_missing() {
    let client = client();
    let mut rng = StdRng::seed_from_u64(1);
    let mut why = |service: &Service, asked, endpoints: &[Workload]| {
        choose(&snapshot(endpoints), service, asked, &client, Family::V4, &mut rng).unwrap_err().reason
    };
    let service = service();
    assert_eq!(why(&service, 82, &[endpoint(1)]), NoEndpointReason::PortUnknown(82));
    assert_eq!(why(&service, 80, &[]), NoEndpointReason::NoEndpoints);
    let mut without_port = endpoint(1);
    without_port.services.insert(key(), vec![port(80, 8080)]);
    assert_eq!(why(&service, 81, &[without_port]), NoEndpointReason::PortNotOnEndpoints(81));
    let unhealthy = Workload { health: Health::Unhealthy, ..endpoint(1) };
    assert_eq!(why(&service, 80, std::slice::from_ref(&unhealthy)), NoEndpointReason::NoneHealthy);
    // The reason of the endpoint that came furthest is told.
    let nowhere = Workload { addresses: Vec::new(), ..endpoint(2) };
    assert_eq!(why(&service, 80, &[unhealthy, nowhere]), NoEndpointReason::NoneAddressable);
    let strict =
        LoadBalancing { preference: vec![Scope::Node], mode: BalanceMode::Strict, allow_unhealthy: false };
    let local = Service { load_balancing: strict, ..service.clone() };
    assert_eq!(why(&local, 80, &[endpoint(1)]), NoEndpointReason::NoneInScope);
    let passthrough = LoadBalancing { mode: BalanceMode::Passthrough, ..LoadBalancing::default() };
    let external = Service { load_balancing: passthrough, ..service };
    assert_eq!(why(&external, 80, &[endpoint(1)]), NoEndpointReason::Passthrough);
    let error = choose(&snapshot(&[]), &local, 82, &client, Family::V4, &mut rng).unwrap_err();
    assert_eq!(
        error.to_string(),
        "service shop/cart.shop.svc.cluster.local: it has no port 82; add it to the service's ports"
    );
}

#[test]
fn a_waypoint_is_reached_on_its_tunnel_port_though_no_service_lists_it() {
    let mut tunnelled = endpoint(1);
    tunnelled.application_tunnel = Some(ApplicationTunnel { proxy_protocol: true, port: Some(15088) });
    let snapshot = snapshot(&[tunnelled, endpoint(2)]);
    let (service, client) = (service(), client());
    let mut rng = StdRng::seed_from_u64(3);
    let mut chosen = BTreeSet::new();
    for _ in 0..50 {
        let waypoint = choose_waypoint(&snapshot, &service, 15008, &client, Family::V4, &mut rng).unwrap();
        chosen.insert((waypoint.workload.name.to_string(), waypoint.target_port));
    }
    assert_eq!(chosen, BTreeSet::from([("cart-1".to_owned(), 15008)]));
    let ordinary = choose(&snapshot, &service, 15008, &client, Family::V4, &mut rng);
    assert_eq!(ordinary.unwrap_err().reason, NoEndpointReason::PortUnknown(15008));
}

#[test]
fn the_network_as_first_scope_is_a_wish_that_outweighs_all_others() {
    let preference = vec![Scope::Network, Scope::Region, Scope::Zone];
    let wish = |mode| LoadBalancing { preference: preference.clone(), mode, allow_unhealthy: false };
    let (mut here, mut near, mut far) = (endpoint(1), endpoint(2), endpoint(3));
    // Same network and nothing else; everything but the network; nothing at all.
    place(&mut here, [1, 1, 1, 1, 1, 0]);
    place(&mut near, [0, 0, 0, 0, 0, 1]);
    place(&mut far, [1, 1, 1, 1, 1, 1]);
    let mut rng = StdRng::seed_from_u64(4);
    let mut chosen = |mode, endpoints: &[&Workload]| {
        let endpoints: Vec<_> = endpoints.iter().map(|endpoint| (*endpoint).clone()).collect();
        let service = Service { load_balancing: wish(mode), ..service() };
        let snapshot = snapshot(&endpoints);
        let mut draw = || choose(&snapshot, &service, 80, &client(), Family::V4, &mut rng);
        (0..50)
            .filter_map(|_| draw().ok())
            .map(|chosen| chosen.workload.name.to_string())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(chosen(BalanceMode::Failover, &[&far, &near, &here]), BTreeSet::from(["cart-1".into()]));
    assert_eq!(chosen(BalanceMode::Failover, &[&far, &near]), BTreeSet::from(["cart-2".into()]));
    assert_eq!(chosen(BalanceMode::Strict, &[&far, &near, &here]), BTreeSet::new());
}
