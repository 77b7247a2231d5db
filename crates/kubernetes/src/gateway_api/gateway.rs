//! Gateway and GatewayClass.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::LabelSelector;
use crate::{Metadata, fields};

/// `gateway.networking.k8s.io/v1` and `v1beta1` Gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Gateway {
    /// Name, namespace, and the label `istio.io/waypoint-for`.
    pub metadata: Metadata,
    /// What it listens on.
    pub spec: GatewaySpec,
}

/// `spec` of a Gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct GatewaySpec {
    /// Its class: who serves it.
    pub gateway_class_name: String,
    /// What it listens on; at least one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<Listener>,
    /// Addresses that are asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<GatewayAddress>,
    /// Labels, annotations and parameters of what is made for it; nothing of it is read here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub infrastructure: Option<Infrastructure>,
}

/// An address that is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct GatewayAddress {
    /// `IPAddress` or `Hostname`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub value: String,
}

/// What Kubernetes objects made for a Gateway shall have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Infrastructure {
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Where more is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters_ref: Option<ParametersRef>,
}

/// An object with further parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ParametersRef {
    /// API group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Namespace, for a GatewayClass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Listener {
    /// Unique in the Gateway.
    pub name: String,
    /// Host name of its requests, `*.` allowed in front; any if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Port.
    #[serde(deserialize_with = "fields::port")]
    pub port: u16,
    /// `HTTP`, `HTTPS`, `TLS`, `TCP`, `UDP`, or `HBONE` for a waypoint.
    pub protocol: String,
    /// Certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTls>,
    /// Which routes may be attached, and which namespaces may use a waypoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_routes: Option<AllowedRoutes>,
}

/// TLS of a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ListenerTls {
    /// Whether it ends here; it does if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<TlsMode>,
    /// Secrets with certificates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificate_refs: Vec<SecretRef>,
    /// Implementations' own options.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// A Secret with a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SecretRef {
    /// API group; the core group if empty or absent.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Kind; `Secret` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name.
    pub name: String,
    /// Namespace; the Gateway's own if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Where TLS ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TlsMode {
    /// Here.
    Terminate,
    /// At the backend.
    Passthrough,
}

/// Which routes may be attached to a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct AllowedRoutes {
    /// From which namespaces; the Gateway's own if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<RouteNamespaces>,
    /// Of which kinds; those of the listener's protocol if absent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<RouteKind>,
}

/// Namespaces from which something may be attached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RouteNamespaces {
    /// Which; `Same` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<FromNamespaces>,
    /// Which, for `Selector`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// Which namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FromNamespaces {
    /// All of them.
    All,
    /// Those that the selector picks.
    Selector,
    /// The Gateway's own.
    Same,
    /// None.
    None,
}

/// A kind of route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RouteKind {
    /// API group; `gateway.networking.k8s.io` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Kind.
    pub kind: String,
}

/// `gateway.networking.k8s.io/v1` and `v1beta1` GatewayClass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayClass {
    /// Name, and the label `istio.io/waypoint-for`.
    pub metadata: Metadata,
    /// Who serves it.
    pub spec: GatewayClassSpec,
}

/// `spec` of a GatewayClass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct GatewayClassSpec {
    /// Who serves its Gateways, as a name with a path.
    pub controller_name: String,
    /// Where more is said; nothing of it is read here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters_ref: Option<ParametersRef>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Which namespaces a listener admits, with the default filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllowedNamespaces<'a> {
    /// All of them.
    All,
    /// The Gateway's own.
    Same,
    /// Those with labels that this picks.
    Selected(&'a LabelSelector),
    /// None: also where `Selector` names no selector.
    None,
}

impl Listener {
    /// Which namespaces it admits.
    pub fn allowed_namespaces(&self) -> AllowedNamespaces<'_> {
        let namespaces = self.allowed_routes.as_ref().and_then(|allowed| allowed.namespaces.as_ref());
        match namespaces.and_then(|namespaces| namespaces.from) {
            None | Some(FromNamespaces::Same) => AllowedNamespaces::Same,
            Some(FromNamespaces::All) => AllowedNamespaces::All,
            Some(FromNamespaces::None) => AllowedNamespaces::None,
            Some(FromNamespaces::Selector) => namespaces
                .and_then(|namespaces| namespaces.selector.as_ref())
                .map_or(AllowedNamespaces::None, AllowedNamespaces::Selected),
        }
    }

    /// Whether it admits something of a namespace with these labels; the Gateway stands in `own`.
    pub fn admits(&self, namespace: &str, labels: &BTreeMap<String, String>, own: &str) -> bool {
        match self.allowed_namespaces() {
            AllowedNamespaces::All => true,
            AllowedNamespaces::Same => namespace == own,
            AllowedNamespaces::Selected(selector) => selector.matches(labels),
            AllowedNamespaces::None => false,
        }
    }
}
