//! Each kind of bad input gives its one line: place, object, field, reason, remedy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use ambit_kubernetes::{Problem, read_text, validate_set};

/// The complaints about a text, as lines.
fn complaints(text: &str) -> Vec<String> {
    match read_text(Path::new("shop.yaml"), text) {
        Ok(resources) => lines(validate_set(&resources.objects)),
        Err(problems) => lines(problems),
    }
}

fn lines(problems: Vec<Problem>) -> Vec<String> {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(lines.iter().all(|line| !line.contains('\n')), "{lines:?}");
    lines
}

#[track_caller]
fn only(text: &str, expected: &str) {
    assert_eq!(complaints(text), [expected], "for:\n{text}");
}

/// A policy whose `spec` holds these lines, the first of which is line 4.
fn policy(spec: &str) -> String {
    let indented: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: cart, namespace: default}}\nspec:\n{indented}"
    )
}

fn peer(spec: &str) -> String {
    policy(spec).replace("AuthorizationPolicy", "PeerAuthentication")
}

fn pod(rest: &str) -> String {
    format!("apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  namespace: default\n{rest}")
}

#[test]
fn yaml_that_is_not_yaml() {
    only(
        "kind: Pod\nmetadata: {name: web\n",
        "shop.yaml:2: not valid YAML: unclosed bracket '{'; correct the syntax",
    );
    only("a: 1\nb: 2\na: 3\n", "shop.yaml:3: the key \"a\" is here twice, first on line 1; keep one");
    only("a: !secret x\n", "shop.yaml:1: the tag \"!secret\" is not supported here; remove it");
    only("- a\n", "shop.yaml:1: this document is not an object; write apiVersion, kind and metadata");
}

#[test]
fn the_line_is_the_files_not_the_documents() {
    let text = format!(
        "# a comment\n---\n---\n{}---\n{}",
        pod(""),
        policy("rules:\n- from:\n  - source:\n      ipBlocks:\n      - 10.0.0.0/8\n      - 10.0.0.0/129")
    );
    only(
        &text,
        "shop.yaml:19: AuthorizationPolicy default/cart: spec.rules[0].from[0].source.ipBlocks[1]: \"10.0.0.0/129\" is not an IP block; use ADDRESS/PREFIX with a prefix of at most 32",
    );
}

#[test]
fn every_problem_is_reported_and_none_hides_another() {
    let text = "kind: List\napiVersion: v1\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n- {apiVersion: v1, kind: Service, metadata: {namespace: default}}\n---\nkind: Pod\n---\n[\n";
    assert_eq!(
        complaints(text),
        [
            "shop.yaml:4: Pod a: metadata.namespace: the namespace is missing; set metadata.namespace",
            "shop.yaml:5: Service default/(without name): metadata.name: the name is missing; set metadata.name",
            "shop.yaml:7: Pod (without name): this object has no apiVersion; set apiVersion",
            "shop.yaml:9: not valid YAML: unclosed bracket '['; correct the syntax",
        ]
    );
}

#[test]
fn kinds() {
    only("metadata: {name: web}\n", "shop.yaml:1: this object has no kind; set apiVersion and kind");
    only(
        "apiVersion: v1\nkind: Podd\nmetadata: {name: web}\n",
        "shop.yaml:1: Podd web: v1/Podd is not supported; supported are v1 Namespace, Pod, Service, Node, ServiceAccount, List; discovery.k8s.io/v1 EndpointSlice; security.istio.io/v1 and v1beta1 AuthorizationPolicy, PeerAuthentication",
    );
    only(
        "apiVersion: security.istio.io/v1alpha1\nkind: AuthorizationPolicy\nmetadata: {name: a, namespace: default}\n",
        "shop.yaml:1: AuthorizationPolicy default/a: apiVersion \"security.istio.io/v1alpha1\" is not supported; use security.istio.io/v1",
    );
    only(
        "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: a, namespace: default}\n",
        "shop.yaml:1: RequestAuthentication default/a: security.istio.io/v1/RequestAuthentication restricts access, but nothing here would enforce it; use an AuthorizationPolicy, or move it out of this directory",
    );
}

