//! What a rule of an HTTPRoute or GRPCRoute does to requests and responses.

use serde::{Deserialize, Serialize};

use super::BackendObject;
use crate::fields;

/// One filter; `type` says which of its fields is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HTTPRouteFilter {
    /// What it does.
    #[serde(rename = "type")]
    pub kind: FilterType,
    /// Changes headers of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_header_modifier: Option<HeaderFilter>,
    /// Changes headers of the response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_header_modifier: Option<HeaderFilter>,
    /// Sends a copy elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_mirror: Option<MirrorFilter>,
    /// Sends the client elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_redirect: Option<RedirectFilter>,
    /// Replaces host or path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_rewrite: Option<RewriteFilter>,
    /// Answers cross-origin requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<CorsFilter>,
    /// Asks another service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_auth: Option<ExternalAuth>,
    /// Something of an implementation's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension_ref: Option<ExtensionRef>,
}

/// What a filter does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FilterType {
    /// Changes headers of the request.
    RequestHeaderModifier,
    /// Changes headers of the response.
    ResponseHeaderModifier,
    /// Sends a copy elsewhere.
    RequestMirror,
    /// Sends the client elsewhere.
    RequestRedirect,
    /// Replaces host or path.
    URLRewrite,
    /// Answers cross-origin requests.
    CORS,
    /// Asks another service.
    ExternalAuth,
    /// Something of an implementation's own.
    ExtensionRef,
}

/// Changes to headers: set, then add, then remove.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HeaderFilter {
    /// Replaced.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<Header>,
    /// Added to what is there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<Header>,
    /// Removed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

/// A header.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Header {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
}

/// A copy of requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct MirrorFilter {
    /// Where to.
    pub backend_ref: BackendObject,
    /// Share of the requests in percent; all if neither this nor `fraction` is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<i32>,
    /// Share of the requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fraction: Option<Fraction>,
}

/// A share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fraction {
    /// How many.
    pub numerator: i32,
    /// Of how many; 100 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denominator: Option<i32>,
}

/// A redirect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RedirectFilter {
    /// `http` or `https`; the request's if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// Host; the request's if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Path; the request's if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathModifier>,
    /// Port; the scheme's or the request's if absent.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "fields::optional_port")]
    pub port: Option<u16>,
    /// 301, 302, 303, 307 or 308; 302 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_code: Option<u16>,
}

/// Another host or path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RewriteFilter {
    /// Host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathModifier>,
}

/// How a path is replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PathModifier {
    /// Which of the two is set.
    #[serde(rename = "type")]
    pub kind: PathModifierType,
    /// The whole path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replace_full_path: Option<String>,
    /// In place of the elements that the rule's match took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replace_prefix_match: Option<String>,
}

/// How a path is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PathModifierType {
    /// As a whole.
    ReplaceFullPath,
    /// The elements that the rule's match took.
    ReplacePrefixMatch,
}

/// Cross-origin rules (GEP-1767).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct CorsFilter {
    /// Origins `scheme://host[:port]`, with `*` alone or as the host's beginning.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_origins: Vec<String>,
    /// Whether credentials are allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_credentials: Option<bool>,
    /// Methods; `*` is all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_methods: Vec<String>,
    /// Request headers; `*` is all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_headers: Vec<String>,
    /// Response headers that scripts may read; `*` is all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expose_headers: Vec<String>,
    /// Seconds for which a preflight's answer may be kept; 5 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u32>,
}

/// A service that decides about requests (GEP-1494).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ExternalAuth {
    /// `HTTP` or `GRPC`.
    pub protocol: String,
    /// The service.
    pub backend_ref: BackendObject,
    /// For `GRPC`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc: Option<GrpcAuth>,
    /// For `HTTP`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpAuth>,
    /// How much of the body it is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward_body: Option<ForwardBody>,
}

/// What is particular to gRPC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct GrpcAuth {
    /// Request headers that it is sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_headers: Vec<String>,
}

/// What is particular to HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HttpAuth {
    /// Put before the path.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Request headers that it is sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_headers: Vec<String>,
    /// Headers of its answer that go on to the backend.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_response_headers: Vec<String>,
}

/// How much of a body is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ForwardBody {
    /// In bytes.
    pub max_size: u32,
}

/// An object of an implementation's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ExtensionRef {
    /// API group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name, in the route's namespace.
    pub name: String,
}

impl HTTPRouteFilter {
    /// A filter of a type, with none of its fields.
    pub fn of(kind: FilterType) -> Self {
        Self {
            kind,
            request_header_modifier: None,
            response_header_modifier: None,
            request_mirror: None,
            request_redirect: None,
            url_rewrite: None,
            cors: None,
            external_auth: None,
            extension_ref: None,
        }
    }

    /// The types whose fields are set, with the fields' names.
    pub fn set(&self) -> Vec<(FilterType, &'static str)> {
        [
            (FilterType::RequestHeaderModifier, self.request_header_modifier.is_some()),
            (FilterType::ResponseHeaderModifier, self.response_header_modifier.is_some()),
            (FilterType::RequestMirror, self.request_mirror.is_some()),
            (FilterType::RequestRedirect, self.request_redirect.is_some()),
            (FilterType::URLRewrite, self.url_rewrite.is_some()),
            (FilterType::CORS, self.cors.is_some()),
            (FilterType::ExternalAuth, self.external_auth.is_some()),
            (FilterType::ExtensionRef, self.extension_ref.is_some()),
        ]
        .into_iter()
        .filter_map(|(kind, set)| set.then_some((kind, kind.field())))
        .collect()
    }
}

impl FilterType {
    /// The field that says more.
    pub fn field(self) -> &'static str {
        match self {
            Self::RequestHeaderModifier => "requestHeaderModifier",
            Self::ResponseHeaderModifier => "responseHeaderModifier",
            Self::RequestMirror => "requestMirror",
            Self::RequestRedirect => "requestRedirect",
            Self::URLRewrite => "urlRewrite",
            Self::CORS => "cors",
            Self::ExternalAuth => "externalAuth",
            Self::ExtensionRef => "extensionRef",
        }
    }
}
