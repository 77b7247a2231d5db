//! ReferenceGrant: who may refer to objects of a namespace from another.

use serde::{Deserialize, Serialize};

use crate::Metadata;

/// `gateway.networking.k8s.io/v1` and `v1beta1` ReferenceGrant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReferenceGrant {
    /// Name and namespace: the one whose objects may be referred to.
    pub metadata: Metadata,
    /// What is granted.
    pub spec: ReferenceGrantSpec,
}

/// `spec` of a ReferenceGrant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ReferenceGrantSpec {
    /// To whom; any of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<GrantFrom>,
    /// To what; any of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<GrantTo>,
}

/// Objects that may refer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GrantFrom {
    /// API group; empty for the core group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
}

/// Objects that may be referred to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GrantTo {
    /// API group; empty for the core group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name; all of the kind if absent or empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl ReferenceGrant {
    /// Whether an object of group, kind and namespace `from` may refer to one of group, kind and name `to` here.
    pub fn permits(&self, from: (&str, &str, &str), to: (&str, &str, &str)) -> bool {
        let group = |group: &str, wanted: &str| group == wanted || (group == "core" && wanted.is_empty());
        self.spec
            .from
            .iter()
            .any(|one| group(&one.group, from.0) && one.kind == from.1 && one.namespace == from.2)
            && self.spec.to.iter().any(|one| {
                let named = one.name.as_deref().filter(|name| !name.is_empty());
                group(&one.group, to.0) && one.kind == to.1 && named.is_none_or(|name| name == to.2)
            })
    }
}
