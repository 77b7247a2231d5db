//! Gateway API objects with every field are read and written back; selectors, grants and listeners decide as documented.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ambit_kubernetes::gateway_api::{Gateway, LabelSelector, ReferenceGrant};
use ambit_kubernetes::{Object, read_text, to_yaml};

const HTTP_ROUTE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: cart, namespace: shop, creationTimestamp: '2026-01-31T12:00:00Z'}
spec:
  parentRefs:
  - {group: '', kind: Service, name: cart, port: 80}
  - {name: gate, namespace: edge, sectionName: http}
  useDefaultGateways: None
  hostnames: ['*.example.com']
  rules:
  - name: everything
    matches:
    - path: {type: PathPrefix, value: /v1}
      method: GET
      headers:
      - {type: RegularExpression, name: Version, value: 'v[0-9]+'}
      queryParams: [{name: q, value: a b}]
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: {set: [{name: a, value: b}], add: [{name: c, value: d}], remove: [e]}
    - type: ResponseHeaderModifier
      responseHeaderModifier: {remove: [e]}
    - type: RequestMirror
      requestMirror: {backendRef: {name: shadow, port: 80}, fraction: {numerator: 1, denominator: 1000}}
    - type: RequestMirror
      requestMirror: {backendRef: {name: shadow, port: 81}, percent: 5}
    - type: URLRewrite
      urlRewrite: {hostname: a.b, path: {type: ReplacePrefixMatch, replacePrefixMatch: /v2}}
    - type: CORS
      cors:
        allowOrigins: ['https://*.example.com', 'http://localhost:8080']
        allowCredentials: true
        allowMethods: ['*']
        allowHeaders: [x-a]
        exposeHeaders: [x-b]
        maxAge: 600
    - type: ExternalAuth
      externalAuth:
        protocol: HTTP
        backendRef: {name: auth, port: 80}
        http: {path: /check, allowedHeaders: [a], allowedResponseHeaders: [b]}
        forwardBody: {maxSize: 1024}
    - type: ExtensionRef
      extensionRef: {group: example.com, kind: Thing, name: thing}
    backendRefs:
    - {name: cart-v1, port: 80, weight: 90}
    - name: cart-v2
      namespace: other
      group: ''
      kind: Service
      port: 80
      weight: 10
      filters:
      - {type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: x, value: z}]}}
    timeouts: {request: 10s, backendRequest: 2500ms}
    retry: {codes: [500, 503], attempts: 3, backoff: 100ms}
    sessionPersistence:
      type: Cookie
      absoluteTimeout: 1h
      cookie: {name: session, path: /, lifetimeType: Permanent}
  - matches: [{path: {type: Exact, value: /old}}]
    filters:
    - type: RequestRedirect
      requestRedirect:
        scheme: https
        hostname: a.b
        port: 8443
        path: {type: ReplaceFullPath, replaceFullPath: /new}
        statusCode: 308
";

const OTHERS: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: cart, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: cart}]
  hostnames: [a.b]
  rules:
  - name: calls
    matches:
    - method: {type: Exact, service: shop.Cart, method: Add}
      headers: [{name: a, value: b}]
    filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {remove: [a]}}]
    backendRefs: [{name: cart, port: 7070, weight: 0}]
    sessionPersistence: {type: Header, header: {name: x-session}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: cart, namespace: shop}
spec:
  parentRefs: [{name: gate}]
  hostnames: [a.b]
  rules: [{name: x, backendRefs: [{name: cart, port: 443, weight: 2}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: {name: cart, namespace: shop}
spec:
  parentRefs: [{name: gate}]
  rules: [{backendRefs: [{name: cart, port: 443}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {name: cart, namespace: shop}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: edge}]
  to: [{group: '', kind: Service}, {group: '', kind: Secret, name: tls}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: cart, namespace: shop}
spec:
  targetRefs: [{group: '', kind: Service, name: cart, sectionName: https}]
  validation:
    caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]
    hostname: a.b
    subjectAltNames: [{type: Hostname, hostname: a.b}, {type: URI, uri: 'spiffe://a/b'}]
  options: {example.com/option: value}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: ambit-waypoint, labels: {istio.io/waypoint-for: all}}
spec:
  controllerName: ambit.mesh/controller
  description: waypoints
  parametersRef: {group: '', kind: ConfigMap, name: a, namespace: b}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gate, namespace: edge}
spec:
  gatewayClassName: ambit
  addresses: [{type: IPAddress, value: 192.0.2.1}]
  infrastructure:
    labels: {a: b}
    annotations: {c: d}
    parametersRef: {group: '', kind: ConfigMap, name: a}
  listeners:
  - name: https
    port: 443
    protocol: HTTPS
    hostname: '*.example.com'
    tls:
      mode: Terminate
      certificateRefs: [{name: tls, namespace: certs, group: '', kind: Secret}]
      options: {a/b: c}
    allowedRoutes:
      kinds: [{group: gateway.networking.k8s.io, kind: HTTPRoute}]
      namespaces:
        from: Selector
        selector: {matchLabels: {a: b}, matchExpressions: [{key: c, operator: Exists}]}
";

fn read(text: &str) -> Vec<Object> {
    match read_text(Path::new("routes.yaml"), text) {
        Ok(resources) => resources.objects.into_iter().map(|loaded| loaded.object).collect(),
        Err(problems) => panic!("{}\n{text}", problems[0]),
    }
}

#[test]
fn every_field_is_read_and_written_back() {
    for object in read(HTTP_ROUTE).into_iter().chain(read(OTHERS)) {
        let text = to_yaml(&object).unwrap();
        assert_eq!(read(&text), [object], "{text}");
    }
    let Object::HTTPRoute(route) = &read(HTTP_ROUTE)[0] else { panic!() };
    let rule = &route.spec.rules[0];
    assert_eq!(rule.timeouts.unwrap().backend_request.unwrap().to_string(), "2s500ms");
    assert_eq!(rule.filters.len(), 8);
    assert_eq!(rule.backend_refs[1].object().of(), ("", "Service"));
    assert_eq!(route.spec.parent_refs[0].of(), ("", "Service"));
    assert_eq!(route.spec.parent_refs[1].of(), ("gateway.networking.k8s.io", "Gateway"));
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| (String::from(*key), String::from(*value))).collect()
}