#[test]
fn metadata() {
    only(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n",
        "shop.yaml:3: Pod web: metadata.namespace: the namespace is missing; set metadata.namespace",
    );
    only(
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: Shop\n",
        "shop.yaml:4: Namespace Shop: metadata.name: \"Shop\" is not a DNS label; use at most 63 of a-z, 0-9 and -, with a letter or digit at both ends",
    );
    only(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a_b, namespace: default}\n",
        "shop.yaml:3: ServiceAccount default/a_b: metadata.name: \"a_b\" is not a DNS name; use at most 253 of a-z, 0-9, - and ., with a letter or digit at both ends of each part",
    );
    only(
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n  labels:\n    istio.io/dataplane-mode: Ambient\n",
        "shop.yaml:6: Namespace shop: metadata.labels[\"istio.io/dataplane-mode\"]: \"Ambient\" is not a data plane mode; use ambient or none",
    );
    only(
        &pod("  labels:\n    version: 1.10\n"),
        "shop.yaml:7: Pod default/web: metadata.labels.version: the number 1.10 is not a text; put it in quotes",
    );
    only(
        &pod("  creationTimestamp: yesterday\n"),
        "shop.yaml:6: Pod default/web: metadata.creationTimestamp: \"yesterday\" is not a time; write one such as 2026-01-31T12:00:00Z",
    );
}

#[test]
fn pods() {
    only(
        &pod("  annotations:\n    ambit.mesh/netns: run/netns/web\n"),
        "shop.yaml:7: Pod default/web: metadata.annotations[\"ambit.mesh/netns\"]: \"run/netns/web\" is not an absolute path; name the namespace's file, such as /run/netns/web, without ..",
    );
    only(
        &pod("  annotations:\n    ambient.istio.io/dns-capture: \"maybe\"\n"),
        "shop.yaml:7: Pod default/web: metadata.annotations[\"ambient.istio.io/dns-capture\"]: \"maybe\" is not a boolean; use \"true\" or \"false\"",
    );
    only(
        &pod("spec:\n  containers:\n  - name: web\n    ports:\n    - containerPort: 70000\n"),
        "shop.yaml:10: Pod default/web: spec.containers[0].ports[0].containerPort: port 70000 is out of range; use a port from 1 to 65535",
    );
    only(
        &pod("spec:\n  containers:\n  - name: web\n    ports:\n    - name: http\n"),
        "shop.yaml:10: Pod default/web: spec.containers[0].ports[0]: containerPort is missing; set it",
    );
    only(
        &pod("spec:\n  hostNetwork: maybe\n"),
        "shop.yaml:7: Pod default/web: spec.hostNetwork: \"maybe\" is not true or false; write true or false",
    );
    only(
        &pod("spec:\n  containers: {}\n"),
        "shop.yaml:7: Pod default/web: spec.containers: a map is not a list; write a list",
    );
    only(
        &pod("spec:\n  serviceAccountName: a/b\n"),
        "shop.yaml:7: Pod default/web: spec.serviceAccountName: \"a/b\" is not a DNS name; use at most 253 of a-z, 0-9, - and ., with a letter or digit at both ends of each part",
    );
    only(
        &pod("status:\n  phase: Jogging\n"),
        "shop.yaml:7: Pod default/web: status.phase: \"Jogging\" is not a known value; use one of Pending, Running, Succeeded, Failed, Unknown",
    );
    only(
        &pod("status:\n  podIP: 10.0.0.256\n"),
        "shop.yaml:7: Pod default/web: status.podIP: \"10.0.0.256\" is not an IP address; write one such as 10.0.0.1 or fd00::1",
    );
    only(
        &pod("status:\n  podIPs:\n  - ip: 127.0.0.1\n"),
        "shop.yaml:8: Pod default/web: status.podIPs[0].ip: 127.0.0.1 cannot be a pod's or Service's address; use a unicast address of the pod network",
    );
    only(
        &pod("status:\n  podIPs:\n  - ip: ::ffff:10.0.0.1\n"),
        "shop.yaml:8: Pod default/web: status.podIPs[0].ip: ::ffff:10.0.0.1 is an IPv4 address in IPv6 form; write it as IPv4",
    );
    only(
        &pod("status:\n  podIP: 10.0.0.1\n  podIPs:\n  - ip: 10.0.0.2\n"),
        "shop.yaml:7: Pod default/web: status.podIP: 10.0.0.1 is not among podIPs; list it there too",
    );
}

