//! What Istio's policies are attached to, instead of a selector.

use serde::{Deserialize, Serialize};

/// A Gateway, GatewayClass, Service or ServiceEntry (Istio `PolicyTargetReference`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TargetRef {
    /// API group of the kind; empty for the core group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// `Gateway`, `GatewayClass`, `Service` or `ServiceEntry`.
    pub kind: String,
    /// Its name, in the policy's namespace.
    pub name: String,
    /// Must be empty: targets in other namespaces are not allowed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
}

/// All targets of a policy: those of the list, or else the one of the older field (`targetRef`).
pub(crate) fn targets<'a>(
    refs: &'a [TargetRef],
    older: Option<&'a TargetRef>,
) -> impl Iterator<Item = &'a TargetRef> {
    refs.iter().chain(older)
}
