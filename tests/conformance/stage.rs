//! What all tests share: one mesh with a waypoint, clients in two namespaces, and the applications `echo-v1` to `echo-v3`.
//! Each test has Services of its own, so that they run side by side.

use std::fmt::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use ambit_netns::Namespace;
use ambit_tests::mesh::Mesh;
use ambit_tests::pod::{ENROLLED, Pod, PodSpec};
use ambit_tests::process::Process;
use ambit_tests::resources::vip;
use ambit_tests::server::Server;
use ambit_tests::topology::Side;
use ambit_tests::wait::wait_until;

use crate::request::{self, Request, Seen};

/// Another enrolled namespace, with a client of its own.
pub(crate) const CONSUMER: &str = "consumer";
/// The applications, which are backends of all routes.
pub(crate) const APPLICATIONS: [&str; 3] = ["echo-v1", "echo-v2", "echo-v3"];
const GATEWAY: &str = "waypoint";

/// The mesh.
pub(crate) struct Stage {
    mesh: Mesh,
    client: Pod,
    consumer: Pod,
    _waypoint: Process,
    _servers: Vec<Server>,
}

/// The stage, made by the first test that asks.
pub(crate) fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(Stage::new)
}

/// A number for a service of a test's own.
fn number() -> u8 {
    static NEXT: AtomicU8 = AtomicU8::new(40);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Stage {
    fn new() -> Self {
        let mut mesh = Mesh::started("conformance");
        mesh.apply("stage", &resources());
        let client = mesh.pod("client", Side::A);
        let consumer = PodSpec { namespace: CONSUMER.to_owned(), ..PodSpec::new("consumer", Side::A) };
        let consumer = mesh.add(PodSpec { mode: Some("ambient".to_owned()), ..consumer });
        let pod = mesh.add(PodSpec::waypoint("waypoint-1", GATEWAY, Side::B));
        let mut servers = Vec::new();
        for (name, side) in APPLICATIONS.into_iter().zip([Side::A, Side::B, Side::B]) {
            let pod = mesh.pod(name, side);
            servers
                .push(Server::start(pod.netns(), 8080, move |connection| request::serve(connection, name)));
            crate::grpc::serve(pod.netns(), 7070, name);
        }
        mesh.settled();
        let waypoint = mesh.start_waypoint(&pod);
        Self { mesh, client, consumer, _waypoint: waypoint, _servers: servers }
    }

    /// Where requests come from.
    pub(crate) fn client(&self) -> &Namespace {
        self.client.netns()
    }

    /// Where those of the other namespace do.
    pub(crate) fn consumer(&self) -> &Namespace {
        self.consumer.netns()
    }
}

/// A Service of a test, with routes; its resources go with it.
pub(crate) struct Parent {
    number: u8,
    file: String,
}

impl Parent {
    /// A Service of the test's own, of the application `echo-v1`, and these resources. In them `PARENT` is the
    /// Service, `ROUTE` the beginning of an HTTPRoute for it up to its rules, and `GRPC` of a GRPCRoute.
    pub(crate) fn new(test: &str, text: &str) -> Self {
        let number = number();
        let name = format!("parent-{number}");
        let route = |kind: &str| {
            format!(
                "apiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\n\
                 metadata: {{name: {name}, namespace: {ENROLLED}}}\nspec:\n  \
                 parentRefs: [{{group: '', kind: Service, name: {name}}}]\n  rules:"
            )
        };
        let mut all = service(&name, number, APPLICATIONS[0]);
        let text = text.replace("ROUTE", &route("HTTPRoute")).replace("GRPC", &route("GRPCRoute"));
        writeln!(all, "---\n{}", text.replace("PARENT", &name)).unwrap();
        let file = format!("test-{test}-{number}");
        stage().mesh.apply(&file, &all);
        // What is dialled before its address is known goes nowhere, slowly.
        wait_until("the client's ztunnel knows the service", || {
            let dump = stage().mesh.dump(Side::A);
            ambit_tests::mesh::find(&dump["services"], &name).is_some()
        });
        Self { number, file }
    }

    /// Its address with a port.
    pub(crate) fn at(&self, port: u16) -> std::net::SocketAddr {
        vip(self.number, port)[0]
    }

    /// Sends each request until it is answered as it should be three times in a row: a route takes a moment to arrive.
    #[track_caller]
    pub(crate) fn table(&self, rows: &[(Request, Seen)]) {
        for (asked, expected) in rows {
            request::consistently(&asked.clone().to(self.at(asked.port)), expected);
        }
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        stage().mesh.forget(&self.file);
    }
}

/// A Service bound to the waypoint, of an application.
fn service(name: &str, number: u8, app: &str) -> String {
    let address = vip(number, 80)[0].ip();
    format!(
        "apiVersion: v1\nkind: Service\n\
         metadata: {{name: {name}, namespace: {ENROLLED}, labels: {{istio.io/use-waypoint: {GATEWAY}}}}}\n\
         spec:\n  clusterIP: {address}\n  selector: {{app: {app}}}\n  ports:\n  \
         - {{name: http, port: 80, targetPort: 8080, appProtocol: http}}\n  \
         - {{name: http-alt, port: 8080, targetPort: 8080, appProtocol: http}}\n  \
         - {{name: grpc, port: 7070, targetPort: 7070, appProtocol: grpc}}\n"
    )
}

fn resources() -> String {
    let mut text = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {CONSUMER}, labels: {{istio.io/dataplane-mode: ambient}}}}\n\
         ---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n\
         metadata: {{name: {GATEWAY}, namespace: {ENROLLED}, labels: {{istio.io/waypoint-for: service}}}}\n\
         spec:\n  gatewayClassName: ambit-waypoint\n  listeners:\n  - {{name: mesh, port: 15008, protocol: HBONE}}\n"
    );
    for (name, number) in APPLICATIONS.into_iter().zip(30..) {
        writeln!(text, "---\n{}", service(name, number, name)).unwrap();
    }
    text
}
