//! How Gateway API objects name each other.

use serde::{Deserialize, Serialize};

use crate::fields;

/// The API group of the Gateway API.
pub const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";

/// What a route is attached to: a Gateway, or a Service for traffic inside the mesh (GAMMA).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ParentRef {
    /// API group; `gateway.networking.k8s.io` if absent, empty for the core group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Kind; `Gateway` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Namespace; the route's own if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// Only this listener of a Gateway, or this named port of a Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
    /// Only this port of it.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "fields::optional_port")]
    pub port: Option<u16>,
}

/// One object that requests are sent to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct BackendObject {
    /// API group; the core group if empty or absent.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Kind; `Service` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name.
    pub name: String,
    /// Namespace; the route's own if absent. Another one needs a ReferenceGrant there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Port of it; a Service must have one.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "fields::optional_port")]
    pub port: Option<u16>,
}

/// One of the places of a TCPRoute or TLSRoute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct BackendRef {
    /// API group; the core group if empty or absent.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Kind; `Service` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name.
    pub name: String,
    /// Namespace; the route's own if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Port of it.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "fields::optional_port")]
    pub port: Option<u16>,
    /// Share of the connections; 1 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
}

impl ParentRef {
    /// API group and kind, defaults filled in; the core group is empty.
    pub fn of(&self) -> (&str, &str) {
        let group = self.group.as_deref().unwrap_or(GATEWAY_GROUP);
        (if group == "core" { "" } else { group }, self.kind.as_deref().unwrap_or("Gateway"))
    }

    /// Its namespace, for a route of this one.
    pub fn namespace_from<'a>(&'a self, own: &'a str) -> &'a str {
        self.namespace.as_deref().unwrap_or(own)
    }
}

impl BackendObject {
    /// API group and kind, defaults filled in; the core group is empty.
    pub fn of(&self) -> (&str, &str) {
        (if self.group == "core" { "" } else { &self.group }, self.kind.as_deref().unwrap_or("Service"))
    }

    /// Its namespace, for a route of this one.
    pub fn namespace_from<'a>(&'a self, own: &'a str) -> &'a str {
        self.namespace.as_deref().unwrap_or(own)
    }
}

impl BackendRef {
    /// The object that it names.
    pub fn object(&self) -> BackendObject {
        BackendObject {
            group: self.group.clone(),
            kind: self.kind.clone(),
            name: self.name.clone(),
            namespace: self.namespace.clone(),
            port: self.port,
        }
    }
}
