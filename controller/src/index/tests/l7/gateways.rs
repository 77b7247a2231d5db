//! Gateways with listeners of their own, and TLS to backends.

use ambit_model::l7::gateway::{Gateway, Protocol};
use ambit_model::l7::{DestinationRule, Resource};

use super::{Index, mesh, object};

fn gateway(class: &str, listeners: &str) -> Index {
    mesh(&object("Gateway", "gate", &format!("gatewayClassName: {class}\nlisteners: [{listeners}]")))
}

fn served(index: &Index) -> Option<Gateway> {
    index.l7().into_iter().find_map(|resource| match &**resource {
        Resource::Gateway(gateway) => Some(gateway.clone()),
        _ => None,
    })
}

#[test]
fn only_accounts_of_its_pods_serve_a_gateway() {
    let index = gateway("ambit", "{name: a, port: 80, protocol: HTTP}");
    assert_eq!(served(&index).unwrap().accounts, ["gate".into()]);
    let spec = "gatewayClassName: ambit\nlisteners: [{name: a, port: 80, protocol: HTTP}]";
    let index = mesh(&object("Gateway", "nobody", spec));
    assert!(served(&index).unwrap().accounts.is_empty());
    let note = "Gateway shop/nobody: Programmed=False (AddressNotAssigned): no pod serves it; run one with the label gateway.networking.k8s.io/gateway-name";
    assert_eq!(index.told(), [note]);
}

#[test]
fn listeners_that_can_be_served_travel() {
    let listeners = "{name: a, port: 80, protocol: HTTP, hostname: '*.a.com'}, {name: c, port: 8443, protocol: TLS, tls: {mode: Passthrough}}, {name: d, port: 9000, protocol: TCP}, {name: f, port: 15021, protocol: HTTP}";
    let index = gateway("ambit", listeners);
    let found = served(&index).unwrap();
    let spoken: Vec<(&str, u16, Protocol)> =
        found.listeners.iter().map(|listener| (&*listener.name, listener.port, listener.protocol)).collect();
    assert_eq!(spoken, [("a", 80, Protocol::Http)]);
    assert_eq!(found.listeners[0].hostname.as_deref(), Some("*.a.com"));
    let unsupported = |name: &str| {
        format!(
            "Gateway shop/gate: Accepted=False (UnsupportedProtocol): listener {name}: its protocol is not served; use HTTP or HTTPS"
        )
    };
    let own = "Gateway shop/gate: Accepted=False (PortUnavailable): listener f: port 15021 is the proxy's own; use another";
    assert_eq!(index.told(), [own.to_owned(), unsupported("c"), unsupported("d")]);
}

#[test]
fn two_protocols_on_one_port_are_a_conflict() {
    let index = gateway("ambit", "{name: a, port: 80, protocol: HTTP}, {name: b, port: 80, protocol: TCP}");
    assert!(served(&index).unwrap().listeners.is_empty());
    let conflict = |name: &str| {
        format!(
            "Gateway shop/gate: Conflicted=True (ProtocolConflict): listener {name}: another listener speaks something else on its port"
        )
    };
    assert_eq!(index.told(), [conflict("a"), conflict("b")]);
}

const SHOP: (&str, &str) =
    (include_str!("../../../../../tests/pem/shop.crt"), include_str!("../../../../../tests/pem/shop.key"));
const WILD: (&str, &str) =
    (include_str!("../../../../../tests/pem/wild.crt"), include_str!("../../../../../tests/pem/wild.key"));

fn secret(namespace: &str, name: &str, (chain, key): (&str, &str)) -> String {
    let indented = |text: &str| text.lines().fold(String::new(), |all, line| all + "    " + line + "\n");
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {namespace}}}\ntype: kubernetes.io/tls\nstringData:\n  tls.crt: |\n{}  tls.key: |\n{}---\n",
        indented(chain),
        indented(key)
    )
}

#[test]
fn a_listener_that_ends_tls_has_the_certificate_of_its_secret() {
    let with = |tls: &str, further: &str| {
        let listeners = format!("{{name: a, port: 443, protocol: HTTPS, tls: {{{tls}}}}}");
        let gateway =
            object("Gateway", "gate", &format!("gatewayClassName: ambit\nlisteners: [{listeners}]"));
        mesh(&format!("{further}{gateway}"))
    };
    let given = |index: &Index| {
        let [listener] = &served(index).unwrap().listeners[..] else { panic!() };
        assert_eq!(listener.protocol, Protocol::Https);
        let certificates = listener.certificates.iter();
        certificates.map(|one| (one.chain.to_string(), one.key.0.to_string())).collect::<Vec<_>>()
    };
    let good = secret("shop", "cert", SHOP);
    let index = with("certificateRefs: [{name: cert}]", &good);
    assert_eq!(given(&index), [(SHOP.0.to_owned(), SHOP.1.to_owned())]);
    assert!(index.told().is_empty());
    let said = format!("{:?}", index.l7());
    assert!(!said.contains("PRIVATE KEY"), "a key is never shown");

    let elsewhere = secret("other", "cert", WILD);
    let grant = "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {name: g, namespace: other}\n\
                 spec: {from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: shop}], to: [{group: '', kind: Secret}]}\n---\n";
    let foreign = "certificateRefs: [{name: cert, namespace: other}]";
    let index = with(foreign, &format!("{elsewhere}{grant}"));
    assert_eq!(given(&index)[0].0, WILD.0);
    let mixed = secret("shop", "cert", (SHOP.0, WILD.1));
    let opaque = good.replace("kubernetes.io/tls", "Opaque");
    for (tls, objects, reason, text) in [
        (foreign, &elsewhere, "RefNotPermitted", "Secret other/cert is in another namespace"),
        ("certificateRefs: [{name: absent}]", &good, "InvalidCertificateRef", "Secret shop/absent of type"),
        ("certificateRefs: [{name: cert}]", &opaque, "InvalidCertificateRef", "Secret shop/cert of type"),
        ("certificateRefs: [{name: cert}]", &mixed, "InvalidCertificateRef", "is not the key of the first"),
        (
            "certificateRefs: [{name: cert}, {name: d}]",
            &good,
            "InvalidCertificateRef",
            "must name one Secret",
        ),
        ("certificateRefs: [{kind: ConfigMap, name: cert}]", &good, "InvalidCertificateRef", "is no Secret"),
        (
            "certificateRefs: [{name: cert}], options: {a.b/mode: MUTUAL}",
            &good,
            "InvalidCertificateRef",
            "tls.options a.b/mode",
        ),
    ] {
        let index = with(tls, objects);
        assert!(given(&index).is_empty(), "{tls}");
        let [line] = &index.told()[..] else { panic!("{tls}: {:?}", index.told()) };
        assert!(line.starts_with(&format!("Gateway shop/gate: ResolvedRefs=False ({reason}): listener a: ")));
        assert!(line.contains(text) && !line.contains("PRIVATE"), "{line}");
    }
}

