//! `istio.workload.Address` to a workload or service, with the defaults of the wire.

use std::sync::Arc;

use ambit_model::identity::{DEFAULT_TRUST_DOMAIN, Identity};
use ambit_model::service::ServiceKey;
use ambit_model::workload::{
    ApplicationTunnel, Gateway, GatewayDestination, Health, Locality, NetworkMode, Traits, Tunnel,
    WorkloadType,
};
use ambit_model::{Change, Memberships, NetworkAddress, Text, Workload};
use ambit_proto::istio::workload as proto;
use prost::Message;

use super::address::{Fault, read_enum, read_ip, read_port};
use super::service::{read_ports, read_service};
use super::{Rejection, Texts};

/// Cluster of workloads that name none (Istio's default cluster id).
pub(super) const DEFAULT_CLUSTER: &str = "Kubernetes";

/// Service account of workloads that name none.
pub(super) const DEFAULT_SERVICE_ACCOUNT: &str = "default";

/// Reads the `istio.workload.Address` resource called `name`: [`Change::Workload`] or [`Change::Service`].
///
/// Refused, naming the part: bytes that are no such message, a name that is not the content's own key, an address
/// of other than 4 or 16 bytes, a port above 65535, `LEGACY_ISTIO_MTLS`, an identity that is no SPIFFE ID, and
/// unknown values of enums that decide how traffic travels. Unknown fields are passed over, as are unknown values of
/// `workload_type` and `app_protocol`, which only describe.
pub fn decode_address(bytes: &[u8], name: &Text, texts: &mut Texts) -> Result<Change, Rejection> {
    let change =
        proto::Address::decode(bytes).map_err(Fault::from).and_then(|address| match address.r#type {
            Some(proto::address::Type::Workload(workload)) => {
                read_workload(&workload, name, texts).map(|workload| Change::Workload(Box::new(workload)))
            }
            Some(proto::address::Type::Service(service)) => {
                read_service(&service, name, texts).map(|service| Change::Service(Box::new(service)))
            }
            None => Err(Fault::Missing("the workload or service")),
        });
    change.map_err(|fault| Rejection { name: name.clone(), reason: fault.to_string().into() })
}

fn or<'a>(text: &'a str, default: &'a str) -> &'a str {
    if text.is_empty() { default } else { text }
}

fn read_workload(workload: &proto::Workload, name: &Text, texts: &mut Texts) -> Result<Workload, Fault> {
    if workload.uid.is_empty() {
        return Err(Fault::Missing("the uid"));
    }
    if *workload.uid != **name {
        return Err(Fault::Name(workload.uid.clone()));
    }
    let own = Text::from(&*workload.name);
    // Of a pod that nobody owns all three are its name.
    let mut share = |text: &str| if *text == *own { own.clone() } else { texts.share(text) };
    let (canonical_name, workload_name) = (share(&workload.canonical_name), share(&workload.workload_name));
    let account = share(or(&workload.service_account, DEFAULT_SERVICE_ACCOUNT));
    let trust_domain = or(&workload.trust_domain, DEFAULT_TRUST_DOMAIN);
    let identity = Identity::new(trust_domain, &workload.namespace, &account)?
        .shared(|_| account.clone(), |home| texts.share_home(home));
    // Not collected by way of `Result`, which does not know the length and takes room for four.
    let mut addresses = Vec::with_capacity(workload.addresses.len());
    for ip in &workload.addresses {
        addresses.push(read_ip(ip)?);
    }
    let traits = read_traits(workload, &identity, texts)?;
    Ok(Workload {
        uid: name.clone(),
        name: own,
        addresses,
        identity,
        node: texts.share(&workload.node),
        canonical_name,
        workload_name,
        health: match read_enum("status", workload.status)? {
            proto::WorkloadStatus::Healthy => Health::Healthy,
            proto::WorkloadStatus::Unhealthy => Health::Unhealthy,
        },
        services: read_services(workload, texts)?,
        capacity: workload.capacity.unwrap_or(1).max(1),
        traits: texts.share_traits(&traits),
    })
}

