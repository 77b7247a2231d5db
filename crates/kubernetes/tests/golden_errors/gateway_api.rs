//! Gateway API objects.

use super::{complaints, only};

fn object(kind: &str, spec: &str) -> String {
    let indented: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\nmetadata: {{name: cart, namespace: default}}\nspec:\n{indented}"
    )
}

/// An HTTPRoute of one rule, which holds these lines, the first of which is line 7.
fn rule(lines: &str) -> String {
    let mut lines = lines.lines();
    let first = lines.next().unwrap_or_default();
    let rest: String = lines.map(|line| format!("  {line}\n")).collect();
    object(
        "HTTPRoute",
        &format!("parentRefs: [{{group: '', kind: Service, name: cart}}]\nrules:\n- {first}\n{rest}"),
    )
}

/// The one complaint about a rule with these lines, without its place and object.
#[track_caller]
fn in_rule(lines: &str, expected: &str) {
    let found = complaints(&rule(lines));
    let place = ": HTTPRoute default/cart: spec.rules[0]";
    let told: Vec<&str> = found.iter().filter_map(|line| Some(line.split_once(place)?.1)).collect();
    assert_eq!(told, [expected], "{found:?} for:\n{lines}");
}

#[track_caller]
fn in_spec(kind: &str, spec: &str, expected: &str) {
    let found = complaints(&object(kind, spec));
    let place = format!("{kind} default/cart: ");
    let told: Vec<&str> = found.iter().filter_map(|line| Some(line.split_once(&*place)?.1)).collect();
    assert_eq!(told, [expected], "{found:?} for:\n{spec}");
}

#[test]
fn the_line_is_that_of_the_field() {
    only(
        &rule("matches:\n- path:\n    value: cart"),
        "shop.yaml:9: HTTPRoute default/cart: spec.rules[0].matches[0].path.value: \"cart\" does not begin with /; write the path from its beginning",
    );
}

#[test]
fn unknown_fields_values_and_versions() {
    in_rule(
        "filtres: []",
        ": unknown field \"filtres\"; use one of name, matches, filters, backendRefs, timeouts, retry, sessionPersistence",
    );
    in_rule(
        "filters:\n- type: RequestHeaderModifer",
        ".filters[0].type: \"RequestHeaderModifer\" is not a known value; use one of RequestHeaderModifier, ResponseHeaderModifier, RequestMirror, RequestRedirect, URLRewrite, CORS, ExternalAuth, ExtensionRef",
    );
    in_rule("matches: []", ".matches: this list is empty; give it an item, or remove the field");
    only(
        "apiVersion: gateway.networking.k8s.io/v1alpha2\nkind: HTTPRoute\nmetadata: {name: a, namespace: default}\n",
        "shop.yaml:1: HTTPRoute default/a: apiVersion \"gateway.networking.k8s.io/v1alpha2\" is not supported; use gateway.networking.k8s.io/v1",
    );
    only(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: GRPCRoute\nmetadata: {name: a, namespace: default}\nspec: {}\nrules: []\n",
        "shop.yaml:5: GRPCRoute default/a: unknown field \"rules\"; use one of apiVersion, kind, metadata, spec, status",
    );
}

#[test]
fn older_versions_that_exist_are_read() {
    for (version, kind, spec) in [
        ("v1beta1", "HTTPRoute", "{parentRefs: [{name: gate}]}"),
        ("v1alpha2", "GRPCRoute", "{parentRefs: [{name: gate}]}"),
        ("v1alpha2", "TLSRoute", "{parentRefs: [{name: gate}]}"),
        ("v1alpha3", "TLSRoute", "{parentRefs: [{name: gate}]}"),
        ("v1alpha2", "TCPRoute", "{parentRefs: [{name: gate}]}"),
        (
            "v1beta1",
            "ReferenceGrant",
            "{from: [{group: '', kind: A, namespace: b}], to: [{group: '', kind: S}]}",
        ),
        ("v1beta1", "GatewayClass", "{controllerName: ambit.mesh/controller}"),
        ("v1beta1", "Gateway", "{gatewayClassName: a, listeners: [{name: http, port: 80, protocol: HTTP}]}"),
    ] {
        let text = format!(
            "apiVersion: gateway.networking.k8s.io/{version}\nkind: {kind}\nmetadata: {{name: a, namespace: default}}\nspec: {spec}\n"
        );
        assert_eq!(complaints(&text), [""; 0], "{text}");
    }
}

