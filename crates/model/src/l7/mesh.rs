//! Settings of the whole mesh that waypoints obey (Istio MeshConfig).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::route::Retry;
use crate::Text;

/// The settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeshConfig {
    /// How far paths are made equal (`pathNormalization`): merged slashes unless said.
    pub normalization: Normalization,
    /// Retries of requests whose route says nothing (`defaultHttpRetryPolicy`).
    pub retry: Option<Retry>,
    /// External services (`extensionProviders`).
    pub providers: Vec<Provider>,
    /// The namespace whose objects apply to the whole mesh.
    pub root_namespace: Text,
    /// The trust domain of the mesh.
    pub trust_domain: Text,
    /// Other names of it (`trustDomainAliases`).
    pub trust_domain_aliases: Vec<Text>,
}

impl Default for MeshConfig {
    fn default() -> Self {
        Self {
            normalization: Normalization::MergeSlashes,
            retry: None,
            providers: Vec::new(),
            root_namespace: "istio-system".into(),
            trust_domain: crate::identity::DEFAULT_TRUST_DOMAIN.into(),
            trust_domain_aliases: Vec::new(),
        }
    }
}

/// How far paths are made equal; each does what those before it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Normalization {
    /// Not at all.
    None,
    /// RFC 3986 section 6.2.2, and `\` as `/`.
    Base,
    /// Several slashes are one.
    MergeSlashes,
    /// `%2F` and `%5C` are slashes.
    DecodeAndMergeSlashes,
}

/// An external service that policies and telemetry may name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Its name.
    pub name: Text,
    /// Host name of its service (`namespace/host` allowed).
    pub service: Text,
    /// Port.
    pub port: u16,
    /// What it does.
    pub kind: ProviderKind,
}

/// What an external service does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum ProviderKind {
    /// Decides about requests over gRPC (`envoyExtAuthzGrpc`).
    AuthorizeGrpc(ExternalAuthorization),
    /// Decides about requests over HTTP (`envoyExtAuthzHttp`).
    AuthorizeHttp {
        /// What both kinds have.
        common: ExternalAuthorization,
        /// Put before the path.
        path_prefix: Text,
        /// Request headers that it is sent.
        include_request_headers: Vec<Text>,
        /// Headers that it is sent in addition.
        additional_headers: Vec<(Text, Text)>,
        /// Headers of its answer that go to the application when it allows.
        to_upstream_on_allow: Vec<Text>,
        /// Headers of its answer that go to the client when it denies.
        to_downstream_on_deny: Vec<Text>,
        /// Headers of its answer that go to the client when it allows.
        to_downstream_on_allow: Vec<Text>,
    },
    /// Takes spans over OTLP (`opentelemetry`).
    Spans {
        /// OTLP over HTTP at this path; gRPC if absent.
        http_path: Option<Text>,
    },
}

/// What external authorization over gRPC and HTTP have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalAuthorization {
    /// Longest wait: 600 s unless said.
    pub timeout: Duration,
    /// Whether a request passes when the service does not answer.
    pub fail_open: bool,
    /// Status when it does not answer: 403 unless said.
    pub status_on_error: u16,
    /// Most bytes of the body that it is sent, and whether a longer body is sent in part.
    pub body: Option<(u32, bool)>,
}
