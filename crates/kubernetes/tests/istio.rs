//! Istio's objects for requests: what is read as it is written, and what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use ambit_kubernetes::{Object, read_text, to_yaml};

fn yaml(group: &str, kind: &str, spec: &str) -> String {
    format!(
        "apiVersion: {group}.istio.io/v1\nkind: {kind}\nmetadata: {{name: a, namespace: default}}\nspec:\n  {}\n",
        spec.replace('\n', "\n  ")
    )
}

#[track_caller]
fn read(text: &str) -> Object {
    match read_text(Path::new("a.yaml"), text) {
        Ok(mut resources) => resources.objects.remove(0).object,
        Err(problems) => panic!("{}\n{text}", problems[0]),
    }
}

/// Read, written and read again, it is the same.
#[track_caller]
fn whole(group: &str, kind: &str, spec: &str) {
    let object = read(&yaml(group, kind, spec));
    assert_eq!(object.kind().name(), kind);
    assert_eq!(read(&to_yaml(&object).unwrap()), object);
}

/// The one problem, without its place and object.
#[track_caller]
fn refused(group: &str, kind: &str, spec: &str, expected: &str) {
    let problems = read_text(Path::new("a.yaml"), &yaml(group, kind, spec)).expect_err(spec);
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 1, "{told:#?}");
    let (_, told) = told[0].split_once("default/a: ").unwrap();
    assert!(told.starts_with(expected), "{told}");
}

#[test]
fn request_authentications() {
    const KIND: (&str, &str) = ("security", "RequestAuthentication");
    let rule = |rule: &str| format!("targetRefs: [{{kind: Service, name: a}}]\njwtRules: [{{{rule}}}]");
    whole(
        KIND.0,
        KIND.1,
        &rule(
            "issuer: a, audiences: [b], jwksUri: 'https://a/b', fromHeaders: [{name: x-a, prefix: 'B '}], fromParams: [c], fromCookies: [d], \
              outputPayloadToHeader: x-b, forwardOriginalToken: true, outputClaimToHeaders: [{header: x-c, claim: a.b}], timeout: 1.5s, spaceDelimitedClaims: [e]",
        ),
    );
    for (written, expected) in [
        ("audiences: [b]", "spec.jwtRules[0].issuer: the rule has no issuer"),
        ("issuer: a, jwks: '{}'", "spec.jwtRules[0].jwks: it is no key set"),
        ("issuer: a, jwks: '{', timeout: 1s", "spec.jwtRules[0].jwks: it is no JSON"),
        ("issuer: a, jwksUri: 'ftp://a'", "spec.jwtRules[0].jwksUri: \"ftp://a\" is not an address of keys"),
        ("issuer: a, jwksUri: 'https://u:p@a/b'", "spec.jwtRules[0].jwksUri: "),
        ("issuer: a, fromHeaders: [{name: 'a b'}]", "spec.jwtRules[0].fromHeaders[0].name: "),
        (
            "issuer: a, outputClaimToHeaders: [{header: b, claim: a..b}]",
            "spec.jwtRules[0].outputClaimToHeaders[0].claim: ",
        ),
        ("issuer: a, timeout: 1d", "spec.jwtRules[0].timeout: \"1d\" is not a duration"),
        ("issuer: a, jwkUri: b", "spec.jwtRules[0]: unknown field \"jwkUri\""),
    ] {
        refused(KIND.0, KIND.1, &rule(written), expected);
    }
}