#[test]
fn parents() {
    in_spec(
        "HTTPRoute",
        "rules: []",
        "spec.parentRefs: the route is attached to nothing; name a Gateway or Service",
    );
    in_spec(
        "TCPRoute",
        "parentRefs: [{name: ''}]",
        "spec.parentRefs[0].name: the reference has no name; set name",
    );
    let twice = "this parent is named twice; keep one, or give each its own sectionName or port";
    for refs in [
        "{name: a}, {kind: Gateway, name: a}",
        "{name: a}, {name: a, port: 80}",
        "{name: a, port: 80}, {name: a}",
        "{name: a, port: 80}, {name: a, port: 80}",
        "{name: a, sectionName: x}, {group: gateway.networking.k8s.io, name: a, sectionName: x}",
    ] {
        in_spec("HTTPRoute", &format!("parentRefs: [{refs}]"), &format!("spec.parentRefs[1]: {twice}"));
    }
    for refs in [
        "{name: a, port: 80}, {name: a, port: 81}",
        "{name: a}, {name: b}",
        "{name: a}, {name: a, namespace: other}",
        "{name: a}, {group: '', kind: Service, name: a}",
    ] {
        assert_eq!(complaints(&object("HTTPRoute", &format!("parentRefs: [{refs}]"))), [""; 0], "{refs}");
    }
    in_spec(
        "HTTPRoute",
        "parentRefs: [{name: a}]\nuseDefaultGateways: All",
        "spec.useDefaultGateways: there are no default Gateways here; name the Gateway in parentRefs",
    );
}

#[test]
fn host_names() {
    for name in ["10.0.0.1", "A.example.com", "a.*.com", "*", "fd00::1"] {
        in_spec(
            "HTTPRoute",
            &format!("parentRefs: [{{name: a}}]\nhostnames: ['{name}']"),
            &format!(
                "spec.hostnames[0]: \"{name}\" is not a host name; use letters of lower case as in www.example.com or *.example.com, no address"
            ),
        );
    }
    let fine = "parentRefs: [{name: a}]\nhostnames: ['*.example.com', example.com]";
    assert_eq!(
        complaints(&object("TLSRoute", &format!("{fine}\nrules: [{{backendRefs: [{{name: a, port: 1}}]}}]"))),
        [""; 0]
    );
}

#[test]
fn paths_that_no_request_has_after_normalisation() {
    for (path, part) in [
        ("/a//b", "//"),
        ("/a/./b", "/./"),
        ("/a/../b", "/../"),
        ("/a%2Fb", "%2f"),
        ("/a%2fb", "%2f"),
        ("/a#b", "#"),
        ("/a/.", "/."),
        ("/a/..", "/.."),
    ] {
        in_rule(
            &format!("matches: [{{path: {{type: Exact, value: '{path}'}}}}]"),
            &format!(
                ".matches[0].path.value: \"{path}\" holds {part}, which no request's path has; write the path as it is after normalisation"
            ),
        );
    }
    in_rule(
        "matches: [{path: {value: '/a b'}}]",
        ".matches[0].path.value: \"/a b\" is not a path; write other bytes as %XX",
    );
    in_rule(
        "matches: [{path: {value: '/a%2'}}]",
        ".matches[0].path.value: \"/a%2\" is not a path; write other bytes as %XX",
    );
    let fine = "matches: [{path: {value: '/a%20b'}}, {path: {type: RegularExpression, value: '/a(//|b)'}}]";
    assert_eq!(complaints(&rule(fine)), [""; 0]);
}

#[test]
fn expressions() {
    let bad = "is not an expression; write it in RE2's syntax";
    in_rule(
        "matches: [{path: {type: RegularExpression, value: '/a('}}]",
        &format!(".matches[0].path.value: \"/a(\" {bad}"),
    );
    // Neither look-around nor back references can be matched in bounded time.
    for text in ["(?!a)", "(a)\\1"] {
        in_rule(
            &format!("matches: [{{headers: [{{type: RegularExpression, name: b, value: '{text}'}}]}}]"),
            &format!(".matches[0].headers[0].value: \"{text}\" {bad}"),
        );
    }
    in_rule(
        "matches: [{queryParams: [{type: RegularExpression, name: q, value: '((a{999}){999}){999}'}]}]",
        ".matches[0].queryParams[0].value: \"((a{999}){999}){999}\" is too large an expression; make its repetitions smaller",
    );
    in_spec(
        "GRPCRoute",
        "parentRefs: [{name: a}]\nrules: [{matches: [{method: {type: RegularExpression, method: '['}}]}]",
        &format!("spec.rules[0].matches[0].method.method: \"[\" {bad}"),
    );
}