#[test]
fn services_and_slices() {
    let service = |spec: &str| {
        format!("apiVersion: v1\nkind: Service\nmetadata: {{name: cart, namespace: default}}\nspec:\n{spec}")
    };
    only(
        &service("  ports:\n  - port: 0\n"),
        "shop.yaml:6: Service default/cart: spec.ports[0].port: port 0 is out of range; use a port from 1 to 65535",
    );
    only(
        &service("  ports:\n  - {port: 80, targetPort: 65536}\n"),
        "shop.yaml:6: Service default/cart: spec.ports[0].targetPort: port 65536 is out of range; use a port from 1 to 65535",
    );
    only(
        &service("  ports:\n  - {port: 80, targetPort: \"8080\"}\n"),
        "shop.yaml:6: Service default/cart: spec.ports[0].targetPort: \"8080\" is not a port name; use at most 15 of a-z, 0-9 and single -, with at least one letter",
    );
    only(
        &service("  ports:\n  - {port: 80, name: a}\n  - {port: 81}\n"),
        "shop.yaml:7: Service default/cart: spec.ports[1].name: one port of several has no name; name every port",
    );
    only(
        &service("  clusterIP: none\n"),
        "shop.yaml:5: Service default/cart: spec.clusterIP: \"none\" is not an IP address; write one such as 10.0.0.1 or fd00::1",
    );
    only(
        &service("  type: ExternalName\n"),
        "shop.yaml:4: Service default/cart: spec: a Service of type ExternalName has no externalName; set spec.externalName",
    );
    let slice = |rest: &str| {
        format!(
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: cart-1, namespace: default}}\n{rest}"
        )
    };
    only(&slice(""), "shop.yaml:1: EndpointSlice default/cart-1: addressType is missing; set it");
    only(
        &slice("addressType: IPv4\nendpoints:\n- addresses: [fd00::1]\n"),
        "shop.yaml:6: EndpointSlice default/cart-1: endpoints[0].addresses[0]: fd00::1 does not fit addressType IPv4; use a slice of the other type",
    );
}

#[test]
fn authorization_policies_refuse_what_they_do_not_know() {
    only(
        &policy("rule:\n- {}"),
        "shop.yaml:5: AuthorizationPolicy default/cart: spec: unknown field \"rule\"; use one of selector, targetRefs, targetRef, rules, action, provider",
    );
    only(
        &policy("rules:\n- from:\n  - source:\n      namespace: [shop]"),
        "shop.yaml:8: AuthorizationPolicy default/cart: spec.rules[0].from[0].source: unknown field \"namespace\"; use one of principals, notPrincipals, requestPrincipals, notRequestPrincipals, namespaces, notNamespaces, serviceAccounts, notServiceAccounts, ipBlocks, notIpBlocks, remoteIpBlocks, notRemoteIpBlocks",
    );
    only(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: cart, namespace: default}\nrules: []\n",
        "shop.yaml:4: AuthorizationPolicy default/cart: unknown field \"rules\"; use one of apiVersion, kind, metadata, spec, status",
    );
    only(
        &policy("rules:\n- from:\n  to:\n  - operation: {ports: [\"80\"]}"),
        "shop.yaml:6: AuthorizationPolicy default/cart: spec.rules[0].from: this field is empty; give it a value, or remove it",
    );
    only(
        &policy("rules:\n- from: []"),
        "shop.yaml:6: AuthorizationPolicy default/cart: spec.rules[0].from: this list is empty; give it an item, or remove the field",
    );
    only(
        &policy(""),
        "shop.yaml:4: AuthorizationPolicy default/cart: spec: this field is empty; write {} for nothing, or give it a value",
    );
    only(
        &policy("action: ALOW"),
        "shop.yaml:5: AuthorizationPolicy default/cart: spec.action: \"ALOW\" is not a known value; use one of ALLOW, DENY, AUDIT, CUSTOM",
    );
    only(
        &policy("rules:\n- to:\n  - operation:\n      ports: [8080]"),
        "shop.yaml:8: AuthorizationPolicy default/cart: spec.rules[0].to[0].operation.ports[0]: the number 8080 is not a text; put it in quotes",
    );
}

