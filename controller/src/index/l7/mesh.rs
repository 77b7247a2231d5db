//! Settings of the whole mesh: the command line's, and those of the ConfigMap `istio` in the root namespace.

use std::time::Duration;

use ambit_kubernetes::istio::{
    CheckedBody, ExtAuthzGrpc, ExtAuthzHttp, ExtensionProvider, MESH_CONFIG_MAP, MeshConfig as Written,
    NormalizationType, OpenTelemetry,
};
use ambit_model::Text;
use ambit_model::l7::MeshConfig;
use ambit_model::l7::ObjectKind;
use ambit_model::l7::mesh::{ExternalAuthorization, Normalization, Provider, ProviderKind};

use super::notes::Unheard;
use super::{Author, View, virtual_http};
use crate::index::condition::unmet;

/// How long an external authorizer may take where nothing is said (Istio).
const TIMEOUT: Duration = Duration::from_secs(600);

/// What waypoints are told of the mesh.
pub(super) fn mesh(view: &View<'_>, notes: &mut Vec<String>) -> MeshConfig {
    let settings = &view.objects.mesh;
    let mut mesh = MeshConfig {
        root_namespace: settings.root_namespace.as_str().into(),
        trust_domain: settings.trust_domain.as_str().into(),
        ..MeshConfig::default()
    };
    let Some(map) = view.objects.istio.config_maps.get(&settings.root_namespace, MESH_CONFIG_MAP) else {
        return mesh;
    };
    // One that cannot be read does not come into force.
    let written = map.mesh().unwrap_or_default();
    let object = format!("ConfigMap {}/{MESH_CONFIG_MAP}", settings.root_namespace);
    let mut note = |field: &str, why: &str| {
        notes.push(unmet(&object, "Accepted", "UnsupportedValue", format!("mesh.{field}: {why}")));
    };
    for (field, said, own) in [
        ("trustDomain", &written.trust_domain, &settings.trust_domain),
        ("rootNamespace", &written.root_namespace, &settings.root_namespace),
    ] {
        if said.as_ref().is_some_and(|said| said != own) {
            note(field, &format!("the controller's command line says {own:?}, which counts"));
        }
    }
    for field in written.others.keys() {
        note(field, "it is not honoured");
    }
    mesh.normalization = normalization(&written);
    mesh.trust_domain_aliases =
        written.trust_domain_aliases.iter().map(|alias| alias.as_str().into()).collect();
    for (at, provider) in written.extension_providers.iter().enumerate() {
        let field = format!("extensionProviders[{at}]");
        mesh.providers.extend(self::provider(provider, &field, &mut note));
    }
    if let Some(retry) = &written.default_http_retry_policy {
        let author = Author { kind: ObjectKind::VirtualService, metadata: &map.metadata };
        let mut unheard = Unheard::new(&author);
        mesh.retry = Some(virtual_http::retry(retry, "defaultHttpRetryPolicy", &mut unheard));
        if retry.per_try_timeout.is_some() || !unheard.notes.is_empty() {
            note("defaultHttpRetryPolicy", "only attempts, retryOn and backoff are honoured");
        }
    }
    mesh
}

fn normalization(written: &Written) -> Normalization {
    match written.path_normalization.unwrap_or_default().normalization {
        NormalizationType::Default | NormalizationType::MergeSlashes => Normalization::MergeSlashes,
        NormalizationType::None => Normalization::None,
        NormalizationType::Base => Normalization::Base,
        NormalizationType::DecodeAndMergeSlashes => Normalization::DecodeAndMergeSlashes,
    }
}

fn provider(written: &ExtensionProvider, field: &str, note: &mut impl FnMut(&str, &str)) -> Option<Provider> {
    for kind in written.others.keys() {
        note(&format!("{field}.{kind}"), "a provider of this kind is not known here");
    }
    let made = |service: &str, port: u16, kind: ProviderKind| Provider {
        name: written.name.as_str().into(),
        service: service.into(),
        port,
        kind,
    };
    if let Some(grpc) = &written.envoy_ext_authz_grpc {
        return Some(made(&grpc.service, grpc.port, ProviderKind::AuthorizeGrpc(over_grpc(grpc))));
    }
    if let Some(http) = &written.envoy_ext_authz_http {
        return Some(made(&http.service, http.port, over_http(http)));
    }
    let spans = written.opentelemetry.as_ref()?;
    for other in spans.others.keys() {
        note(&format!("{field}.opentelemetry.{other}"), "it is not honoured");
    }
    Some(made(&spans.service, spans.port, self::spans(spans)))
}

fn spans(written: &OpenTelemetry) -> ProviderKind {
    ProviderKind::Spans { http_path: written.http.as_ref().map(|http| http.path.as_str().into()) }
}

fn authorization(
    timeout: Option<Duration>,
    fail_open: bool,
    status: Option<&str>,
    body: Option<CheckedBody>,
) -> ExternalAuthorization {
    ExternalAuthorization {
        timeout: timeout.unwrap_or(TIMEOUT),
        fail_open,
        status_on_error: status.and_then(|status| status.parse().ok()).unwrap_or(403),
        body: body.map(|body| (body.max_request_bytes, body.allow_partial_message)),
    }
}

fn over_grpc(written: &ExtAuthzGrpc) -> ExternalAuthorization {
    let timeout = written.timeout.map(|time| time.get());
    authorization(
        timeout,
        written.fail_open,
        written.status_on_error.as_deref(),
        written.include_request_body_in_check,
    )
}

fn over_http(written: &ExtAuthzHttp) -> ProviderKind {
    let timeout = written.timeout.map(|time| time.get());
    let lower =
        |list: &[String]| -> Vec<Text> { list.iter().map(|name| name.to_ascii_lowercase().into()).collect() };
    let mut include = lower(&written.include_request_headers_in_check);
    include.extend(lower(&written.include_headers_in_check));
    let additional = written.include_additional_headers_in_check.iter();
    ProviderKind::AuthorizeHttp {
        common: authorization(
            timeout,
            written.fail_open,
            written.status_on_error.as_deref(),
            written.include_request_body_in_check,
        ),
        path_prefix: written.path_prefix.as_str().into(),
        include_request_headers: include,
        additional_headers: additional
            .map(|(name, value)| (name.to_ascii_lowercase().into(), value.as_str().into()))
            .collect(),
        to_upstream_on_allow: lower(&written.headers_to_upstream_on_allow),
        to_downstream_on_deny: lower(&written.headers_to_downstream_on_deny),
        to_downstream_on_allow: lower(&written.headers_to_downstream_on_allow),
    }
}
