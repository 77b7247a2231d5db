//! A Node: where pods run, and in which region and zone.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{IpBlock, Metadata, fields, labels};

/// `v1` Node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Node {
    /// Name and labels.
    pub metadata: Metadata,
    /// What was asked for.
    #[serde(skip_serializing_if = "fields::is_default")]
    pub spec: NodeSpec,
    /// What was observed.
    #[serde(skip_serializing_if = "fields::is_default")]
    pub status: NodeStatus,
}

/// `spec` of a Node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSpec {
    /// Ranges from which its pods get addresses.
    #[serde(rename = "podCIDRs", skip_serializing_if = "Vec::is_empty")]
    pub pod_cidrs: Vec<IpBlock>,
}

/// `status` of a Node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeStatus {
    /// The node's own addresses and names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<NodeAddress>,
}

/// One address of a Node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeAddress {
    /// `InternalIP`, `ExternalIP`, `Hostname`, `InternalDNS` or `ExternalDNS`.
    #[serde(rename = "type")]
    pub kind: String,
    /// An IP address or a host name.
    pub address: String,
}

impl Node {
    /// Region, from the node's labels; empty when unknown.
    pub fn region(&self) -> &str {
        self.metadata.label(labels::TOPOLOGY_REGION).unwrap_or_default()
    }

    /// Zone, from the node's labels; empty when unknown.
    pub fn zone(&self) -> &str {
        self.metadata.label(labels::TOPOLOGY_ZONE).unwrap_or_default()
    }

    /// Part of the zone, from the node's labels; empty when unknown.
    pub fn subzone(&self) -> &str {
        self.metadata.label(labels::TOPOLOGY_SUBZONE).unwrap_or_default()
    }

    /// The addresses of type `InternalIP`.
    pub fn internal_ips(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.status
            .addresses
            .iter()
            .filter(|address| address.kind == "InternalIP")
            .filter_map(|address| address.address.parse().ok())
    }
}