#[test]
fn authorization_policies_by_istios_rules() {
    only(
        &policy("selector: {matchLabels: {app: cart}}\ntargetRefs:\n- {kind: Service, name: cart}"),
        "shop.yaml:4: AuthorizationPolicy default/cart: spec: only one of selector, targetRef and targetRefs can be set; keep the one that you mean",
    );
    only(
        &policy("selector:\n  matchLabels:\n    app: c*"),
        "shop.yaml:7: AuthorizationPolicy default/cart: spec.selector.matchLabels.app: wildcards are not supported in selectors; write the whole label",
    );
    only(
        &policy("targetRef: {kind: Deployment, group: apps, name: cart}"),
        "shop.yaml:5: AuthorizationPolicy default/cart: spec.targetRef: group \"apps\" kind \"Deployment\" cannot be a target; use a Gateway or GatewayClass (gateway.networking.k8s.io), a Service or a ServiceEntry",
    );
    only(
        &policy("targetRef: {kind: Service, name: cart, namespace: other}"),
        "shop.yaml:5: AuthorizationPolicy default/cart: spec.targetRef.namespace: targets in other namespaces are not allowed; remove it, and put the policy into the target's namespace",
    );
    only(
        &policy("action: DENY"),
        "shop.yaml:4: AuthorizationPolicy default/cart: spec.rules: DENY without rules is meaningless: it never matches; add the rule {} to match everything",
    );
    only(
        &policy("action: CUSTOM\nrules: [{}]"),
        "shop.yaml:4: AuthorizationPolicy default/cart: spec.provider: CUSTOM needs a provider; set provider.name",
    );
    only(
        &policy("action: CUSTOM\nprovider: {name: x}\nrules:\n- from:\n  - source: {principals: [a]}"),
        "shop.yaml:9: AuthorizationPolicy default/cart: spec.rules[0].from[0].source.principals: CUSTOM cannot match identities; remove it, or use ALLOW or DENY",
    );
    only(
        &policy("provider: {name: x}"),
        "shop.yaml:5: AuthorizationPolicy default/cart: spec.provider: a provider goes with CUSTOM only, not with ALLOW; remove it, or use CUSTOM",
    );
    only(
        &policy("rules:\n- from:\n  - source: {}"),
        "shop.yaml:7: AuthorizationPolicy default/cart: spec.rules[0].from[0].source: a source without any field would match everything; give it a field, or remove it",
    );
    only(
        &policy("rules:\n- to:\n  - {}"),
        "shop.yaml:7: AuthorizationPolicy default/cart: spec.rules[0].to[0].operation: an operation without any field would match everything; give it a field, or remove it",
    );
    only(
        &policy("rules:\n- from:\n  - source:\n      principals: [\"\"]"),
        "shop.yaml:8: AuthorizationPolicy default/cart: spec.rules[0].from[0].source.principals[0]: an empty text; write a value, or remove it",
    );
    only(
        &policy("rules:\n- from:\n  - source:\n      serviceAccounts: [cart]\n      namespaces: [shop]"),
        "shop.yaml:8: AuthorizationPolicy default/cart: spec.rules[0].from[0].source.serviceAccounts: serviceAccounts cannot stand beside principals or namespaces; keep one of them",
    );
    only(
        &policy("rules:\n- from:\n  - source:\n      serviceAccounts: [shop/*]"),
        "shop.yaml:8: AuthorizationPolicy default/cart: spec.rules[0].from[0].source.serviceAccounts[0]: \"shop/*\" is not a service account; use NAME or NAMESPACE/NAME, without wildcards",
    );
    for bad in ["\"0\"", "\"65536\"", "\"+80\"", "\"80a\"", "\"\""] {
        let lines = complaints(&policy(&format!("rules:\n- to:\n  - operation: {{notPorts: [{bad}]}}")));
        assert_eq!(lines.len(), 1, "{bad}: {lines:?}");
        assert!(lines[0].ends_with("use a port from 1 to 65535"), "{lines:?}");
    }
    only(
        &policy("rules:\n- to:\n  - operation: {paths: [\"/a/{*}/{name}\"]}"),
        "shop.yaml:7: AuthorizationPolicy default/cart: spec.rules[0].to[0].operation.paths[0]: \"/a/{*}/{name}\" is not a path template; use no wildcards but {*} and {**}",
    );
    only(
        &policy("rules:\n- when:\n  - {key: source.port, values: [a]}"),
        "shop.yaml:7: AuthorizationPolicy default/cart: spec.rules[0].when[0].key: \"source.port\" is not a known attribute; use one of source.ip, remote.ip, source.namespace, source.principal, request.auth.principal, request.auth.audiences, request.auth.presenter, destination.ip, destination.port, connection.sni, request.headers[NAME], request.auth.claims[NAME]",
    );
    only(
        &policy("rules:\n- when:\n  - key: source.ip\n    notValues: [10.0.0.0/33]"),
        "shop.yaml:8: AuthorizationPolicy default/cart: spec.rules[0].when[0].notValues[0]: \"10.0.0.0/33\" is not an IP block; use ADDRESS/PREFIX with a prefix of at most 32",
    );
    only(
        &policy("rules:\n- when:\n  - key: source.namespace"),
        "shop.yaml:7: AuthorizationPolicy default/cart: spec.rules[0].when[0]: the condition has neither values nor notValues; set one of them",
    );
    only(
        &policy("rules: []")
            .replace("namespace: default}", "namespace: default, annotations: {istio.io/dry-run: \"sure\"}}"),
        "shop.yaml:3: AuthorizationPolicy default/cart: metadata.annotations[\"istio.io/dry-run\"]: \"sure\" is not a boolean; use \"true\" or \"false\"",
    );
}

