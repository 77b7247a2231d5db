//! What a waypoint or gateway does with requests: one value per object that a user wrote (HTTPRoute, VirtualService,
//! DestinationRule, AuthorizationPolicy, ...), in the mesh's own words.
//!
//! These values are what travels to waypoints (docs/decisions/0015-l7-wire.md): serialised with every field named, and
//! a field that is not known refused, so that nothing is ever forgotten in silence. What an author got wrong travels
//! with the object (`invalid`, `unusable`) and fails in the safe direction where it is used.

pub mod authentication;
pub mod destination_rule;
pub mod gateway;
pub mod matching;
pub mod mesh;
pub mod object;
pub mod policy;
pub mod route;
pub mod telemetry;

use serde::{Deserialize, Serialize};

use crate::Text;

pub use authentication::RequestAuthentication;
pub use destination_rule::DestinationRule;
pub use gateway::Gateway;
pub use matching::{Share, ValueMatch};
pub use mesh::MeshConfig;
pub use object::{ObjectKey, ObjectKind, Target};
pub use policy::RequestPolicy;
pub use route::Route;
pub use telemetry::Telemetry;

/// One object, as it travels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Resource {
    /// HTTPRoute, GRPCRoute, TCPRoute, TLSRoute or VirtualService.
    Route(Route),
    /// DestinationRule, BackendTLSPolicy or XBackendTrafficPolicy.
    DestinationRule(Box<DestinationRule>),
    /// AuthorizationPolicy with `targetRefs`.
    Policy(RequestPolicy),
    /// RequestAuthentication.
    Authentication(RequestAuthentication),
    /// Telemetry.
    Telemetry(Telemetry),
    /// A Gateway with listeners of its own (ingress, egress).
    Gateway(Gateway),
    /// The labels of a workload, which workload discovery does not carry: subsets and `sourceLabels` need them.
    Labels(Labels),
    /// Settings of the whole mesh.
    Mesh(MeshConfig),
}

/// The labels of one workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Labels {
    /// The workload's uid.
    pub workload: Text,
    /// Its labels, sorted by key.
    pub labels: Vec<(Text, Text)>,
}

impl Resource {
    /// Its name on the wire: `<Kind>/<namespace>/<name>`, `Labels/<uid>`, or `MeshConfig`.
    pub fn name(&self) -> Text {
        let key = match self {
            Self::Route(route) => &route.key,
            Self::DestinationRule(rule) => &rule.key,
            Self::Policy(policy) => &policy.key,
            Self::Authentication(authentication) => &authentication.key,
            Self::Telemetry(telemetry) => &telemetry.key,
            Self::Gateway(gateway) => &gateway.key,
            Self::Labels(labels) => return format!("Labels/{}", labels.workload).into(),
            Self::Mesh(_) => return "MeshConfig".into(),
        };
        key.to_string().into()
    }

    /// What it applies to, as far as that is known without reading the rest: of an object that a waypoint cannot read,
    /// these are what must fail closed.
    pub fn targets(&self) -> Vec<Target> {
        match self {
            Self::Route(route) => route.parents.iter().map(|parent| parent.target.clone()).collect(),
            Self::Policy(policy) => policy.targets.clone(),
            Self::Authentication(authentication) => authentication.targets.clone(),
            Self::Telemetry(telemetry) => telemetry.targets.clone(),
            Self::DestinationRule(rule) => vec![rule.target()],
            Self::Gateway(_) | Self::Labels(_) | Self::Mesh(_) => Vec::new(),
        }
    }
}

/// An object that was announced and cannot be read. Requests to its targets are refused until it can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Its name on the wire.
    pub name: Text,
    /// What it applies to; empty where not even that can be read, or where it applies to nothing by itself.
    pub targets: Vec<Target>,
    /// Why it cannot be read, in one line.
    pub reason: Text,
}
