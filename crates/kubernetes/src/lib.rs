//! Kubernetes and Istio objects as users write them, read from YAML with exact places for every complaint.
//!
//! The types are trimmed to what the mesh needs. Core Kubernetes kinds tolerate unknown fields, so that
//! `kubectl get -o yaml` can be pasted, unless one is most likely a known field misspelt; Istio's security kinds refuse them, so that nothing unknown widens access.
//! This crate decides nothing about the mesh: mapping to workloads, services and authorizations is the controller's.

pub mod annotations;
mod authorization_policy;
mod check;
mod directory;
mod endpoint_slice;
mod enrolment;
mod field_path;
mod fields;
pub mod gateway_api;
pub mod istio;
pub mod kinds;
pub mod labels;
mod load;
mod metadata;
mod name_rules;
mod namespace;
mod node;
mod object;
mod peer_authentication;
mod pod;
mod problem;
mod read;
mod secret;
mod selector;
mod service;
mod service_account;
mod target_port;
mod target_ref;
mod walk;
mod workload_name;
mod write;
mod yaml;

pub use authorization_policy::{
    Action, AuthorizationPolicy, AuthorizationPolicySpec, Condition, IpBlock, Operation, Provider, Rule,
    RuleFrom, RuleTo, Source,
};
pub use check::validate_set;
pub use directory::Directory;
pub use endpoint_slice::{
    AddressType, Endpoint, EndpointConditions, EndpointPort, EndpointSlice, ObjectReference,
};
pub use enrolment::{Enrolment, NotEnrolledReason, enrolled};
pub use field_path::{FieldPath, Segment};
pub use load::{
    Limits, Loaded, Note, NoteKind, Resources, read_directory, read_directory_with, read_file, read_text,
};
pub use metadata::{Metadata, OwnerReference};
pub use namespace::Namespace;
pub use node::{Node, NodeAddress, NodeSpec, NodeStatus};
pub use object::{Kind, Object};
pub use peer_authentication::{MtlsMode, MutualTls, PeerAuthentication, PeerAuthenticationSpec};
pub use pod::{
    Container, ContainerPort, ContainerRestartPolicy, InitContainer, Pod, PodCondition, PodIp, PodPhase,
    PodSpec, PodStatus,
};
pub use problem::{Position, Problem};
pub use secret::{Secret, TLS_SECRET};
pub use selector::{WorkloadSelector, matches};
pub use service::{
    ClusterIp, InternalTrafficPolicy, IpFamily, Protocol, Service, ServicePort, ServiceSpec, ServiceType,
};
pub use service_account::ServiceAccount;
pub use target_port::{PortRef, target_port};
pub use target_ref::TargetRef;
pub use workload_name::{WorkloadKind, WorkloadName, canonical_name, canonical_revision, workload_name};
pub use write::{WriteError, to_yaml, to_yaml_documents};

/// The namespace whose policies hold for the whole mesh (Istio's `rootNamespace`), and which needs no Namespace object.
pub const ROOT_NAMESPACE: &str = "istio-system";
/// The namespace that every cluster has, and which needs no Namespace object.
pub const DEFAULT_NAMESPACE: &str = "default";
