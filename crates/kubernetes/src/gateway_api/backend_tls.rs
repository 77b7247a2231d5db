//! BackendTLSPolicy: TLS from a gateway or waypoint to the application.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Metadata;

/// `gateway.networking.k8s.io/v1` BackendTLSPolicy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendTLSPolicy {
    /// Name and namespace.
    pub metadata: Metadata,
    /// What it asks for.
    pub spec: BackendTLSPolicySpec,
}

/// `spec` of a BackendTLSPolicy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct BackendTLSPolicySpec {
    /// Services of its namespace that are called with TLS.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub target_refs: Vec<PolicyTarget>,
    /// How their certificates are verified.
    pub validation: BackendTLSValidation,
    /// Implementations' own options.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// One Service, or one named port of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PolicyTarget {
    /// API group; empty for the core group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name, in the policy's namespace.
    pub name: String,
    /// Name of a port of the Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
}

/// How a certificate is verified.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct BackendTLSValidation {
    /// ConfigMaps with the authorities, under the key `ca.crt`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ca_certificate_refs: Vec<CaCertificateRef>,
    /// Instead of these: authorities that everybody knows.
    #[serde(rename = "wellKnownCACertificates", skip_serializing_if = "Option::is_none")]
    pub well_known_ca_certificates: Option<WellKnownCa>,
    /// Server name to ask for, and to find in the certificate unless `subjectAltNames` are given.
    pub hostname: String,
    /// Names of which the certificate must have one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subject_alt_names: Vec<SubjectAltName>,
}

/// An object with certificates of authorities.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct CaCertificateRef {
    /// API group; empty for the core group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name, in the policy's namespace.
    pub name: String,
}

/// Authorities that everybody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WellKnownCa {
    /// Those of the system.
    System,
}

/// A name in a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubjectAltName {
    /// Which of the two is set.
    #[serde(rename = "type")]
    pub kind: SanType,
    /// A DNS name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// A URI, such as a SPIFFE ID.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uri: String,
}

/// The form of a name in a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SanType {
    /// A DNS name.
    Hostname,
    /// A URI.
    URI,
}
