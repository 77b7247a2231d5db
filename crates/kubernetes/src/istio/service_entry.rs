//! Istio's ServiceEntry and WorkloadEntry: services and endpoints that Kubernetes does not know.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Metadata, fields};

/// `networking.istio.io` ServiceEntry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceEntry {
    /// Name, namespace and labels (waypoints).
    pub metadata: Metadata,
    /// What it says.
    pub spec: ServiceEntrySpec,
}

/// `spec` of a ServiceEntry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ServiceEntrySpec {
    /// Host names, `*.` allowed in front.
    pub hosts: Vec<String>,
    /// Virtual addresses, or blocks of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// Ports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<EntryPort>,
    /// Whether its endpoints are in the mesh.
    #[serde(skip_serializing_if = "fields::is_default")]
    pub location: Location,
    /// Where its endpoints come from.
    #[serde(skip_serializing_if = "fields::is_default")]
    pub resolution: Resolution,
    /// Its endpoints.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<WorkloadEntrySpec>,
    /// Pods and WorkloadEntries that are its endpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload_selector: Option<LabelsSelector>,
    /// Namespaces whose clients see it: `.`, `*` or names; none means all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub export_to: Vec<String>,
    /// Names that its endpoints' certificates may have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subject_alt_names: Vec<String>,
}

/// Labels that all must be there; without any it picks nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct LabelsSelector {
    /// The labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A port of a ServiceEntry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct EntryPort {
    /// Its number.
    #[serde(deserialize_with = "fields::port")]
    pub number: u16,
    /// HTTP, HTTPS, GRPC, HTTP2, MONGO, TCP or TLS.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub protocol: String,
    /// Its name.
    pub name: String,
    /// The endpoints' port; its number if absent.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "fields::optional_port")]
    pub target_port: Option<u16>,
}

/// Whether endpoints are in the mesh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Location {
    /// They are not.
    #[default]
    MeshExternal,
    /// They are.
    MeshInternal,
}

/// Where endpoints come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Resolution {
    /// The address that was dialled.
    #[default]
    None,
    /// Those that are written.
    Static,
    /// DNS, all addresses.
    Dns,
    /// DNS, one address.
    DnsRoundRobin,
    /// DNS, of the host of each request.
    DynamicDns,
}

/// `networking.istio.io` WorkloadEntry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadEntry {
    /// Name, namespace and labels.
    pub metadata: Metadata,
    /// What it says.
    pub spec: WorkloadEntrySpec,
}

/// An endpoint: `spec` of a WorkloadEntry, and an item of a ServiceEntry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct WorkloadEntrySpec {
    /// Address or host name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// Its ports, by the names of the service's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ports: BTreeMap<String, u16>,
    /// Its labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Its network; the mesh's if empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub network: String,
    /// `region/zone/subzone`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub locality: String,
    /// Its share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Its service account.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service_account: String,
}
