//! Istio's VirtualService: where requests and connections for hosts go.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{HttpRoute, PortSelector};
use crate::{Metadata, fields};

/// `networking.istio.io` VirtualService.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VirtualService {
    /// Name and namespace.
    pub metadata: Metadata,
    /// What it says.
    pub spec: VirtualServiceSpec,
}

/// Two are equal when they say the same; a share that is not a number is refused.
impl Eq for VirtualService {}

/// `spec` of a VirtualService.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct VirtualServiceSpec {
    /// Hosts: short, in full, or with `*` in front. None where others delegate to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Gateways, and `mesh` for traffic inside the mesh, which is meant where nothing is said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gateways: Vec<String>,
    /// What happens to requests; the first that matches counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpRoute>,
    /// Where TLS connections go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tls: Vec<TlsRoute>,
    /// Where other connections go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tcp: Vec<TcpRoute>,
    /// Namespaces whose clients it is for: `.`, `*` or names; none means all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub export_to: Vec<String>,
}

/// Where some TLS connections go.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TlsRoute {
    /// Which; any of these.
    #[serde(rename = "match", skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<TlsMatch>,
    /// Where they go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub route: Vec<RouteDestination>,
}

/// Where some connections go.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TcpRoute {
    /// Which; any of these, all where there is none.
    #[serde(rename = "match", skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<L4Match>,
    /// Where they go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub route: Vec<RouteDestination>,
}

/// Conditions on a TLS connection, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TlsMatch {
    /// Server names.
    pub sni_hosts: Vec<String>,
    /// Blocks of destination addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub destination_subnets: Vec<String>,
    /// Port of the service.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "fields::optional_port")]
    pub port: Option<u16>,
    /// Labels of the client.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub source_labels: BTreeMap<String, String>,
    /// Gateways, as above.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gateways: Vec<String>,
    /// Namespace of the client.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source_namespace: String,
}

/// Conditions on a connection, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct L4Match {
    /// Blocks of destination addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub destination_subnets: Vec<String>,
    /// Port of the service.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "fields::optional_port")]
    pub port: Option<u16>,
    /// Block of the client's address; Istio ignores it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source_subnet: String,
    /// Labels of the client.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub source_labels: BTreeMap<String, String>,
    /// Gateways, as above.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gateways: Vec<String>,
    /// Namespace of the client.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source_namespace: String,
}

/// One of the places where connections go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RouteDestination {
    /// The place.
    pub destination: Destination,
    /// Its share, by the sum of all.
    #[serde(skip_serializing_if = "fields::is_default")]
    pub weight: i32,
}

/// A port of a service, or of a part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Destination {
    /// The service's host name, short or in full.
    pub host: String,
    /// A subset of its DestinationRule.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subset: String,
    /// The port; not needed where the service has one only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<PortSelector>,
}

/// A comparison with a text; one of the fields is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct StringMatch {
    /// The whole text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact: Option<String>,
    /// Its beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// An expression in RE2's syntax that matches all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
}
