//! Which port of a pod a Service's port leads to.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{ContainerPort, ContainerRestartPolicy, Pod, Protocol, ServicePort, fields};

/// A port by number or by name, as in `targetPort`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PortRef {
    /// 1 to 65535.
    Number(u16),
    /// The name of a container port; resolved for each pod.
    Name(String),
}

/// The port of this pod behind a Service's port. A name is looked up among the pod's TCP container ports, regular
/// containers first, then native sidecars; nothing when the pod has none of that name.
pub fn target_port(pod: &Pod, port: &ServicePort) -> Option<u16> {
    match &port.target_port {
        None => Some(port.port),
        Some(PortRef::Number(number)) => Some(*number),
        Some(PortRef::Name(name)) => declared_ports(pod)
            .find(|declared| declared.protocol == Protocol::Tcp && declared.name == *name)
            .map(|declared| declared.container_port),
    }
}

fn declared_ports(pod: &Pod) -> impl Iterator<Item = &ContainerPort> {
    let regular = pod.spec.containers.iter().flat_map(|container| &container.ports);
    let sidecars = pod
        .spec
        .init_containers
        .iter()
        .filter(|container| container.restart_policy == Some(ContainerRestartPolicy::Always))
        .flat_map(|container| &container.ports);
    regular.chain(sidecars)
}

impl fmt::Display for PortRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(formatter),
            Self::Name(name) => name.fmt(formatter),
        }
    }
}

impl Serialize for PortRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_u16(*number),
            Self::Name(name) => serializer.serialize_str(name),
        }
    }
}

impl<'de> Deserialize<'de> for PortRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PortRefVisitor)
    }
}

struct PortRefVisitor;

impl Visitor<'_> for PortRefVisitor {
    type Value = PortRef;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a port number or a port name")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<PortRef, E> {
        fields::port_number(number).map(PortRef::Number).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<PortRef, E> {
        self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<PortRef, E> {
        crate::name_rules::port_name(name).map_err(E::custom)?;
        Ok(PortRef::Name(name.to_owned()))
    }
}
