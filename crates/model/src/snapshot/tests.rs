use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::policy::{Action, Rule, Scope};
use crate::service::{AppProtocol, Port, ServiceAddress};

fn workload(uid: u8, ip: u8, service: u8) -> Workload {
    let mut workload = Workload::new(&format!("c//Pod/ns/{uid}"), &format!("w{uid}"), "ns").unwrap();
    workload.addresses = vec![IpAddr::from([10, 0, 0, ip])];
    let port = Port { service_port: 80, target_port: 8080, protocol: AppProtocol::Unknown };
    workload.services.insert(key(service), vec![port]);
    workload
}

fn key(service: u8) -> ServiceKey {
    ServiceKey::new("ns", &format!("s{service}.ns.svc.cluster.local"))
}

fn service(number: u8, ip: u8) -> Service {
    let mut service = Service::new(&format!("s{number}"), key(number));
    let address = NetworkAddress::new("".into(), IpAddr::from([10, 1, 0, ip]));
    service.addresses = vec![ServiceAddress::Ip(address)];
    service
}

fn policy(number: u8, scope: u8) -> Policy {
    let scope = [Scope::Global, Scope::Namespace, Scope::WorkloadSelector][usize::from(scope) % 3];
    Policy {
        key: format!("ns/p{number}").into(),
        namespace: "ns".into(),
        scope,
        action: Action::Deny,
        rules: vec![Rule::default()],
        dry_run: false,
        unusable: None,
    }
}

/// Claims one address, and a block that is nobody else's.
fn unreadable(key: &str, third: u8, ip: u8) -> Change {
    let single = NetworkAddress::new("".into(), IpAddr::from([10, third, 0, ip]));
    let block = format!("10.2.{ip}.0/24").parse().unwrap();
    let addresses = vec![ServiceAddress::Ip(single), ServiceAddress::Block("".into(), block)];
    Change::Unreadable(Unreadable { key: key.into(), addresses, reason: "odd".into() }.into())
}

fn change() -> impl Strategy<Value = Change> {
    let small = 0u8..5;
    prop_oneof![
        (small.clone(), small.clone(), small.clone())
            .prop_map(|(u, i, s)| Change::Workload(workload(u, i, s).into())),
        (small.clone(), small.clone()).prop_map(|(n, i)| Change::Service(service(n, i).into())),
        (small.clone(), small.clone()).prop_map(|(n, s)| Change::Policy(policy(n, s).into())),
        (small.clone(), small.clone()).prop_map(|(u, i)| unreadable(&workload(u, i, 0).uid, 0, i)),
        (small.clone(), small.clone()).prop_map(|(n, i)| unreadable(&key(n).to_string(), 1, i)),
        small.clone().prop_map(|u| Change::RemoveAddress(format!("c//Pod/ns/{u}").into())),
        small.clone().prop_map(|s| Change::RemoveAddress(key(s).to_string().into())),
        small.prop_map(|p| Change::RemovePolicy(format!("ns/p{p}").into())),
    ]
}

