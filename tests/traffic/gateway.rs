//! An ingress gateway: clients outside of the mesh, its listeners, and pods behind ztunnel.

use std::time::Duration;

use ambit_identity::ApplicationTls;
use ambit_identity::application::Inside;
use ambit_model::l7::destination_rule::UpstreamTls;
use ambit_tests::certificates::runtime;
use ambit_tests::http;
use ambit_tests::mesh::Mesh;
use ambit_tests::pod::{ENROLLED, Pod, PodSpec};
use ambit_tests::resources::{from_accounts, vip};
use ambit_tests::runner::Test;
use ambit_tests::server::Server;
use ambit_tests::topology::Side;
use ambit_tests::wait::wait_until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const TESTS: &[Test] = &[
    ("a_gateway_lets_requests_into_the_mesh", a_gateway_lets_requests_into_the_mesh),
    ("a_gateway_ends_tls_and_follows_its_secret", a_gateway_ends_tls_and_follows_its_secret),
];

const GATEWAY: &str = "gateway";

/// A Gateway with these listeners, a route of it for every host to the service `cart`, and that service.
fn resources(listeners: &str) -> String {
    let address = vip(20, 80)[0].ip();
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: {GATEWAY}, namespace: {ENROLLED}}}\n\
         spec:\n  gatewayClassName: ambit\n  listeners: [{listeners}]\n\
         ---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: cart, namespace: {ENROLLED}}}\n\
         spec:\n  parentRefs: [{{name: {GATEWAY}}}]\n  rules:\n  \
         - {{matches: [{{path: {{value: /items}}}}], backendRefs: [{{name: cart, port: 80}}]}}\n\
         ---\napiVersion: v1\nkind: Service\nmetadata: {{name: cart, namespace: {ENROLLED}}}\n\
         spec:\n  clusterIP: {address}\n  selector: {{app: cart}}\n  \
         ports:\n  - {{name: http, port: 80, targetPort: 8080, appProtocol: http}}\n"
    )
}

/// A mesh with a pod of the gateway, and a client outside.
fn with_gateway(name: &str, listeners: &str) -> (Mesh, Pod, Pod) {
    let mut mesh = Mesh::new(name);
    mesh.start();
    mesh.apply("shop", &resources(listeners));
    let pod = mesh.add(PodSpec::ingress("gateway-1", GATEWAY, Side::B));
    let client = mesh.outsider("client", Side::A);
    (mesh, pod, client)
}

fn status(client: &Pod, pod: &Pod, host: &str, path: &str) -> u16 {
    let asked = http::connect(client.netns(), pod.at(80))
        .and_then(|mut stream| http::ask_host(&mut stream, host, path));
    asked.map_or(0, |answer| answer.status)
}

fn a_gateway_lets_requests_into_the_mesh() {
    let listeners = "{name: web, port: 80, protocol: HTTP, hostname: '*.example.com'}";
    let (mut mesh, pod, client) = with_gateway("gateway", listeners);
    let cart = mesh.pod("cart", Side::A);
    let _server = Server::http(cart.netns(), 8080, "cart");
    mesh.settled();
    let gateway = mesh.start_waypoint(&pod);
    wait_until("a request passes", || status(&client, &pod, "shop.example.com", "/items") == 200);
    let line = gateway.logged("the request", |line| line["path"] == "/items" && line["response_code"] == 200);
    assert_eq!(line["authority"], "shop.example.com", "{line}");
    // Over a tunnel, with the gateway's own identity.
    mesh.enforce("only-gateway", "cart", "ALLOW", &from_accounts(&["gateway"]));
    assert_eq!(status(&client, &pod, "shop.example.com", "/items"), 200);
    assert!(http::get(client.netns(), cart.at(8080), "/items").is_err());
    for (host, path) in [("example.org", "/items"), ("shop.example.com", "/else")] {
        assert_eq!(status(&client, &pod, host, path), 404, "{host} {path}");
    }

    let policy = format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: gate, namespace: {ENROLLED}}}\n\
         spec:\n  targetRefs: [{{group: gateway.networking.k8s.io, kind: Gateway, name: {GATEWAY}}}]\n  \
         action: DENY\n  rules: [{{to: [{{operation: {{paths: [/items/secret]}}}}]}}]\n"
    );
    mesh.apply("policy", &policy);
    wait_until("the policy is in force", || {
        status(&client, &pod, "shop.example.com", "/items/secret") == 403
    });
    assert_eq!(status(&client, &pod, "shop.example.com", "/items"), 200);

    mesh.apply("shop", &resources("{name: web, port: 8080, protocol: HTTP}"));
    wait_until("the port is closed", || status(&client, &pod, "shop.example.com", "/items") == 0);
}

const SHOP: (&str, &str) = (include_str!("../pem/shop.crt"), include_str!("../pem/shop.key"));
const WILD: (&str, &str) = (include_str!("../pem/wild.crt"), include_str!("../pem/wild.key"));

fn secret((chain, key): (&str, &str)) -> String {
    let indented = |text: &str| text.lines().fold(String::new(), |all, line| all + "    " + line + "\n");
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: cert, namespace: {ENROLLED}}}\ntype: kubernetes.io/tls\n\
         stringData:\n  tls.crt: |\n{}  tls.key: |\n{}",
        indented(chain),
        indented(key)
    )
}

/// The status line of an answer over TLS, as a client that trusts one certificate; none without TLS.
fn secured(client: &Pod, pod: &Pod, trusted: &str) -> Option<String> {
    let tls = UpstreamTls { authorities: trusted.into(), ..UpstreamTls::default() };
    let tls = ApplicationTls::new(&tls).unwrap();
    let asked = async {
        let stream = TcpStream::connect(pod.at(443)).await.ok()?;
        let mut stream = tls.connect(stream, "shop.example.com", Inside::Http1).await.ok()?;
        let request = b"GET /items HTTP/1.1\r\nHost: shop.example.com\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        answer.lines().next().map(ToOwned::to_owned)
    };
    let patient = async { tokio::time::timeout(Duration::from_secs(5), asked).await.ok()? };
    client.netns().run(|| runtime().block_on(patient)).unwrap()
}

fn a_gateway_ends_tls_and_follows_its_secret() {
    let listeners = "{name: web, port: 443, protocol: HTTPS, hostname: '*.example.com', tls: {certificateRefs: [{name: cert}]}}";
    let (mut mesh, pod, client) = with_gateway("gateway-tls", listeners);
    let cart = mesh.pod("cart", Side::A);
    let _server = Server::http(cart.netns(), 8080, "cart");
    mesh.settled();
    let _gateway = mesh.start_waypoint(&pod);
    wait_until("the port is open", || http::connect(client.netns(), pod.at(443)).is_ok());
    assert_eq!(secured(&client, &pod, WILD.0), None, "without a Secret there is no handshake");
    let served = |pair: (&str, &str)| secured(&client, &pod, pair.0).as_deref() == Some("HTTP/1.1 200 OK");
    mesh.apply("secret", &secret(WILD));
    wait_until("the Secret is in force", || served(WILD));
    mesh.apply("secret", &secret(SHOP));
    wait_until("the new Secret is in force", || served(SHOP));
    assert!(!served(WILD));
    // Half of another pair: nothing is served rather than the former.
    mesh.apply("secret", &secret((SHOP.0, WILD.1)));
    wait_until("the bad Secret is refused", || !served(SHOP));
    let dump = http::get(pod.netns(), "127.0.0.1:15000".parse().unwrap(), "/config_dump").unwrap().body;
    assert!(dump.contains("listeners") && !dump.contains("PRIVATE KEY"), "{dump}");
}