#[test]
fn ip_blocks() {
    for bad in [
        "10.0.0.0/",
        "10.0.0.0/-1",
        "10.0.0.0/08",
        "10.0.0/8",
        "fd00::/129",
        "a/8",
        "/8",
        "::ffff:10.0.0.0/104",
        "10.0.0.0/8/8",
    ] {
        let lines =
            complaints(&policy(&format!("rules:\n- from:\n  - source: {{remoteIpBlocks: [\"{bad}\"]}}")));
        assert_eq!(lines.len(), 1, "{bad}: {lines:?}");
        assert!(
            lines[0].contains("remoteIpBlocks[0]: ") && lines[0].contains("is not an IP block"),
            "{lines:?}"
        );
    }
    for good in ["10.0.0.1", "10.1.2.3/8", "0.0.0.0/0", "fd00::/8", "::1", "fd00::1/128"] {
        assert_eq!(
            complaints(&policy(&format!("rules:\n- from:\n  - source: {{ipBlocks: [\"{good}\"]}}"))),
            [""; 0]
        );
    }
}

#[test]
fn peer_authentications() {
    only(
        &peer("mtls: {mode: strict}"),
        "shop.yaml:5: PeerAuthentication default/cart: spec.mtls.mode: \"strict\" is not a known value; use one of UNSET, DISABLE, PERMISSIVE, STRICT",
    );
    only(
        &peer("mtl: {mode: STRICT}"),
        "shop.yaml:5: PeerAuthentication default/cart: spec: unknown field \"mtl\"; use one of selector, mtls, portLevelMtls",
    );
    only(
        &peer("portLevelMtls:\n  8080: {mode: DISABLE}"),
        "shop.yaml:5: PeerAuthentication default/cart: spec.portLevelMtls: portLevelMtls is only possible for chosen workloads; set selector.matchLabels, or remove it",
    );
    only(
        &peer(
            "selector: {matchLabels: {app: a}}\nportLevelMtls:\n  80: {mode: STRICT}\n  0: {mode: DISABLE}",
        ),
        "shop.yaml:8: PeerAuthentication default/cart: spec.portLevelMtls.0: port 0 is out of range; use a port from 1 to 65535",
    );
    only(
        &peer("selector: {matchLabels: {app: a}}\nportLevelMtls:\n  http: {mode: DISABLE}"),
        "shop.yaml:7: PeerAuthentication default/cart: spec.portLevelMtls.http: \"http\" is not a port; use a port from 1 to 65535",
    );
}

