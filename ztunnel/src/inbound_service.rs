//! Which service an inbound connection is counted under. Names series and log lines, decides nothing.

use std::sync::Arc;

use ambit_model::{Service, Snapshot, Workload};

/// The pod's service that the client says it asked for, else the first by key that has this port of the pod. Another
/// pod's service is never named, whatever a client says.
pub fn service(snapshot: &Snapshot, own: &Workload, port: u16, asked: Option<&str>) -> Option<Arc<Service>> {
    let services = || own.services.iter().filter_map(|(key, ports)| Some((snapshot.service(key)?, ports)));
    let named = services().find(|(service, _)| asked == Some(&*service.key.hostname));
    let found = named.or_else(|| {
        services().find(|(service, ports)| {
            service.ports.iter().chain(ports.iter()).any(|listed| listed.target_port == port)
        })
    });
    found.map(|(service, _)| service.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ambit_model::Change;
    use ambit_model::service::{AppProtocol, Port, ServiceKey};

    fn port(service_port: u16, target_port: u16) -> Port {
        Port { service_port, target_port, protocol: AppProtocol::Unknown }
    }

    fn world() -> (Snapshot, Workload) {
        let mut own = Workload::new("c//Pod/ns/a", "a", "ns").unwrap();
        let mut snapshot = Snapshot::new("");
        // `c` has a named port, which only its endpoints resolve; the pod is not behind `other`.
        for (name, ports, own_ports) in [
            ("a", vec![port(80, 8080)], Some(vec![port(80, 8080)])),
            ("b", vec![port(80, 8080)], Some(vec![port(80, 8080)])),
            ("c", vec![port(90, 0)], Some(vec![port(90, 9090)])),
            ("other", vec![port(70, 7070)], None),
        ] {
            let key = ServiceKey::new("ns", &format!("{name}.ns.svc"));
            let mut service = Service::new(name, key.clone());
            service.ports = ports;
            if let Some(ports) = own_ports {
                own.services.insert(key, ports);
            }
            snapshot.apply([Change::Service(service.into())]);
        }
        (snapshot, own)
    }

    #[test]
    fn the_asked_service_else_one_with_the_port() {
        let (snapshot, own) = world();
        let name =
            |port, asked| service(&snapshot, &own, port, asked).map(|service| service.name.to_string());
        assert_eq!(name(8080, Some("b.ns.svc")).as_deref(), Some("b"));
        assert_eq!(name(8080, None).as_deref(), Some("a"));
        assert_eq!(name(9090, None).as_deref(), Some("c"));
        assert_eq!(name(1234, None), None);
    }

    #[test]
    fn a_client_cannot_name_a_service_of_others() {
        let (snapshot, own) = world();
        let found = service(&snapshot, &own, 7070, Some("other.ns.svc"));
        assert!(found.is_none(), "{found:?}");
    }
}