#[test]
fn label_selectors() {
    use ambit_kubernetes::gateway_api::{Requirement, RequirementOperator::*};
    let selector = |operator, values: &[&str]| LabelSelector {
        match_labels: labels(&[("a", "b")]),
        match_expressions: vec![Requirement {
            key: "c".to_owned(),
            operator,
            values: values.iter().map(ToString::to_string).collect(),
        }],
    };
    let (absent, one, other) = ([("a", "b")], [("a", "b"), ("c", "1")], [("a", "b"), ("c", "2")]);
    for (selector, expected) in [
        (selector(In, &["1"]), [false, true, false]),
        (selector(NotIn, &["1"]), [true, false, true]),
        (selector(Exists, &[]), [false, true, true]),
        (selector(DoesNotExist, &[]), [true, false, false]),
    ] {
        let found = [&absent[..], &one, &other].map(|set| selector.matches(&labels(set)));
        assert_eq!(found, expected, "{selector:?}");
        assert!(!selector.matches(&labels(&[("c", "1")])), "matchLabels count, too");
    }
    assert!(LabelSelector::default().matches(&BTreeMap::new()));
}

#[test]
fn grants() {
    let objects = read(OTHERS);
    let grant: &ReferenceGrant = objects
        .iter()
        .find_map(|object| match object {
            Object::ReferenceGrant(grant) => Some(grant),
            _ => None,
        })
        .unwrap();
    let from = ("gateway.networking.k8s.io", "HTTPRoute", "edge");
    assert!(grant.permits(from, ("", "Service", "anything")));
    assert!(grant.permits(from, ("", "Secret", "tls")));
    for (from, to) in [
        (from, ("", "Secret", "other")),
        (from, ("", "ConfigMap", "tls")),
        (("gateway.networking.k8s.io", "GRPCRoute", "edge"), ("", "Service", "a")),
        (("gateway.networking.k8s.io", "HTTPRoute", "shop"), ("", "Service", "a")),
        (("", "HTTPRoute", "edge"), ("", "Service", "a")),
    ] {
        assert!(!grant.permits(from, to), "{from:?} {to:?}");
    }
}

#[test]
fn listeners_admit_their_own_namespace_unless_they_say_otherwise() {
    let gateway = |allowed: &str| -> Arc<Gateway> {
        let text = format!(
            "{{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {{name: a, namespace: shop}}, spec: {{gatewayClassName: a, listeners: [{{name: mesh, port: 15008, protocol: HBONE{allowed}}}]}}}}"
        );
        let Object::Gateway(gateway) = read(&text).remove(0) else { panic!() };
        gateway
    };
    for (allowed, expected) in [
        ("", [true, false, false]),
        (", allowedRoutes: {namespaces: {from: Same}}", [true, false, false]),
        (", allowedRoutes: {namespaces: {from: All}}", [true, true, true]),
        (", allowedRoutes: {namespaces: {from: None}}", [false, false, false]),
        (
            ", allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {mesh: 'yes'}}}}",
            [false, true, false],
        ),
    ] {
        let gateway = gateway(allowed);
        let admits = |namespace: &str, set: &[(&str, &str)]| {
            gateway.spec.listeners[0].admits(namespace, &labels(set), &gateway.metadata.namespace)
        };
        let found = [admits("shop", &[]), admits("other", &[("mesh", "yes")]), admits("other", &[])];
        assert_eq!(found, expected, "{allowed}");
    }
}