#[test]
fn methods_headers_and_queries() {
    in_rule(
        "matches: [{method: get}]",
        ".matches[0].method: \"get\" is not a method; use one of GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, PATCH",
    );
    in_rule(
        "matches: [{headers: [{name: ':path', value: a}]}]",
        ".matches[0].headers[0].name: \":path\" is not a header's name; use letters, digits and -",
    );
    in_rule(
        "matches: [{headers: [{name: Version, value: a}, {name: version, value: b}]}]",
        ".matches[0].headers[1].name: \"version\" is matched twice, and only the first counts; keep one",
    );
    in_rule(
        "matches: [{queryParams: [{name: a, value: ''}]}]",
        ".matches[0].queryParams[0].value: the value is empty; write the value to compare with",
    );
}

#[test]
fn filters_say_what_they_are() {
    in_rule("filters: [{type: URLRewrite}]", ".filters[0]: URLRewrite needs urlRewrite; set urlRewrite");
    in_rule(
        "filters: [{type: URLRewrite, urlRewrite: {}, cors: {}}]",
        ".filters[0].cors: cors does not go with type URLRewrite; remove it, or correct the type",
    );
    in_rule(
        "filters: [{type: CORS, cors: {}}, {type: CORS, cors: {}}]",
        ".filters[1].type: CORS is here twice; make one of both",
    );
    in_rule(
        "filters: [{type: URLRewrite, urlRewrite: {}}, {type: RequestRedirect, requestRedirect: {}}]",
        ".filters: RequestRedirect and URLRewrite exclude each other; keep one of them",
    );
    in_rule(
        "filters: [{type: RequestRedirect, requestRedirect: {}}]\nbackendRefs: [{name: a, port: 80}]",
        ".backendRefs: a rule that redirects sends nothing to backends; remove them, or the RequestRedirect",
    );
}

#[test]
fn what_filters_hold() {
    for (filter, expected) in [
        (
            "type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: 'a b', value: c}]}",
            "requestHeaderModifier.set[0].name: \"a b\" is not a header's name; use letters, digits and -",
        ),
        (
            "type: ResponseHeaderModifier, responseHeaderModifier: {add: [{name: a, value: \"b\\nc\"}]}",
            "responseHeaderModifier.add[0].value: \"b\\nc\" is not a header's value; write one line of text",
        ),
        (
            "type: RequestHeaderModifier, requestHeaderModifier: {remove: ['']}",
            "requestHeaderModifier.remove[0]: \"\" is not a header's name; use letters, digits and -",
        ),
        (
            "type: RequestMirror, requestMirror: {backendRef: {name: a, port: 80}, percent: 101}",
            "requestMirror.percent: 101 is out of range; use 0 to 100",
        ),
        (
            "type: RequestMirror, requestMirror: {backendRef: {name: a, port: 80}, percent: 1, fraction: {numerator: 1}}",
            "requestMirror: percent and fraction exclude each other; keep one of them",
        ),
        (
            "type: RequestMirror, requestMirror: {backendRef: {name: a, port: 80}, fraction: {numerator: 1, denominator: 0}}",
            "requestMirror.fraction: 1 of 0 is not a share; use 0 to the denominator, which is at least 1",
        ),
        (
            "type: RequestMirror, requestMirror: {backendRef: {name: a}}",
            "requestMirror.backendRef.port: a Service needs a port here; set port",
        ),
        (
            "type: RequestRedirect, requestRedirect: {scheme: ftp}",
            "requestRedirect.scheme: \"ftp\" is not a scheme to redirect to; use http or https",
        ),
        (
            "type: RequestRedirect, requestRedirect: {statusCode: 304}",
            "requestRedirect.statusCode: 304 is not the status of a redirect; use 301, 302, 303, 307 or 308",
        ),
        (
            "type: RequestRedirect, requestRedirect: {hostname: '*.a'}",
            "requestRedirect.hostname: \"*.a\" is not a host name; use letters of lower case as in www.example.com, no address and no *",
        ),
        (
            "type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath}}",
            "urlRewrite.path: ReplaceFullPath needs replaceFullPath; set replaceFullPath",
        ),
        (
            "type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: '/a?b'}}",
            "urlRewrite.path.replaceFullPath: \"/a?b\" is not a path; write one without ?, # and spaces",
        ),
        (
            "type: CORS, cors: {allowOrigins: [example.com]}",
            "cors.allowOrigins[0]: \"example.com\" is not an origin; write scheme://host or scheme://host:port, or * alone",
        ),
        (
            "type: CORS, cors: {allowMethods: ['*', GET]}",
            "cors.allowMethods: * stands beside others; keep * alone, or remove it",
        ),
        (
            "type: CORS, cors: {maxAge: 0}",
            "cors.maxAge: 0 is out of range; use at least 1, or leave it out for 5",
        ),
    ] {
        in_rule(&format!("filters: [{{{filter}}}]"), &format!(".filters[0].{expected}"));
        in_rule(
            &format!("backendRefs: [{{name: a, port: 80, filters: [{{{filter}}}]}}]"),
            &format!(".backendRefs[0].filters[0].{expected}"),
        );
    }
}

