//! Policies: what cannot be read, and what Istio refuses.

use crate::{complaints, only, peer, policy};

#[test]
fn authorization_policies_refuse_what_they_do_not_know() {
    only(
        &policy("rule:\n- {}"),
        "shop.yaml:5: AuthorizationPolicy default/cart: spec: unknown field \"rule\"; use one of selector, targetRefs, targetRef, rules, action, provider",
    );
    only(
        &policy("rules:\n- from:\n  - source:\n      namespace: [shop]"),
        "shop.yaml:8: AuthorizationPolicy default/cart: spec.rules[0].from[0].source: unknown field \"namespace\"; use one of principals, notPrincipals, requestPrincipals, notRequestPrincipals, namespaces, notNamespaces, serviceAccounts, notServiceAccounts, trustDomains, notTrustDomains, ipBlocks, notIpBlocks, remoteIpBlocks, notRemoteIpBlocks",
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
        "shop.yaml:7: AuthorizationPolicy default/cart: spec.rules[0].when[0].key: \"source.port\" is not a known attribute; use one of source.ip, remote.ip, source.namespace, source.principal, source.serviceAccount, source.trustDomain, request.auth.principal, request.auth.audiences, request.auth.presenter, destination.ip, destination.port, connection.sni, request.headers[NAME], request.auth.claims[NAME]",
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
