//! Settings of the whole mesh, as waypoints are told.

use std::time::Duration;

use ambit_model::l7::mesh::{ExternalAuthorization, Normalization, Provider, ProviderKind};
use ambit_model::l7::{MeshConfig, Resource};

use super::{Index, mesh};

impl Index {
    #[track_caller]
    fn mesh_config(&self) -> MeshConfig {
        let found = self.l7().into_iter().find_map(|resource| match &**resource {
            Resource::Mesh(mesh) => Some(mesh.clone()),
            _ => None,
        });
        found.unwrap()
    }
}

fn config(lines: &str) -> Index {
    let lines = lines.replace('\n', "\n    ");
    mesh(&format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata:\n  mesh: |\n    {lines}\n"
    ))
}

#[test]
fn providers_retries_and_names_are_told() {
    let index = config(
        "trustDomain: cluster.local\ntrustDomainAliases: [old.example.com]\npathNormalization: {normalization: BASE}\n\
         defaultHttpRetryPolicy: {attempts: 4, retryOn: 5xx}\nextensionProviders:\n\
         - {name: grpc, envoyExtAuthzGrpc: {service: auth.shop.svc.cluster.local, port: 9000, timeout: 1s, failOpen: true, statusOnError: '503', includeRequestBodyInCheck: {maxRequestBytes: 9, allowPartialMessage: true}}}\n\
         - {name: http, envoyExtAuthzHttp: {service: shop/auth, port: 8000, pathPrefix: /check, includeRequestHeadersInCheck: [X-A], headersToUpstreamOnAllow: [X-B]}}\n\
         - {name: otel, opentelemetry: {service: otel.shop.svc.cluster.local, port: 4317}}",
    );
    assert_eq!(index.told(), [""; 0]);
    let mesh = index.mesh_config();
    assert_eq!(
        (mesh.normalization, &mesh.trust_domain_aliases[..]),
        (Normalization::Base, &["old.example.com".into()][..])
    );
    assert_eq!(mesh.retry.unwrap().attempts, 4);
    let grpc = ExternalAuthorization {
        timeout: Duration::from_secs(1),
        fail_open: true,
        status_on_error: 503,
        body: Some((9, true)),
    };
    let usual = ExternalAuthorization {
        timeout: Duration::from_secs(600),
        fail_open: false,
        status_on_error: 403,
        body: None,
    };
    let http = ProviderKind::AuthorizeHttp {
        common: usual,
        path_prefix: "/check".into(),
        include_request_headers: vec!["x-a".into()],
        additional_headers: vec![],
        to_upstream_on_allow: vec!["x-b".into()],
        to_downstream_on_deny: vec![],
        to_downstream_on_allow: vec![],
    };
    let provider = |name: &str, service: &str, port, kind| Provider {
        name: name.into(),
        service: service.into(),
        port,
        kind,
    };
    let expected = [
        provider("grpc", "auth.shop.svc.cluster.local", 9000, ProviderKind::AuthorizeGrpc(grpc)),
        provider("http", "shop/auth", 8000, http),
        provider("otel", "otel.shop.svc.cluster.local", 4317, ProviderKind::Spans { http_path: None }),
    ];
    assert_eq!(mesh.providers, expected);
}

#[test]
fn what_is_not_honoured_is_told() {
    for (line, note) in [
        ("enableTracing: true", "mesh.enableTracing: it is not honoured"),
        ("trustDomain: other", "mesh.trustDomain: the controller's command line says"),
        ("extensionProviders: [{name: a, zipkin: {service: b, port: 1}}]", "extensionProviders[0].zipkin"),
    ] {
        let told = config(line).told();
        assert!(told.len() == 1 && told[0].contains(note), "{told:?}");
    }
}
