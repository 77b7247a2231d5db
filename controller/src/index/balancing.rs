//! How endpoints of a service are chosen.

use ambit_kubernetes::{InternalTrafficPolicy, Namespace, Service, annotations};
use ambit_model::service::{BalanceMode, LoadBalancing, Scope};

/// `internalTrafficPolicy: Local` wins over every distribution; the distribution is that of the field, else the
/// Service's annotation, else the Namespace's.
pub(super) fn balancing(service: &Service, namespace: Option<&Namespace>) -> LoadBalancing {
    let (mode, preference) = if service.spec.internal_traffic_policy == InternalTrafficPolicy::Local {
        (BalanceMode::Strict, vec![Scope::Node])
    } else {
        distribution(service, namespace)
    };
    LoadBalancing { preference, mode, allow_unhealthy: service.spec.publish_not_ready_addresses }
}

fn distribution(service: &Service, namespace: Option<&Namespace>) -> (BalanceMode, Vec<Scope>) {
    let annotated = || {
        let own = service.metadata.annotation(annotations::TRAFFIC_DISTRIBUTION);
        own.or_else(|| namespace?.metadata.annotation(annotations::TRAFFIC_DISTRIBUTION))
    };
    let preference = match service.spec.traffic_distribution.as_deref().or_else(annotated) {
        Some("PreferClose" | "PreferSameZone") => vec![Scope::Network, Scope::Region, Scope::Zone],
        Some("PreferSameNode") => {
            vec![Scope::Network, Scope::Region, Scope::Zone, Scope::Subzone, Scope::Node]
        }
        _ => return (BalanceMode::Unspecified, Vec::new()),
    };
    (BalanceMode::Failover, preference)
}