#[test]
fn destination_rules() {
    const KIND: (&str, &str) = ("networking", "DestinationRule");
    whole(
        KIND.0,
        KIND.1,
        "host: '*.example.com'\nexportTo: ['.', b]\nworkloadSelector: {matchLabels: {a: b}}\ntrafficPolicy:\n  \
         loadBalancer: {consistentHash: {httpCookie: {name: c, ttl: 0s}, ringHash: {minimumRingSize: 9}}, warmup: {duration: 1s, aggression: 1.5}, localityLbSetting: {distribute: [{from: a/*, to: {b: 40, c: 60}}]}}\n  \
         connectionPool: {tcp: {maxConnections: 1, connectTimeout: 30ms}, http: {http2MaxRequests: 1, h2UpgradePolicy: DO_NOT_UPGRADE}}\n  \
         outlierDetection: {consecutive5xxErrors: 1, interval: 1s}\n  retryBudget: {percent: 20.5}\n  tls: {mode: MUTUAL, credentialName: a}\n  \
         portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: ROUND_ROBIN}}]\nsubsets: [{name: v1, labels: {a: b}, trafficPolicy: {proxyProtocol: {version: V2}}}]",
    );
    let policy = |policy: &str| format!("host: a\ntrafficPolicy: {{{policy}}}");
    for (written, expected) in [
        ("host: 'a b'".to_owned(), "spec.host: \"a b\" is not a host"),
        ("host: a\nexportTo: [A]".to_owned(), "spec.exportTo[0]: \"A\" is not a namespace"),
        (
            "host: a\nsubsets: [{name: b}, {name: b}]".to_owned(),
            "spec.subsets[1].name: the subset \"b\" is here twice",
        ),
        (
            policy("loadBalancer: {simple: FASTEST}"),
            "spec.trafficPolicy.loadBalancer.simple: \"FASTEST\" is not a known value",
        ),
        (
            policy("loadBalancer: {consistentHash: {}}"),
            "spec.trafficPolicy.loadBalancer.consistentHash: nothing is hashed",
        ),
        (
            policy("loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 65536}}}"),
            "spec.trafficPolicy.loadBalancer.consistentHash.maglev.tableSize: 65536 is not a prime",
        ),
        (
            policy("loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {b: 50}}]}}"),
            "spec.trafficPolicy.loadBalancer.localityLbSetting.distribute[0].to: its weights do not make 100",
        ),
        (
            policy("connectionPool: {tcp: {maxConnections: -1}}"),
            "spec.trafficPolicy.connectionPool.tcp.maxConnections: -1 is out of range",
        ),
        (
            policy("outlierDetection: {maxEjectionPercent: 101}"),
            "spec.trafficPolicy.outlierDetection.maxEjectionPercent: 101 is out of range",
        ),
        (policy("retryBudget: {percent: .nan}"), "spec.trafficPolicy.retryBudget.percent: "),
        (
            policy("tls: {mode: SIMPLE, privateKey: a}"),
            "spec.trafficPolicy.tls.privateKey: SIMPLE shows no certificate",
        ),
        (
            policy("tls: {mode: MUTUAL, clientCertificate: a}"),
            "spec.trafficPolicy.tls.privateKey: MUTUAL needs it",
        ),
        (
            policy("portLevelSettings: [{loadBalancer: {simple: RANDOM}}]"),
            "spec.trafficPolicy.portLevelSettings[0].port: no port is named",
        ),
        (policy("loadBalancers: {}"), "spec.trafficPolicy: unknown field \"loadBalancers\""),
    ] {
        refused(KIND.0, KIND.1, &written, expected);
    }
}