#[test]
fn a_replaced_prefix_needs_one_prefix() {
    let filter = "filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]";
    let reason = ".filters[0]: ReplacePrefixMatch needs a rule with exactly one match, of type PathPrefix; split the rule, or use ReplaceFullPath";
    in_rule(&format!("matches: [{{path: {{type: Exact, value: /a}}}}]\n{filter}"), reason);
    in_rule(&format!("matches: [{{path: {{value: /a}}}}, {{path: {{value: /b}}}}]\n{filter}"), reason);
    assert_eq!(complaints(&rule(&format!("matches: [{{path: {{value: /a}}}}]\n{filter}"))), [""; 0]);
    assert_eq!(complaints(&rule(filter)), [""; 0]);
}

#[test]
fn backends_and_limits() {
    in_rule("backendRefs: [{name: a}]", ".backendRefs[0].port: a Service needs a port here; set port");
    in_rule(
        "backendRefs: [{name: a, port: 80, weight: 1000001}]",
        ".backendRefs[0].weight: 1000001 is out of range; use 0 to 1000000",
    );
    in_rule(
        "backendRefs: [{name: a, port: 80, weight: -1}]",
        ".backendRefs[0].weight: -1 is out of range; use 0 to 4294967295",
    );
    in_rule(
        "timeouts: {request: 1s, backendRequest: 2s}",
        ".timeouts.backendRequest: one try may not take longer than the whole request; make it at most timeouts.request",
    );
    in_rule(
        "timeouts: {request: 1.5s}",
        ".timeouts.request: \"1.5s\" is not a duration; write one such as 10s, 500ms or 1h30m, with at most four parts of at most five digits",
    );
    in_rule("retry: {codes: [302]}", ".retry.codes[0]: 302 is not the status of a failure; use 400 to 599");
    assert_eq!(complaints(&rule("timeouts: {request: 0s, backendRequest: 2s}")), [""; 0]);
}

#[test]
fn sessions() {
    in_rule(
        "sessionPersistence: {type: Header}",
        ".sessionPersistence: type Header needs header; set header.name",
    );
    in_rule(
        "sessionPersistence: {type: Header, header: {name: x}, cookie: {}}",
        ".sessionPersistence.cookie: cookie does not go with type Header; remove it",
    );
    in_rule(
        "sessionPersistence: {cookie: {lifetimeType: Permanent}}",
        ".sessionPersistence.absoluteTimeout: a permanent cookie needs absoluteTimeout; set it",
    );
    in_rule(
        "sessionPersistence: {cookie: {name: 'a b'}}",
        ".sessionPersistence.cookie.name: \"a b\" is not the name of a cookie or header; use letters, digits, - and _",
    );
}

#[test]
fn names_of_rules() {
    in_spec(
        "HTTPRoute",
        "parentRefs: [{name: a}]\nrules: [{name: x}, {name: x}]",
        "spec.rules[1].name: the name \"x\" is taken; use another",
    );
}

#[test]
fn grpc_routes() {
    let rule =
        |rule: &str| format!("parentRefs: [{{group: '', kind: Service, name: a}}]\nrules: [{{{rule}}}]");
    in_spec(
        "GRPCRoute",
        &rule("matches: [{method: {type: Exact}}]"),
        "spec.rules[0].matches[0].method: neither service nor method is set; set one of them, or remove the field",
    );
    in_spec(
        "GRPCRoute",
        &rule("matches: [{method: {service: 'a/b'}}]"),
        "spec.rules[0].matches[0].method.service: \"a/b\" is not the name of a gRPC service; use letters, digits and _, as in package.Service",
    );
    in_spec(
        "GRPCRoute",
        &rule("filters: [{type: URLRewrite, urlRewrite: {}}]"),
        "spec.rules[0].filters[0].type: URLRewrite is no filter of a GRPCRoute; remove it",
    );
    in_spec(
        "GRPCRoute",
        &rule("timeouts: {request: 1s}"),
        "spec.rules[0]: unknown field \"timeouts\"; use one of name, matches, filters, backendRefs, sessionPersistence",
    );
}