#[test]
fn between_objects() {
    let pod = |name: &str, rest: &str| {
        format!("---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: default{rest}\n")
    };
    only(
        &(pod("a", "}") + &pod("b", "}") + &pod("a", "}")),
        "shop.yaml:10: Pod default/a: it is here twice, first at shop.yaml:2; remove or rename one of them",
    );
    only(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  namespace: shop\n",
        "shop.yaml:5: Pod shop/web: metadata.namespace: the namespace \"shop\" does not exist; add a Namespace object for it, or correct the name",
    );
    only(
        &(pod("a", "}\nstatus: {podIP: 10.0.0.1}")
            + &pod("b", "}\nstatus: {podIPs: [{ip: 10.0.0.2}, {ip: 10.0.0.1}], podIP: 10.0.0.2}")),
        "shop.yaml:10: Pod default/b: status.podIPs[1].ip: 10.0.0.1 is also the address of Pod default/a (shop.yaml:2); give each pod its own",
    );
    let netns = ", annotations: {ambit.mesh/netns: /run/netns/a}}";
    only(
        &(pod("a", netns) + &pod("b", netns)),
        "shop.yaml:8: Pod default/b: metadata.annotations[\"ambit.mesh/netns\"]: this network namespace is also that of Pod default/a (shop.yaml:2); give each pod its own",
    );
    only(
        &(pod("a", ", uid: x}") + &pod("b", ", uid: x}")),
        "shop.yaml:8: Pod default/b: metadata.uid: its uid is also that of Pod default/a (shop.yaml:2); give each pod its own",
    );
    let service = |name: &str| {
        format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: default}}\nspec: {{clusterIP: 10.1.0.1}}\n"
        )
    };
    only(
        &(service("a") + &service("b")),
        "shop.yaml:10: Service default/b: spec.clusterIP: 10.1.0.1 is also the address of Service default/a (shop.yaml:2); give each Service its own",
    );
    let ended =
        pod("a", "}\nstatus: {podIP: 10.0.0.1, phase: Failed}") + &pod("b", "}\nstatus: {podIP: 10.0.0.1}");
    assert_eq!(complaints(&ended), [""; 0], "an ended pod gives its address back");
    let host = pod("a", "}\nspec: {hostNetwork: true}\nstatus: {podIP: 10.0.0.1}");
    assert_eq!(complaints(&(host.clone() + &host.replace("name: a", "name: b"))), [""; 0]);
}

#[test]
fn foreign_text_stays_on_one_line_and_short() {
    let text = format!("apiVersion: v1\nkind: \"Po\\n\\e[31md{}\"\n", "x".repeat(500));
    let lines = complaints(&text);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("Po\\n\\u{1b}[31md") && lines[0].len() < 600, "{lines:?}");
}

