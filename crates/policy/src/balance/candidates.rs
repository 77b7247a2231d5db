//! All endpoints that a service's requests may go to, for who balances among them himself.

use ambit_model::service::BalanceMode;
use ambit_model::{Service, Snapshot, Workload};

use super::{Choice, Chosen, Family, NoEndpoint, NoEndpointReason, later};

/// An endpoint that may be chosen.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The endpoint.
    pub chosen: Chosen,
    /// Its share, in proportion to those of the others; at least 1.
    pub weight: u32,
    /// How near it is by the service's own preference: higher is nearer.
    pub rank: usize,
}

/// Every endpoint that [`super::choose`] may choose from, also those that are further away than others.
///
/// # Errors
/// As [`super::choose`].
pub fn candidates(
    snapshot: &Snapshot,
    service: &Service,
    port: u16,
    client: &Workload,
    wanted: Family,
) -> Result<Vec<Candidate>, NoEndpoint> {
    let choice = Choice { snapshot, service, port, client, wanted, waypoint: false };
    if service.load_balancing.mode == BalanceMode::Passthrough {
        return Err(choice.nothing(NoEndpointReason::Passthrough));
    }
    let listed = choice.listed_target();
    if listed.is_none() {
        return Err(choice.nothing(NoEndpointReason::PortUnknown(port)));
    }
    let mut missing = NoEndpointReason::NoEndpoints;
    let mut found = Vec::new();
    for endpoint in snapshot.endpoints(&service.key) {
        match choice.eligible(endpoint, listed) {
            Ok(eligible) => {
                let workload = eligible.workload.clone();
                let (target_port, address) = (eligible.target_port, eligible.address);
                let weight = workload.capacity.max(1);
                let chosen = Chosen { workload, target_port, address };
                found.push(Candidate { chosen, weight, rank: eligible.rank });
            }
            Err(reason) => missing = later(missing, reason),
        }
    }
    if found.is_empty() { Err(choice.nothing(missing)) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ambit_model::service::{AppProtocol, LoadBalancing, Port, Scope, ServiceKey};
    use ambit_model::workload::Health;
    use ambit_model::{Change, Text};
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::choose;

    fn workload(name: &str, ip: &str, node: &str) -> Workload {
        let mut workload = Workload::new(&format!("c//Pod/shop/{name}"), name, "shop").unwrap();
        workload.addresses = vec![ip.parse().unwrap()];
        workload.node = node.into();
        let ports = vec![Port { service_port: 80, target_port: 8080, protocol: AppProtocol::Unknown }];
        workload.services.insert(ServiceKey::new("shop", "cart"), ports);
        workload
    }

    /// What can be drawn is what is listed with the best rank.
    #[test]
    fn the_nearest_candidates_are_those_that_can_be_chosen() {
        let mut service = Service::new("cart", ServiceKey::new("shop", "cart"));
        service.ports = vec![Port { service_port: 80, target_port: 8080, protocol: AppProtocol::Unknown }];
        service.load_balancing = LoadBalancing {
            mode: BalanceMode::Failover,
            preference: vec![Scope::Node],
            ..LoadBalancing::default()
        };
        let sick = Workload { health: Health::Unhealthy, ..workload("sick", "10.0.0.4", "here") };
        let mut snapshot = Snapshot::new("");
        snapshot.apply([
            Change::Service(service.clone().into()),
            Change::Workload(workload("a", "10.0.0.1", "here").into()),
            Change::Workload(workload("b", "10.0.0.2", "here").into()),
            Change::Workload(workload("c", "10.0.0.3", "there").into()),
            Change::Workload(sick.into()),
        ]);
        let client = workload("client", "10.0.0.9", "here");
        let all = candidates(&snapshot, &service, 80, &client, Family::V4).unwrap();
        let best = all.iter().map(|each| each.rank).max().unwrap();
        let name = |each: &Candidate| each.chosen.workload.name.clone();
        let nearest: BTreeSet<Text> = all.iter().filter(|each| each.rank == best).map(name).collect();
        let mut rng = StdRng::seed_from_u64(1);
        let drawn: BTreeSet<Text> = (0..100)
            .map(|_| {
                choose(&snapshot, &service, 80, &client, Family::V4, &mut rng).unwrap().workload.name.clone()
            })
            .collect();
        assert_eq!((nearest, all.len()), (drawn, 3));
        let nothing = candidates(&snapshot, &service, 81, &client, Family::V4).unwrap_err();
        assert_eq!(nothing.reason, NoEndpointReason::PortUnknown(81));
    }
}