#[test]
fn gateways() {
    let listeners = |listeners: &str| format!("gatewayClassName: ambit-waypoint\nlisteners: [{listeners}]");
    in_spec("Gateway", "gatewayClassName: a", "spec.listeners: a Gateway without listeners; add one");
    in_spec(
        "Gateway",
        &listeners("{name: a, port: 80, protocol: HTTP}, {name: a, port: 81, protocol: HTTP}"),
        "spec.listeners[1].name: the name \"a\" is taken; use another",
    );
    in_spec(
        "Gateway",
        &listeners("{name: a, port: 80, protocol: HTTP}, {name: b, port: 80, protocol: HTTP}"),
        "spec.listeners[1]: another listener has the same port, protocol and hostname; make them differ",
    );
    in_spec(
        "Gateway",
        &listeners("{name: a, port: 443, protocol: HTTPS}"),
        "spec.listeners[0].tls: HTTPS needs tls; set tls",
    );
    in_spec(
        "Gateway",
        &listeners("{name: a, port: 443, protocol: TLS, tls: {mode: Terminate}}"),
        "spec.listeners[0].tls.certificateRefs: TLS that ends here needs a certificate; name a Secret",
    );
    in_spec(
        "Gateway",
        &listeners("{name: mesh, port: 15008, protocol: HBONE, hostname: a.example.com}"),
        "spec.listeners[0].hostname: HBONE knows no host names; remove it",
    );
    in_spec(
        "Gateway",
        &listeners(
            "{name: mesh, port: 15008, protocol: HBONE, allowedRoutes: {namespaces: {from: Selector}}}",
        ),
        "spec.listeners[0].allowedRoutes.namespaces: from: Selector without selector admits nobody; set selector",
    );
    in_spec(
        "Gateway",
        &listeners(
            "{name: mesh, port: 15008, protocol: HBONE, allowedRoutes: {namespaces: {from: Selector, selector: {matchExpressions: [{key: a, operator: In}]}}}}",
        ),
        "spec.listeners[0].allowedRoutes.namespaces.selector.matchExpressions[0].values: In and NotIn need values; set values",
    );
}

#[test]
fn kinds_of_waypoint_traffic() {
    only(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata:\n  name: way\n  labels: {istio.io/waypoint-for: services}\nspec: {controllerName: ambit.mesh/controller}\n",
        "shop.yaml:5: GatewayClass way: metadata.labels[\"istio.io/waypoint-for\"]: \"services\" is not a kind of traffic; use service, workload, all or none",
    );
    only(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: way}\nspec: {controllerName: ambit}\n",
        "shop.yaml:4: GatewayClass way: spec.controllerName: \"ambit\" is not the name of a controller; write DOMAIN/PATH, such as ambit.mesh/controller",
    );
}

#[test]
fn grants_and_tls_to_backends() {
    in_spec(
        "ReferenceGrant",
        "from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop}]",
        "spec.to: nothing is listed; set to, or remove the object",
    );
    in_spec(
        "BackendTLSPolicy",
        "targetRefs: [{group: '', kind: Service, name: a}]\nvalidation: {hostname: a.example.com}",
        "spec.validation: nothing says which authorities are trusted; set caCertificateRefs, or wellKnownCACertificates: System",
    );
    in_spec(
        "BackendTLSPolicy",
        "targetRefs: [{group: '', kind: Service, name: a}]\nvalidation: {wellKnownCACertificates: System}",
        "spec.validation.hostname: \"\" is not a host name; use letters of lower case as in www.example.com, no address and no *",
    );
    in_spec(
        "BackendTLSPolicy",
        "targetRefs: [{group: '', kind: Service, name: a}]\nvalidation: {hostname: a.b, wellKnownCACertificates: System, subjectAltNames: [{type: URI, uri: a}]}",
        "spec.validation.subjectAltNames[0].uri: \"a\" is not an absolute URI; write one such as spiffe://DOMAIN/PATH",
    );
}
