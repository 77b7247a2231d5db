//! What every object says about itself.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::fields;

/// `metadata` of any object, trimmed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// Unique per kind and namespace; never empty in an object that was read.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Empty for kinds without a namespace (Namespace, Node); never empty for the others in an object that was read.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Prefix from which Kubernetes generated the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generate_name: Option<String>,
    /// Unique over the life of the cluster; absent in objects written by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Kubernetes' opaque version of the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// When the object was made; decides which of two conflicting objects is older.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "fields::optional_time")]
    pub creation_timestamp: Option<Timestamp>,
    /// Present while the object is being deleted.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "fields::optional_time")]
    pub deletion_timestamp: Option<Timestamp>,
    /// Keys and values that selectors see.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Keys and values that selectors do not see.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Who made the object.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owner_references: Vec<OwnerReference>,
}

/// One owner of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference {
    /// Group and version of the owner's kind.
    pub api_version: String,
    /// The owner's kind.
    pub kind: String,
    /// The owner's name, in the same namespace.
    pub name: String,
    /// The owner's uid.
    pub uid: String,
    /// Whether this owner controls the object; at most one does.
    #[serde(skip_serializing_if = "fields::is_false")]
    pub controller: bool,
}

impl Metadata {
    /// Metadata with a name and a namespace, the rest empty.
    pub fn named(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into(), ..Self::default() }
    }

    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(String::as_str)
    }

    /// The value of an annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key).map(String::as_str)
    }

    /// The owner that controls the object.
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references.iter().find(|owner| owner.controller)
    }
}