#[test]
fn virtual_services() {
    const KIND: (&str, &str) = ("networking", "VirtualService");
    whole(
        KIND.0,
        KIND.1,
        "hosts: [a, '*.b.c']\ngateways: [mesh, d/e]\nexportTo: ['*']\nhttp:\n- name: f\n  match: [{uri: {prefix: /a}, headers: {x: {}}, withoutHeaders: {z: {exact: w}}, queryParams: {q: {regex: '.*'}}, port: 80, sourceLabels: {a: b}, sourceNamespace: c, ignoreUriCase: true}]\n  \
         route: [{destination: {host: a, subset: v1, port: {number: 80}}, weight: 1, headers: {request: {set: {a: b}, add: {c: d}, remove: [e]}}}]\n  \
         rewrite: {uriRegexRewrite: {match: '^/a', rewrite: /b}}\n  timeout: 0s\n  retries: {attempts: 2, perTryTimeout: 1s, retryOn: '5xx,503', backoff: 25ms}\n  \
         fault: {delay: {fixedDelay: 1s, percentage: {value: 0.1}}, abort: {httpStatus: 500, percentage: {value: 1}}}\n  mirror: {host: b}\n  mirrorPercentage: {value: 5}\n  \
         corsPolicy: {allowOrigins: [{exact: a}], allowMethods: [GET], maxAge: 24h}\n- redirect: {uri: /b, redirectCode: 302, derivePort: FROM_REQUEST_PORT}\n- directResponse: {status: 200, body: {string: a}}\n- delegate: {name: g}\n\
         tls: [{match: [{sniHosts: [a.b], destinationSubnets: [10.0.0.0/8]}], route: [{destination: {host: a}}]}]\ntcp: [{match: [{port: 1, sourceNamespace: x}], route: [{destination: {host: a}}]}]",
    );
    let rule = |rule: &str| format!("hosts: [a]\nhttp: [{{{rule}}}]");
    let to = |rest: &str| rule(&format!("route: [{{destination: {{host: a}}}}], {rest}"));
    for (written, expected) in [
        ("hosts: [a]".to_owned(), "spec: it says nothing"),
        (rule("timeout: 1s"), "spec.http[0]: one of route, redirect, directResponse and delegate"),
        (
            rule("route: [{destination: {host: '*.a'}}]"),
            "spec.http[0].route[0].destination.host: nothing can be sent to a wildcard",
        ),
        (
            rule("route: [{destination: {host: a}, weight: -1}]"),
            "spec.http[0].route[0].weight: -1 is out of range",
        ),
        (
            rule("route: [{destination: {host: a}}, {destination: {host: b}}]"),
            "spec.http[0].route: no destination has a weight",
        ),
        (to("match: [{uri: {}}]"), "spec.http[0].match[0].uri: it compares with nothing"),
        (
            to("match: [{uri: {exact: a, prefix: b}}]"),
            "spec.http[0].match[0].uri: exact, prefix and regex exclude each other",
        ),
        (to("match: [{uri: {regex: '('}}]"), "spec.http[0].match[0].uri.regex: \"(\" is not an expression"),
        (to("match: [{headers: {'a b': {exact: c}}}]"), "spec.http[0].match[0].headers[\"a b\"]: "),
        (
            to("retries: {attempts: 1, retryOn: sometimes}"),
            "spec.http[0].retries.retryOn: \"sometimes\" is not a condition",
        ),
        (to("fault: {abort: {httpStatus: 99}}"), "spec.http[0].fault.abort.httpStatus: 99 is out of range"),
        (
            to("fault: {abort: {grpcStatus: MAYBE}}"),
            "spec.http[0].fault.abort.grpcStatus: \"MAYBE\" is not a gRPC status",
        ),
        (
            to("fault: {delay: {fixedDelay: 1s, percentage: {value: 101}}}"),
            "spec.http[0].fault.delay.percentage.value: 101 is not a share",
        ),
        (
            rule("redirect: {redirectCode: 304}"),
            "spec.http[0].redirect.redirectCode: 304 is not the status of a redirect",
        ),
        (rule("directResponse: {status: 100}"), "spec.http[0].directResponse.status: 100 is out of range"),
        (
            "hosts: [a]\ntls: [{route: [{destination: {host: a}}]}]".to_owned(),
            "spec.tls[0].match: a tls rule needs a match",
        ),
        ("hosts: [a]\ntcp: [{}]".to_owned(), "spec.tcp[0].route: the rule leads nowhere"),
        (to("mirorr: {host: b}"), "spec.http[0]: unknown field \"mirorr\""),
    ] {
        refused(KIND.0, KIND.1, &written, expected);
    }
}