fn read_traits(workload: &proto::Workload, identity: &Identity, texts: &mut Texts) -> Result<Traits, Fault> {
    Ok(Traits {
        namespace: identity.namespace().clone(),
        hostname: texts.share(&workload.hostname),
        network: texts.share(&workload.network),
        tunnel: read_tunnel(workload.tunnel_protocol)?,
        native_tunnel: workload.native_tunnel,
        waypoint: read_optional_gateway(workload.waypoint.as_ref(), texts)?,
        network_gateway: read_optional_gateway(workload.network_gateway.as_ref(), texts)?,
        canonical_revision: texts.share(&workload.canonical_revision),
        workload_type: read_type(workload.workload_type),
        policies: workload.authorization_policies.iter().map(|key| texts.share(key)).collect(),
        cluster: texts.share(or(&workload.cluster_id, DEFAULT_CLUSTER)),
        application_tunnel: workload.application_tunnel.as_ref().map(read_application_tunnel).transpose()?,
        locality: workload
            .locality
            .as_ref()
            .map(|locality| read_locality(locality, texts))
            .unwrap_or_default(),
        network_mode: match read_enum("network_mode", workload.network_mode)? {
            proto::NetworkMode::Standard => NetworkMode::Standard,
            proto::NetworkMode::HostNetwork => NetworkMode::HostNetwork,
        },
    })
}

fn read_tunnel(value: i32) -> Result<Tunnel, Fault> {
    match read_enum("tunnel_protocol", value)? {
        proto::TunnelProtocol::None => Ok(Tunnel::None),
        proto::TunnelProtocol::Hbone => Ok(Tunnel::Hbone),
        proto::TunnelProtocol::LegacyIstioMtls => Err(Fault::LegacyTunnel),
    }
}

fn read_type(value: i32) -> WorkloadType {
    match proto::WorkloadType::try_from(value) {
        Ok(proto::WorkloadType::Deployment) => WorkloadType::Deployment,
        Ok(proto::WorkloadType::Cronjob) => WorkloadType::CronJob,
        Ok(proto::WorkloadType::Job) => WorkloadType::Job,
        Ok(proto::WorkloadType::Pod) | Err(_) => WorkloadType::Pod,
    }
}

fn read_services(workload: &proto::Workload, texts: &mut Texts) -> Result<Memberships, Fault> {
    workload
        .services
        .iter()
        .map(|(key, list)| {
            let key = read_key(key, texts)?;
            Ok((key, texts.share_ports(read_ports(&list.ports)?)))
        })
        .collect()
}

/// A service key with its texts shared.
pub(super) fn read_key(text: &str, texts: &mut Texts) -> Result<ServiceKey, Fault> {
    let key: ServiceKey = text.parse()?;
    Ok(ServiceKey { namespace: texts.share(&key.namespace), hostname: texts.share(&key.hostname) })
}

fn read_application_tunnel(tunnel: &proto::ApplicationTunnel) -> Result<ApplicationTunnel, Fault> {
    let port = read_port("application_tunnel.port", tunnel.port.into())?;
    let proxy_protocol = match read_enum("application_tunnel.protocol", tunnel.protocol)? {
        proto::application_tunnel::Protocol::None => false,
        proto::application_tunnel::Protocol::Proxy => true,
    };
    Ok(ApplicationTunnel { proxy_protocol, port: (port != 0).then_some(port) })
}

fn read_locality(locality: &proto::Locality, texts: &mut Texts) -> Locality {
    Locality {
        region: texts.share(&locality.region),
        zone: texts.share(&locality.zone),
        subzone: texts.share(&locality.subzone),
    }
}

fn read_optional_gateway(
    gateway: Option<&proto::GatewayAddress>,
    texts: &mut Texts,
) -> Result<Option<Arc<Gateway>>, Fault> {
    gateway.map(|gateway| read_gateway(gateway, texts).map(Arc::new)).transpose()
}

/// A waypoint or network gateway. Port 0 is kept: it cannot be dialled, so what is sent there fails, closed.
pub(super) fn read_gateway(gateway: &proto::GatewayAddress, texts: &mut Texts) -> Result<Gateway, Fault> {
    let destination = match &gateway.destination {
        Some(proto::gateway_address::Destination::Hostname(name)) => {
            let key = format!("{}/{}", name.namespace, name.hostname);
            GatewayDestination::Service(read_key(&key, texts)?)
        }
        Some(proto::gateway_address::Destination::Address(address)) => GatewayDestination::Address(
            NetworkAddress::new(texts.share(&address.network), read_ip(&address.address)?),
        ),
        None => return Err(Fault::Missing("the destination of a gateway or waypoint")),
    };
    let hbone_port = read_port("hbone_mtls_port", gateway.hbone_mtls_port.into())?;
    Ok(Gateway { destination, hbone_port })
}
