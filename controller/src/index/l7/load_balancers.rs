//! How an endpoint is chosen, in DestinationRules.

use ambit_kubernetes::istio::{ConsistentHash, LoadBalancer as Written, LocalitySetting, SimpleBalancer};
use ambit_model::Text;
use ambit_model::l7::destination_rule::{Algorithm, HashKey, HashRing, LoadBalancer, Locality, Warmup};

use super::notes::Unheard;

/// Places in Maglev's table where nothing is said.
const MAGLEV: u64 = 65_537;
/// Points on a ring where nothing is said.
const RING: u64 = 1024;

pub(super) fn balancer(written: &Written, at: &str, unheard: &mut Unheard<'_>) -> LoadBalancer {
    if written.zone_aware_lb_setting.is_some() {
        unheard.note(&format!("{at}.zoneAwareLbSetting"), "waypoints do not balance by zone, as in Istio");
    }
    let warmup = match (written.warmup, written.warmup_duration_secs) {
        (Some(warmup), _) => warmup.duration.map(|duration| Warmup {
            duration: duration.get(),
            minimum: warmup.minimum_percent.unwrap_or(10.0),
            aggression: warmup.aggression.unwrap_or(1.0),
        }),
        (None, Some(duration)) => Some(Warmup { duration: duration.get(), minimum: 10.0, aggression: 1.0 }),
        (None, None) => None,
    };
    let algorithm = match (&written.consistent_hash, written.simple) {
        (Some(hash), _) => consistent(hash),
        (None, Some(SimpleBalancer::Random)) => Algorithm::Random,
        (None, Some(SimpleBalancer::RoundRobin)) => Algorithm::RoundRobin,
        (None, Some(SimpleBalancer::Passthrough)) => Algorithm::Passthrough,
        (None, _) => Algorithm::LeastRequest,
    };
    if warmup.is_some() && !matches!(algorithm, Algorithm::LeastRequest | Algorithm::RoundRobin) {
        unheard.note(&format!("{at}.warmup"), "it goes with LEAST_REQUEST and ROUND_ROBIN only");
    }
    LoadBalancer { algorithm, warmup, locality: written.locality_lb_setting.as_ref().map(locality) }
}

fn consistent(written: &ConsistentHash) -> Algorithm {
    let cookie = written.http_cookie.as_ref();
    let cookie = cookie.map(|cookie| HashKey::Cookie {
        name: cookie.name.as_str().into(),
        path: cookie.path.as_str().into(),
        ttl: cookie.ttl.map(|ttl| ttl.get()),
        attributes: cookie
            .attributes
            .iter()
            .map(|attribute| (attribute.name.as_str().into(), attribute.value.as_str().into()))
            .collect(),
    });
    let header =
        written.http_header_name.as_ref().map(|name| HashKey::Header(name.to_ascii_lowercase().into()));
    let query = written.http_query_parameter_name.as_ref().map(|name| HashKey::Query(name.as_str().into()));
    let size = |size: u64| u32::try_from(size).unwrap_or(u32::MAX);
    let ring = match (written.maglev, written.ring_hash) {
        (Some(maglev), _) => HashRing::Maglev(size(maglev.table_size.unwrap_or(MAGLEV))),
        (None, ring) => {
            let points = ring.and_then(|ring| ring.minimum_ring_size).or(written.minimum_ring_size);
            HashRing::Ring(size(points.unwrap_or(RING)))
        }
    };
    Algorithm::Hash { of: header.or(cookie).or(query).unwrap_or(HashKey::SourceIp), ring }
}

fn locality(written: &LocalitySetting) -> Locality {
    let weights = |to: &std::collections::BTreeMap<String, u32>| {
        to.iter().map(|(place, weight)| (Text::from(place.as_str()), *weight)).collect()
    };
    let distribute = written.distribute.iter();
    let failover = written.failover.iter();
    Locality {
        distribute: distribute.map(|one| (one.from.as_str().into(), weights(&one.to))).collect(),
        failover: failover.map(|one| (one.from.as_str().into(), one.to.as_str().into())).collect(),
        failover_priority: written.failover_priority.iter().map(|label| label.as_str().into()).collect(),
        enabled: written.enabled.unwrap_or(true),
    }
}