#[test]
fn unknown_annotations_of_this_mesh() {
    for key in ["ambit.mesh/netn", "Ambit.Mesh/netns", "ambit.mesh/"] {
        only(
            &pod(&format!("  annotations:\n    team: shop\n    {key}: /run/netns/web\n")),
            &format!(
                "shop.yaml:8: Pod default/web: metadata.annotations[\"{key}\"]: unknown annotation \"{key}\"; the only one of this mesh is ambit.mesh/netns"
            ),
        );
    }
    assert!(
        complaints(&pod("  annotations: {ambit.mesh/netns: /run/netns/web, other.mesh/netn: a}\n"))
            .is_empty()
    );
}

#[test]
fn misspelt_fields_of_core_kinds() {
    for (rest, line, path, found, meant) in [
        ("spec:\n  serviceAccountNam: web\n", 7, "spec", "serviceAccountNam", "serviceAccountName"),
        ("spec:\n  serivceAccountName: web\n", 7, "spec", "serivceAccountName", "serviceAccountName"),
        ("spec:\n  nodename: one\n", 7, "spec", "nodename", "nodeName"),
        ("spec:\n  hostnetwork: true\n", 7, "spec", "hostnetwork", "hostNetwork"),
        ("status:\n  podIp: 10.0.0.1\n", 7, "status", "podIp", "podIP"),
        ("status: {podIPs: [{ip: 10.0.0.1}, {IP: fd00::1}]}\n", 6, "status.podIPs[1]", "IP", "ip"),
        ("  label: {app: web}\n", 6, "metadata", "label", "labels"),
        ("  anotations: {a: b}\n", 6, "metadata", "anotations", "annotations"),
    ] {
        let expected = format!(
            "shop.yaml:{line}: Pod default/web: {path}: unknown field \"{found}\"; did you mean {meant}?"
        );
        only(&pod(rest), &expected);
    }
    only(
        &pod("Spec: {serviceAccountName: web}\n"),
        "shop.yaml:6: Pod default/web: unknown field \"Spec\"; did you mean spec?",
    );
    only(
        "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: default}\nspec:\n  clusterIp: 10.96.0.1\n",
        "shop.yaml:5: Service default/web: spec: unknown field \"clusterIp\"; did you mean clusterIP?",
    );
    only(
        "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: default}\nspec:\n  ports: [{port: 80, targetport: 8080}]\n",
        "shop.yaml:5: Service default/web: spec.ports[0]: unknown field \"targetport\"; did you mean targetPort?",
    );
}

#[test]
fn fields_of_kubernetes_are_never_misspelt_ones() {
    let metadata = "  uid: u\n  generation: 1\n  selfLink: /a\n  generateName: web-\n  finalizers: [a]\n  labels: {label: a, lables: b}\n  annotations: {annotation: a, anotations: b}\n";
    let spec = "spec: {serviceAccount: web, hostPID: true, hostIPC: true, hostname: a, hostUsers: true, nodeSelector: {nodename: a}, ephemeralContainers: [], containers: [{name: a, restartPolicy: Always, ports: [{containerPort: 1, hostPort: 1, hostIP: 10.0.0.1}]}]}\n";
    let status = "status: {hostIP: 10.0.0.9, hostIPs: [{ip: 10.0.0.9}], podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}], initContainerStatuses: [], containerStatuses: []}\n";
    assert_eq!(complaints(&pod(&format!("{metadata}{spec}{status}"))), [""; 0]);
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: default}\nspec: {clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1], externalIPs: [192.0.2.1], ipFamilies: [IPv4], ipFamily: IPv4, ipFamilyPolicy: SingleStack, externalTrafficPolicy: Cluster, internalTrafficPolicy: Cluster, ports: [{port: 80, nodePort: 30000}]}\nstatus: {loadBalancer: {}}\n";
    assert_eq!(complaints(service), [""; 0]);
    let node = "apiVersion: v1\nkind: Node\nmetadata: {name: one}\nspec: {podCIDR: 10.0.0.0/24, podCIDRs: [10.0.0.0/24]}\nstatus: {addresses: [], images: []}\n";
    assert_eq!(complaints(node), [""; 0]);
    assert_eq!(complaints(&pod("spec: {somethingNew: 1, nodename: }\n")), [""; 0], "unknown, and absent");
}
