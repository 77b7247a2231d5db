//! Where requests go, and what keeps them from it.

use super::{backends, mesh, object, rule};

/// Why the one backend of this reference cannot be used.
fn invalid(reference: &str, more: &str) -> Option<String> {
    let spec = format!(
        "parentRefs: [{{group: '', kind: Service, name: cart}}]\nrules: [{{backendRefs: [{{{reference}}}]}}]"
    );
    let index = mesh(&format!("{}{more}", object("HTTPRoute", "r", &spec)));
    let backend = &backends(&index.route("r").rules[0])[0];
    let reason = backend.invalid.as_ref().map(ToString::to_string);
    let told = index.told();
    let notes: Vec<&str> = told.iter().filter_map(|note| Some(note.split_once("): ")?.1)).collect();
    assert_eq!(notes, reason.iter().collect::<Vec<_>>(), "what is not followed is noted");
    reason
}

#[test]
fn a_backend_is_a_published_services_port() {
    assert_eq!(invalid("name: cart-v2, port: 80", ""), None);
    for (reference, reason) in [
        ("name: nobody, port: 80", "backend Service shop/nobody does not exist"),
        ("name: cart-v2, port: 81", "backend Service shop/cart-v2 has no port 81"),
        (
            "name: cart-v2, port: 80, group: apps, kind: Deployment",
            "backend Deployment shop/cart-v2 is no Service; use one",
        ),
    ] {
        assert_eq!(invalid(reference, "").as_deref(), Some(reason));
    }
    let outside = "{apiVersion: v1, kind: Service, metadata: {name: out, namespace: shop}, spec: {type: ExternalName, externalName: a.b, ports: [{port: 80}]}}";
    assert_eq!(
        invalid("name: out, port: 80", outside).as_deref(),
        Some("backend Service shop/out does not exist")
    );
}

#[test]
fn in_another_namespace_it_must_be_granted() {
    let reference = "name: stock, namespace: store, port: 80";
    let refused = Some(
        "backend Service store/stock is in another namespace; permit it by a ReferenceGrant there".to_owned(),
    );
    let grant = |namespace: &str, from: &str, to: &str| {
        format!(
            "{{apiVersion: gateway.networking.k8s.io/v1, kind: ReferenceGrant, metadata: {{name: g, namespace: {namespace}}}, spec: {{from: [{{group: gateway.networking.k8s.io, {from}}}], to: [{{group: '', {to}}}]}}}}"
        )
    };
    assert_eq!(invalid(reference, ""), refused);
    let from = "kind: HTTPRoute, namespace: shop";
    assert_eq!(invalid(reference, &grant("store", from, "kind: Service")), None);
    assert_eq!(invalid(reference, &grant("store", from, "kind: Service, name: stock")), None);
    for grant in [
        grant("store", from, "kind: Service, name: other"),
        grant("store", from, "kind: Secret"),
        grant("store", "kind: GRPCRoute, namespace: shop", "kind: Service"),
        grant("store", "kind: HTTPRoute, namespace: store", "kind: Service"),
        grant("shop", from, "kind: Service"),
    ] {
        assert_eq!(invalid(reference, &grant), refused, "{grant}");
    }
}

#[test]
fn a_consumer_may_send_to_the_service_that_it_is_attached_to() {
    let parent = "parentRefs: [{group: '', kind: Service, name: stock, namespace: store}]";
    let to = |name: &str| {
        format!("{parent}\nrules: [{{backendRefs: [{{name: {name}, namespace: store, port: 80}}]}}]")
    };
    let more = "{apiVersion: v1, kind: Service, metadata: {name: other, namespace: store}, spec: {ports: [{port: 80}]}}";
    for (name, permitted) in [("stock", true), ("other", false)] {
        let index = mesh(&format!("{}{more}", object("HTTPRoute", "r", &to(name))));
        let invalid = &backends(&index.route("r").rules[0])[0].invalid;
        assert_eq!(invalid.is_none(), permitted, "{name}: {invalid:?}");
    }
}

#[test]
fn weights_and_filters_of_their_own() {
    let (rule, notes) = rule(
        "backendRefs:\n- {name: cart, port: 80, weight: 0}\n- {name: cart-v2, port: 80, weight: 9, filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [A]}}]}\n- {name: nobody, port: 80, weight: 3}\n- {name: cart, port: 80, filters: [{type: ExtensionRef, extensionRef: {group: g, kind: K, name: thing}}]}\n- {name: cart, port: 80, filters: [{type: RequestRedirect, requestRedirect: {}}]}",
    );
    let backends = backends(&rule);
    assert_eq!(backends.iter().map(|backend| backend.weight).collect::<Vec<_>>(), [0, 9, 3, 1, 1]);
    let usable: Vec<bool> = backends.iter().map(|backend| backend.invalid.is_none()).collect();
    assert_eq!(usable, [true, true, false, false, false], "an invalid backend keeps its share");
    assert_eq!(backends[1].filters.len(), 1);
    assert_eq!(notes.len(), 3, "{notes:?}");
}

#[test]
fn without_backends_there_is_nowhere_to_go() {
    let (rule, notes) = rule("matches: [{method: GET}]");
    assert!(backends(&rule).is_empty());
    assert!(notes.is_empty());
    let spec = "parentRefs: [{group: '', kind: Service, name: cart}]";
    let index = mesh(&object("HTTPRoute", "r", spec));
    assert_eq!(index.route("r").rules.len(), 1, "a route without rules has one for every request");
    assert!(backends(&index.route("r").rules[0]).is_empty());
}