#[test]
fn a_class_of_somebody_else_is_left_alone() {
    let index = gateway("nginx", "{name: a, port: 80, protocol: HTTP}");
    assert_eq!(served(&index), None);
    let note = "Gateway shop/gate: Accepted=False (Pending): nobody here serves the class \"nginx\"";
    assert_eq!(index.told(), [note]);
    let class = |controller: &str| {
        format!(
            "---\n{{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {{name: nginx}}, spec: {{controllerName: {controller}}}}}\n"
        )
    };
    let with = |controller: &str| {
        let gateway = object(
            "Gateway",
            "gate",
            "gatewayClassName: nginx\nlisteners: [{name: a, port: 80, protocol: HTTP}]",
        );
        served(&mesh(&format!("{gateway}{}", class(controller).trim_start_matches("---\n"))))
    };
    assert!(with("ambit.mesh/gateway").is_some());
    assert!(with("example.com/other").is_none());
}

fn rules(index: &Index) -> Vec<DestinationRule> {
    let resources = index.l7().into_iter();
    resources
        .filter_map(|resource| match &**resource {
            Resource::DestinationRule(rule) => Some((**rule).clone()),
            _ => None,
        })
        .collect()
}

fn policy(name: &str, targets: &str, validation: &str) -> String {
    object(
        "BackendTLSPolicy",
        name,
        &format!("targetRefs: [{targets}]\nvalidation: {{hostname: a.b, {validation}}}"),
    )
}

const SYSTEM: &str = "wellKnownCACertificates: System";
const CART: &str = "{group: '', kind: Service, name: cart}";

#[test]
fn tls_to_backends_for_services_and_ports() {
    let index =
        mesh(&policy("t", CART, &format!("{SYSTEM}, subjectAltNames: [{{type: URI, uri: 'spiffe://a/b'}}]")));
    let [rule] = &rules(&index)[..] else { panic!() };
    assert_eq!((&*rule.key.name, &*rule.host), ("t", "cart.shop.svc.cluster.local"));
    let tls = rule.policy.tls.as_ref().unwrap();
    assert_eq!((tls.server_name.as_deref(), &tls.names[..]), (Some("a.b"), &["spiffe://a/b".into()][..]));
    assert!(tls.authorities.is_empty() && tls.invalid.is_none() && !tls.insecure);

    let port = "{group: '', kind: Service, name: cart, sectionName: grpc}, {group: '', kind: Service, name: cart-v2}";
    let found = rules(&mesh(&policy("t", port, SYSTEM)));
    let names: Vec<&str> = found.iter().map(|rule| &*rule.key.name).collect();
    assert_eq!(names, ["t/cart-v2.shop.svc.cluster.local", "t/cart.shop.svc.cluster.local"]);
    assert_eq!(found[1].ports[0].0, 7070);
    assert!(found[1].policy.tls.is_none() && found[0].policy.tls.is_some());
}

#[test]
fn what_is_wrong_with_tls_to_backends() {
    let index = mesh(&policy("t", CART, "caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]"));
    let reason =
        "ConfigMap ca cannot be read here, so requests are answered 503; use wellKnownCACertificates: System";
    assert_eq!(rules(&index)[0].policy.tls.as_ref().unwrap().invalid.as_deref(), Some(reason));
    assert_eq!(
        index.told(),
        [format!("BackendTLSPolicy shop/t: ResolvedRefs=False (InvalidCACertificateRef): {reason}")]
    );
    for (target, reason, text) in [
        ("{group: '', kind: Service, name: nobody}", "TargetNotFound", "Service nobody does not exist"),
        (
            "{group: '', kind: Service, name: cart, sectionName: x}",
            "TargetNotFound",
            "Service cart has no port named \"x\"",
        ),
        (
            "{group: apps, kind: Deployment, name: cart}",
            "Invalid",
            "Deployment cart is no target here; use a Service",
        ),
    ] {
        let index = mesh(&policy("t", target, SYSTEM));
        assert!(rules(&index).is_empty());
        assert_eq!(index.told(), [format!("BackendTLSPolicy shop/t: Accepted=False ({reason}): {text}")]);
    }
    let index = mesh(&format!("{}{}", policy("a", CART, SYSTEM), policy("b", CART, SYSTEM)));
    assert_eq!(rules(&index).len(), 1);
    assert_eq!(
        index.told(),
        ["BackendTLSPolicy shop/b: Accepted=False (Conflicted): Service cart has an older policy"]
    );
}
