//! A Service: a name, virtual addresses, ports and the pods behind them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Metadata, PortRef, fields};

/// `v1` Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Service {
    /// Name, namespace, labels and annotations.
    pub metadata: Metadata,
    /// What was asked for.
    pub spec: ServiceSpec,
}

/// `spec` of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    /// How it is published.
    #[serde(rename = "type", skip_serializing_if = "fields::is_default")]
    pub kind: ServiceType,
    /// Its first virtual address, or `None` for a headless Service.
    #[serde(rename = "clusterIP", skip_serializing_if = "fields::is_default")]
    pub cluster_ip: ClusterIp,
    /// All its virtual addresses, of both families; see [`Service::addresses`].
    #[serde(rename = "clusterIPs", skip_serializing_if = "Vec::is_empty")]
    pub cluster_ips: Vec<ClusterIp>,
    /// Its ports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<ServicePort>,
    /// Labels of the pods behind it; empty when EndpointSlices name them instead.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub selector: BTreeMap<String, String>,
    /// Address families, in order of preference.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ip_families: Vec<IpFamily>,
    /// `Local` keeps traffic on the caller's node.
    #[serde(skip_serializing_if = "fields::is_default")]
    pub internal_traffic_policy: InternalTrafficPolicy,
    /// `PreferClose`, `PreferSameZone`, `PreferSameNode`; other values mean none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic_distribution: Option<String>,
    /// Whether pods that are not ready get traffic too.
    #[serde(skip_serializing_if = "fields::is_false")]
    pub publish_not_ready_addresses: bool,
    /// The outside name that a Service of type ExternalName stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_name: Option<String>,
}

/// How a Service is published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceType {
    /// Inside the cluster.
    #[default]
    ClusterIP,
    /// On every node, too.
    NodePort,
    /// By an outside load balancer, too.
    LoadBalancer,
    /// As an alias of an outside name; the mesh does not publish it.
    ExternalName,
}

/// The value of `clusterIP`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClusterIp {
    /// Empty or absent: none assigned yet.
    #[default]
    Unassigned,
    /// The text `None`: headless, matched by its pods' own addresses.
    Headless,
    /// A virtual address.
    Address(IpAddr),
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePort {
    /// Unique in the Service; may be empty when it is the only one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Where clients connect, 1 to 65535.
    #[serde(deserialize_with = "fields::port")]
    pub port: u16,
    /// Where pods listen: a number or the name of a container port; the same number as `port` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_port: Option<PortRef>,
    /// TCP unless said otherwise.
    #[serde(default, skip_serializing_if = "fields::is_default")]
    pub protocol: Protocol,
    /// What is spoken on it (`http`, `kubernetes.io/h2c` ...).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<String>,
}

/// The transport protocol of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Protocol {
    /// The only one the mesh carries.
    #[default]
    #[serde(rename = "TCP")]
    Tcp,
    /// Listed, never carried.
    #[serde(rename = "UDP")]
    Udp,
    /// Listed, never carried.
    #[serde(rename = "SCTP")]
    Sctp,
}

/// An address family of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum IpFamily {
    /// IPv4.
    IPv4,
    /// IPv6.
    IPv6,
}

/// Which endpoints traffic from inside may reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum InternalTrafficPolicy {
    /// All.
    #[default]
    Cluster,
    /// Those on the caller's node only.
    Local,
}

impl Service {
    /// Its virtual addresses: `clusterIPs`, else `clusterIP`; empty when headless or unassigned.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let all: &[ClusterIp] = if self.spec.cluster_ips.is_empty() {
            std::slice::from_ref(&self.spec.cluster_ip)
        } else {
            &self.spec.cluster_ips
        };
        all.iter().filter_map(|entry| entry.address()).collect()
    }

    /// Whether it has no virtual address on purpose.
    pub fn is_headless(&self) -> bool {
        self.spec.cluster_ip == ClusterIp::Headless || self.spec.cluster_ips.contains(&ClusterIp::Headless)
    }

    /// Whether its selector picks pods with these labels; a Service without selector picks none.
    /// The namespace is the caller's to compare.
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        !self.spec.selector.is_empty() && crate::matches(&self.spec.selector, labels)
    }
}

impl ClusterIp {
    /// The address, when it is one.
    pub fn address(self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(address),
            Self::Unassigned | Self::Headless => None,
        }
    }
}

impl fmt::Display for ClusterIp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unassigned => Ok(()),
            Self::Headless => formatter.write_str("None"),
            Self::Address(address) => address.fmt(formatter),
        }
    }
}

impl Serialize for ClusterIp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ClusterIp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "" => Ok(Self::Unassigned),
            "None" => Ok(Self::Headless),
            address => fields::parse_ip(address).map(Self::Address).map_err(Error::custom),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        })
    }
}
