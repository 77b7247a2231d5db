//! Settings of the whole mesh, as Istio's ConfigMap `istio` holds them under the key `mesh`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{HttpRetry, IstioDuration};
use crate::{Metadata, fields};

/// The name of the ConfigMap in the root namespace.
pub const MESH_CONFIG_MAP: &str = "istio";
/// The key of the settings in it.
pub const MESH_KEY: &str = "mesh";

/// `v1` ConfigMap, as far as it is read: only one named [`MESH_CONFIG_MAP`] is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigMap {
    /// Name and namespace.
    pub metadata: Metadata,
    /// Texts by key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, String>,
}

/// Istio's MeshConfig.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MeshConfig {
    /// External services.
    pub extension_providers: Vec<ExtensionProvider>,
    /// How far paths are made equal.
    pub path_normalization: Option<PathNormalization>,
    /// Retries where no route says anything.
    pub default_http_retry_policy: Option<HttpRetry>,
    /// The trust domain.
    pub trust_domain: Option<String>,
    /// Other names of it.
    pub trust_domain_aliases: Vec<String>,
    /// The namespace whose objects are for the whole mesh.
    pub root_namespace: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub others: BTreeMap<String, Value>,
}

/// How far paths are made equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PathNormalization {
    /// The level.
    pub normalization: NormalizationType,
}

/// Levels of path normalization.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum NormalizationType {
    /// As the mesh does.
    #[default]
    Default,
    /// None.
    None,
    /// RFC 3986 section 6.2.2.
    Base,
    /// Several slashes are one.
    MergeSlashes,
    /// Encoded slashes are slashes.
    DecodeAndMergeSlashes,
}

/// An external service; one of the fields beside the name is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExtensionProvider {
    /// Its name.
    pub name: String,
    /// Decides over HTTP.
    pub envoy_ext_authz_http: Option<ExtAuthzHttp>,
    /// Decides over gRPC.
    pub envoy_ext_authz_grpc: Option<ExtAuthzGrpc>,
    /// Takes spans over OTLP.
    pub opentelemetry: Option<OpenTelemetry>,
    /// Kinds that are not known here.
    #[serde(flatten)]
    pub others: BTreeMap<String, Value>,
}

/// What an external authorizer is sent of bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct CheckedBody {
    /// Most bytes.
    pub max_request_bytes: u32,
    /// Whether a longer body is sent in part.
    pub allow_partial_message: bool,
    /// Whether it is sent as bytes.
    pub pack_as_bytes: bool,
}

/// An external authorizer over gRPC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ExtAuthzGrpc {
    /// Host of its service; `NAMESPACE/HOST` allowed.
    pub service: String,
    /// Port of it.
    #[serde(deserialize_with = "fields::port")]
    pub port: u16,
    /// Longest wait; 600 s if absent.
    pub timeout: Option<IstioDuration>,
    /// Whether requests pass when it does not answer.
    pub fail_open: bool,
    /// Envoy's route cache.
    pub clear_route_cache: bool,
    /// Status when it does not answer; 403 if absent.
    pub status_on_error: Option<String>,
    /// What it is sent of bodies.
    pub include_request_body_in_check: Option<CheckedBody>,
}

/// An external authorizer over HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ExtAuthzHttp {
    /// Host of its service; `NAMESPACE/HOST` allowed.
    pub service: String,
    /// Port of it.
    #[serde(deserialize_with = "fields::port")]
    pub port: u16,
    /// Longest wait; 600 s if absent.
    pub timeout: Option<IstioDuration>,
    /// Put before the path.
    pub path_prefix: String,
    /// Whether requests pass when it does not answer.
    pub fail_open: bool,
    /// Envoy's route cache.
    pub clear_route_cache: bool,
    /// Status when it does not answer; 403 if absent.
    pub status_on_error: Option<String>,
    /// The older name of `includeRequestHeadersInCheck`.
    pub include_headers_in_check: Vec<String>,
    /// Request headers that it is sent.
    pub include_request_headers_in_check: Vec<String>,
    /// Headers that it is sent in addition.
    pub include_additional_headers_in_check: BTreeMap<String, String>,
    /// What it is sent of bodies.
    pub include_request_body_in_check: Option<CheckedBody>,
    /// Headers of its answer that go to the application when it allows.
    pub headers_to_upstream_on_allow: Vec<String>,
    /// Headers of its answer that go to the client when it denies.
    pub headers_to_downstream_on_deny: Vec<String>,
    /// Headers of its answer that go to the client when it allows.
    pub headers_to_downstream_on_allow: Vec<String>,
}