proptest! {
    /// Every index agrees with a scan over the resources that are left.
    #[test]
    fn indexes_agree_with_a_scan(changes in proptest::collection::vec(change(), 0..60)) {
        let mut snapshot = Snapshot::new("");
        snapshot.apply(changes);
        let network: Text = "".into();
        for number in 0..5u8 {
            let ip = IpAddr::from([10, 0, 0, number]);
            let owners: Vec<_> = snapshot.workloads().filter(|w| w.owns(ip)).map(|w| w.uid.clone()).collect();
            match snapshot.workload_at(&network, ip) {
                Some(found) => prop_assert!(owners.contains(&found.uid)),
                None => prop_assert!(owners.is_empty()),
            }
            let mut expected: Vec<_> =
                snapshot.workloads().filter(|w| w.services.contains_key(&key(number))).map(|w| w.uid.clone()).collect();
            expected.sort();
            let found: Vec<_> = snapshot.endpoints(&key(number)).iter().map(|e| e.workload.uid.clone()).collect();
            prop_assert_eq!(found, expected);
            let vip = NetworkAddress::new(network.clone(), IpAddr::from([10, 1, 0, number]));
            let claims = |s: &&Arc<Service>| s.addresses.contains(&ServiceAddress::Ip(vip.clone()));
            let first = snapshot.services().filter(claims).map(|s| s.key.clone()).min();
            prop_assert_eq!(snapshot.service_at(&network, vip.ip, "ns").map(|s| s.key.clone()), first);
        }
        for scope in ["", "ns"] {
            let mut expected: Vec<_> = snapshot.policies().filter(|p| scope_key(p).as_deref() == Some(scope)).collect();
            expected.sort_by(|a, b| a.key.cmp(&b.key));
            prop_assert_eq!(snapshot.policies_of(scope).iter().collect::<Vec<_>>(), expected);
        }
    }

    /// What is unreadable is so until a good version or the removal of the same key.
    #[test]
    fn unreadable_claims_agree_with_a_replay(changes in proptest::collection::vec(change(), 0..60)) {
        let mut claims = std::collections::BTreeMap::<Text, Unreadable>::new();
        for change in &changes {
            match change {
                Change::Workload(workload) => drop(claims.remove(&workload.uid)),
                Change::Unreadable(claim) => drop(claims.insert(claim.key.clone(), (**claim).clone())),
                Change::Service(service) => drop(claims.remove(&*service.key.to_string())),
                Change::RemoveAddress(key) => drop(claims.remove(key)),
                Change::Policy(_)
                | Change::RemovePolicy(_)
                | Change::L7(_)
                | Change::UnreadableL7(_)
                | Change::RemoveL7(_) => {}
            }
        }
        let mut snapshot = Snapshot::new("");
        snapshot.apply(changes);
        for number in 0..5u8 {
            for (single, ip) in [(true, [10, 0, 0, number]), (true, [10, 1, 0, number]), (false, [10, 2, number, 9])] {
                let claimed = |claim: &&Unreadable| claim.addresses.iter().any(|address| match address {
                    ServiceAddress::Ip(address) => single && address.ip == IpAddr::from(ip),
                    ServiceAddress::Block(_, block) => block.contains(&IpAddr::from(ip)),
                });
                let expected = claims.values().find(claimed);
                prop_assert_eq!(snapshot.unreadable_at(&"".into(), IpAddr::from(ip)).map(|claim| &**claim), expected);
                prop_assert!(snapshot.unreadable_at(&"elsewhere".into(), IpAddr::from(ip)).is_none());
            }
        }
    }

    /// A reader's snapshot does not change under it.
    #[test]
    fn a_published_snapshot_is_immutable(before in proptest::collection::vec(change(), 0..20),
                                         after in proptest::collection::vec(change(), 0..20)) {
        let mut snapshot = Snapshot::new("");
        snapshot.apply(before);
        let published = snapshot.clone();
        let seen = sorted(&published);
        snapshot.apply(after);
        prop_assert_eq!(sorted(&published), seen);
    }
}

/// Everything in a snapshot, in an order.
fn sorted(snapshot: &Snapshot) -> Vec<String> {
    let workloads = snapshot.workloads().map(|workload| format!("{workload:?}"));
    let services = snapshot.services().map(|service| format!("{service:?}"));
    let policies = snapshot.policies().map(|policy| format!("{policy:?}"));
    let claimed = (0..3).flat_map(|third| (0..5).map(move |last| IpAddr::from([10, third, last, last])));
    let unreadable = claimed.map(|ip| format!("{ip} {:?}", snapshot.unreadable_at(&"".into(), ip)));
    let mut all: Vec<_> = workloads.chain(services).chain(policies).chain(unreadable).collect();
    all.sort();
    all
}