#[test]
fn service_entries() {
    const KIND: (&str, &str) = ("networking", "ServiceEntry");
    whole(
        KIND.0,
        KIND.1,
        "hosts: [a.example.com, '*.b.c']\naddresses: [10.0.0.1, 'fd00::1']\nlocation: MESH_INTERNAL\nresolution: STATIC\nexportTo: ['*']\nsubjectAltNames: [a]\n\
         ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]\nendpoints: [{address: 10.1.1.1, ports: {http: 81}, labels: {a: b}, network: n1, locality: r/z, weight: 2, serviceAccount: c}]",
    );
    for (written, expected) in [
        ("resolution: STATIC", "spec.hosts: no host is named"),
        ("hosts: [web]", "spec.hosts[0]: \"web\" is no full host name"),
        (
            "hosts: [a.b]\naddresses: [10.0.0.0/8]\nresolution: STATIC",
            "spec.addresses[0]: a block of addresses",
        ),
        (
            "hosts: [a.b]\nresolution: STATIC\nendpoints: [{address: c.d}]",
            "spec.endpoints[0].address: \"c.d\" is no address",
        ),
        (
            "hosts: [a.b]\nendpoints: [{address: 10.0.0.1}]",
            "spec.endpoints: resolution NONE has no endpoints",
        ),
        (
            "hosts: [a.b]\nports: [{number: 80, name: c}, {number: 80, name: d}]",
            "spec.ports[1].number: port 80 is here twice",
        ),
        ("hosts: [a.b]\nresolution: LATER", "spec.resolution: \"LATER\" is not a known value"),
    ] {
        refused(KIND.0, KIND.1, written, expected);
    }
}

#[test]
fn telemetries() {
    const KIND: (&str, &str) = ("telemetry", "Telemetry");
    whole(
        KIND.0,
        KIND.1,
        "targetRefs: [{kind: Service, name: a}]\ntracing: [{match: {mode: SERVER}, providers: [{name: a}], randomSamplingPercentage: 0.5, customTags: {a: {literal: {value: b}}}}]\n\
         metrics: [{overrides: [{match: {metric: ALL_METRICS, mode: CLIENT}, disabled: false, tagOverrides: {a: {operation: REMOVE}}}], reportingInterval: 5s}]\naccessLogging: [{disabled: true, filter: {expression: a}}]",
    );
    for (written, expected) in [
        (
            "tracing: [{randomSamplingPercentage: 101}]",
            "spec.tracing[0].randomSamplingPercentage: 101 is not a share",
        ),
        ("tracing: [{customTags: {a: {}}}]", "spec.tracing[0].customTags.a: a tag has a name and one source"),
        (
            "metrics: [{overrides: [{match: {metric: MANY}}]}]",
            "spec.metrics[0].overrides[0].match.metric: \"MANY\" is not a known value",
        ),
        (
            "selector: {}\ntargetRefs: [{kind: Service, name: a}]",
            "spec: only one of selector, targetRef and targetRefs",
        ),
    ] {
        refused(KIND.0, KIND.1, written, expected);
    }
}

#[test]
fn the_settings_of_the_mesh() {
    let map = |name: &str, text: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: default}}\ndata: {{mesh: '{text}'}}\n"
        )
    };
    assert_eq!(read(&map("istio", "{enableTracing: true}")).kind().name(), "ConfigMap");
    let others = read_text(Path::new("a.yaml"), &map("other", "{")).unwrap();
    assert!(others.objects.is_empty() && others.notes.len() == 1);
    for text in
        ["{enableTracin: true}", "{extensionProviders: 7}", "{pathNormalization: {normalization: MORE}}"]
    {
        let problems = read_text(Path::new("a.yaml"), &map("istio", text)).expect_err(text);
        assert!(problems[0].to_string().contains("ConfigMap default/istio: data.mesh: "), "{}", problems[0]);
    }
}