/// A collector of spans.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OpenTelemetry {
    /// Host of its service; `NAMESPACE/HOST` allowed.
    pub service: String,
    /// Port of it.
    #[serde(deserialize_with = "fields::port")]
    pub port: u16,
    /// Over HTTP; gRPC if absent.
    pub http: Option<HttpService>,
    /// What is not known here.
    #[serde(flatten)]
    pub others: BTreeMap<String, Value>,
}

/// A service that is called over HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpService {
    /// Its path.
    pub path: String,
    /// What is not known here.
    #[serde(flatten)]
    pub others: BTreeMap<String, Value>,
}

/// Istio's other settings, which are known and not honoured.
const KNOWN: [&str; 57] = [
    "accessLogEncoding",
    "accessLogFile",
    "accessLogFormat",
    "ca",
    "caCertificates",
    "certificates",
    "configSources",
    "connectTimeout",
    "defaultConfig",
    "defaultDestinationRuleExportTo",
    "defaultProviders",
    "defaultServiceExportTo",
    "defaultTrafficPolicy",
    "defaultVirtualServiceExportTo",
    "disableEnvoyListenerLog",
    "discoverySelectors",
    "dnsRefreshRate",
    "enableAutoMtls",
    "enableEnvoyAccessLogService",
    "enablePrometheusMerge",
    "enableTracing",
    "h2UpgradePolicy",
    "hboneIdleTimeout",
    "inboundClusterStatName",
    "inboundTrafficPolicy",
    "ingressClass",
    "ingressControllerMode",
    "ingressSelector",
    "ingressService",
    "localityLbSetting",
    "meshMTLS",
    "outboundClusterStatName",
    "outboundTrafficPolicy",
    "protocolDetectionTimeout",
    "proxyHttpPort",
    "proxyInboundListenPort",
    "proxyListenPort",
    "serviceEntryVisibility",
    "serviceScopeConfigs",
    "serviceSettings",
    "tcpKeepalive",
    "tlsDefaults",
    "verifyCertificateAtClient",
    "zoneAwareLbSetting",
    "authPolicy",
    "mixerCheckServer",
    "mixerReportServer",
    "disablePolicyChecks",
    "sdsUdsPath",
    "sdsRefreshDelay",
    "enableClientSidePolicyCheck",
    "policyCheckFailOpen",
    "defaultInboundHttpRetryPolicy",
    "networks",
    "thriftConfig",
    "localityLbSettings",
    "disableMixerHttpReports",
];

impl ConfigMap {
    /// The settings; the error is the reason and the remedy.
    pub fn mesh(&self) -> Result<MeshConfig, String> {
        let text = self.data.get(MESH_KEY).map(String::as_str).unwrap_or_default();
        if text.trim().is_empty() {
            return Ok(MeshConfig::default());
        }
        let config: MeshConfig = serde_saphyr::from_str(text).map_err(|error| {
            let reason =
                crate::problem::shortened_to(error.to_string().lines().next().unwrap_or_default(), 300);
            format!("{reason}; write Istio's MeshConfig")
        })?;
        match config.others.keys().find(|name| !KNOWN.contains(&name.as_str())) {
            Some(name) => {
                Err(format!("unknown field {}; write Istio's MeshConfig", crate::problem::quoted(name)))
            }
            None => Ok(config),
        }
    }
}