#[test]
fn an_address_that_moves_belongs_to_the_newer_pod() {
    let mut snapshot = Snapshot::new("");
    let network: Text = "".into();
    let ip = IpAddr::from([10, 0, 0, 1]);
    snapshot.apply([Change::Workload(workload(1, 1, 1).into()), Change::Workload(workload(2, 1, 1).into())]);
    assert_eq!(&*snapshot.workload_at(&network, ip).unwrap().name, "w2");
    snapshot.apply([Change::RemoveAddress("c//Pod/ns/1".into())]);
    assert_eq!(&*snapshot.workload_at(&network, ip).unwrap().name, "w2");
    snapshot.apply([Change::RemoveAddress("c//Pod/ns/2".into())]);
    assert!(snapshot.workload_at(&network, ip).is_none());
}

#[test]
fn an_update_of_the_older_pod_does_not_take_the_address_back() {
    let mut snapshot = Snapshot::new("");
    let network: Text = "".into();
    let (ip, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
    snapshot.apply([Change::Workload(workload(1, 1, 1).into()), Change::Workload(workload(2, 1, 1).into())]);
    let mut touched = workload(1, 1, 1);
    touched.health = crate::workload::Health::Unhealthy;
    touched.addresses.push(other);
    snapshot.apply([Change::Workload(touched.clone().into())]);
    assert_eq!(&*snapshot.workload_at(&network, ip).unwrap().name, "w2");
    assert_eq!(&*snapshot.workload_at(&network, other).unwrap().name, "w1");
    snapshot.apply([Change::RemoveAddress("c//Pod/ns/2".into())]);
    assert_eq!(**snapshot.workload_at(&network, ip).unwrap(), touched, "its claim is the updated one");
    // Giving an address up and claiming it again is a new claim.
    snapshot.apply([Change::Workload(workload(2, 1, 1).into()), Change::Workload(workload(1, 3, 1).into())]);
    assert_eq!(&*snapshot.workload_at(&network, ip).unwrap().name, "w2");
    assert!(snapshot.workload_at(&network, other).is_none());
    snapshot.apply([Change::Workload(workload(1, 1, 1).into())]);
    assert_eq!(&*snapshot.workload_at(&network, ip).unwrap().name, "w1");
}

#[test]
fn only_workloads_of_the_node_are_found_by_name() {
    let mut snapshot = Snapshot::new("here");
    let mut near = workload(1, 1, 1);
    near.node = "here".into();
    let mut far = workload(2, 2, 1);
    far.node = "there".into();
    snapshot.apply([Change::Workload(near.into()), Change::Workload(far.into())]);
    assert!(snapshot.local_workload("ns", "w1").is_some());
    assert!(snapshot.local_workload("ns", "w2").is_none());
}

#[test]
fn the_longest_block_wins_and_the_own_namespace_before_it() {
    let block = |namespace: &str, number: u8, block: &str| {
        let mut service = Service::new("s", ServiceKey::new(namespace, &format!("h{number}")));
        service.addresses = vec![ServiceAddress::Block("".into(), block.parse().unwrap())];
        Change::Service(service.into())
    };
    let mut snapshot = Snapshot::new("");
    snapshot.apply([block("a", 1, "10.0.0.0/8"), block("b", 2, "10.2.0.0/16"), block("b", 3, "10.2.3.0/24")]);
    let at = |ip: [u8; 4], namespace: &str| {
        snapshot
            .service_at(&"".into(), IpAddr::from(ip), namespace)
            .map(|service| service.key.hostname.to_string())
    };
    assert_eq!(at([10, 2, 3, 4], "c").as_deref(), Some("h3"));
    assert_eq!(at([10, 2, 9, 4], "c").as_deref(), Some("h2"));
    assert_eq!(at([10, 2, 3, 4], "a").as_deref(), Some("h1"));
    assert_eq!(at([11, 0, 0, 1], "a"), None);
}
