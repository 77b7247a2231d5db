//! Ports of services, and of the workloads behind them.

use ambit_kubernetes::{EndpointSlice, Pod, PortRef, Protocol, Service, ServicePort, target_port};
use ambit_model::service::{AppProtocol, Port};

/// Ports on which servers of protocols that do not speak first are usual: TCP unless something else is declared.
const SERVER_FIRST: [u16; 4] = [25, 53, 3306, 27017];

/// Protocols that Istio knows by name and the mesh carries without looking into them.
const OPAQUE: [&str; 7] = ["udp", "mongo", "mysql", "redis", "hbone", "grpc-web", "http_proxy"];

/// All ports, UDP ones too. A named target port is 0 here: each workload says which it is.
pub(super) fn service_ports(service: &Service) -> Vec<Port> {
    service.spec.ports.iter().map(|port| one(port, numeric(port))).collect()
}

/// A pod's ports behind a service; one whose named target the pod does not have is left out.
pub(super) fn pod_ports(service: &Service, pod: &Pod) -> Vec<Port> {
    service.spec.ports.iter().filter_map(|port| Some(one(port, target_port(pod, port)?))).collect()
}

/// The ports of a slice's endpoints behind its service. A slice names the service's ports and says where they lead.
pub(super) fn slice_ports(service: &Service, slice: &EndpointSlice) -> Vec<Port> {
    let port = |listed: &ambit_kubernetes::EndpointPort| {
        let name = listed.name.as_deref().unwrap_or_default();
        let tcp = listed.protocol == Protocol::Tcp;
        let port = service.spec.ports.iter().find(|port| port.name == name).filter(|_| tcp)?;
        Some(one(port, listed.port?))
    };
    slice.ports.iter().filter_map(port).collect()
}

fn one(port: &ServicePort, target: u16) -> Port {
    Port { service_port: port.port, target_port: target, protocol: protocol(port) }
}

fn numeric(port: &ServicePort) -> u16 {
    match &port.target_port {
        None => port.port,
        Some(PortRef::Number(number)) => *number,
        Some(PortRef::Name(_)) => 0,
    }
}

/// The declared protocol: `appProtocol`, else the port's name up to its first `-`.
fn protocol(port: &ServicePort) -> AppProtocol {
    if port.protocol != Protocol::Tcp {
        return AppProtocol::Unknown;
    }
    let declared = port.app_protocol.as_deref().unwrap_or(&port.name).to_ascii_lowercase();
    let word = match declared.as_str() {
        "kubernetes.io/h2c" => "http2",
        "kubernetes.io/ws" => "http",
        "kubernetes.io/wss" => "https",
        other if other.starts_with("grpc-web") => "grpc-web",
        other => other.split_once('-').map_or(other, |(word, _)| word),
    };
    match word {
        "http" | "ws" => AppProtocol::Http11,
        "http2" => AppProtocol::Http2,
        "grpc" => AppProtocol::Grpc,
        "tls" | "https" | "wss" => AppProtocol::Tls,
        "tcp" => AppProtocol::Tcp,
        word if OPAQUE.contains(&word) => AppProtocol::Unknown,
        _ if SERVER_FIRST.contains(&port.port) => AppProtocol::Tcp,
        _ => AppProtocol::Unknown,
    }
}
