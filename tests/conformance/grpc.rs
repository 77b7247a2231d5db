//! GRPCRoute, with calls of gRPC's own shape over HTTP/2 without TLS: a message, an answer, a status in trailers.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};

use ambit_netns::Namespace;
use ambit_tests::http as sockets;
use ambit_tests::runner::Test;
use ambit_tests::wait::wait_until;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};

use crate::stage::{APPLICATIONS, Parent, stage};

pub(crate) const TESTS: &[Test] = &[
    ("MeshGRPCRouteRequestHeaderModifier", request_headers),
    ("GRPCRouteRequestHeaderModifier", request_headers),
    ("MeshGRPCRouteWeight", weight),
    ("GRPCRouteWeight", weight),
    ("GRPCExactMethodMatching", exact_method),
    ("GRPCRouteHeaderMatching", header_matching),
    ("GRPCRouteNamedRule", named_rule),
];

const ECHO: &str = "/gateway_api_conformance.echo_basic.grpcecho.GrpcEcho/Echo";
const ECHO_TWO: &str = "/gateway_api_conformance.echo_basic.grpcecho.GrpcEcho/EchoTwo";
const UNIMPLEMENTED: &str = "12";

/// What a call was told.
#[derive(Debug)]
struct Told {
    status: String,
    /// The application that answered, or nothing.
    backend: String,
    /// Metadata as the application saw it.
    metadata: HeaderMap,
}

/// A server of calls in a pod; it lives as long as the process.
pub(crate) fn serve(namespace: &Namespace, port: u16, name: &'static str) {
    let at: SocketAddr = (Ipv6Addr::UNSPECIFIED, port).into();
    let listener = namespace.run(|| std::net::TcpListener::bind(at)).unwrap().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        tokio::spawn(answer(name, request, respond));
                    }
                });
            }
        });
    });
}

async fn answer(name: &str, request: Request<h2::RecvStream>, mut respond: h2::server::SendResponse<Bytes>) {
    let mut response = Response::new(());
    let headers = response.headers_mut();
    headers.insert("content-type", "application/grpc".parse().unwrap());
    headers.insert("backend", name.parse().unwrap());
    for (key, value) in request.headers() {
        headers.append(http::HeaderName::try_from(format!("saw-{key}")).unwrap(), value.clone());
    }
    let Ok(mut stream) = respond.send_response(response, false) else { return };
    // An empty message.
    stream.send_data(Bytes::from_static(&[0; 5]), false).ok();
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
    stream.send_trailers(trailers).ok();
}

/// Makes a call.
fn call(to: SocketAddr, path: &str, metadata: &[(&str, &str)]) -> io::Result<Told> {
    let stream = sockets::connect(stage().client(), to)?;
    stream.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::from_std(stream)?;
        let told = tokio::time::timeout(sockets::PATIENCE, calling(stream, path, metadata)).await?;
        told.map_err(io::Error::other)
    })
}

async fn calling(
    stream: tokio::net::TcpStream,
    path: &str,
    metadata: &[(&str, &str)],
) -> Result<Told, h2::Error> {
    let (client, connection) = h2::client::handshake(stream).await?;
    tokio::spawn(connection);
    let mut request = Request::post(format!("http://echo{path}")).header("content-type", "application/grpc");
    request = request.header("te", "trailers");
    for (name, value) in metadata {
        request = request.header(*name, *value);
    }
    let (response, mut body) = client.ready().await?.send_request(request.body(()).unwrap(), false)?;
    body.send_data(Bytes::from_static(&[0; 5]), true)?;
    let (head, mut body) = response.await?.into_parts();
    assert_eq!(head.status, 200, "gRPC has no other status of HTTP");
    let text = |headers: &HeaderMap, name: &str| {
        headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    let mut status = text(&head.headers, "grpc-status");
    while let Some(data) = body.data().await {
        body.flow_control().release_capacity(data?.len())?;
    }
    if let Some(trailers) = body.trailers().await? {
        status = text(&trailers, "grpc-status");
    }
    Ok(Told { status, backend: text(&head.headers, "backend"), metadata: head.headers })
}

/// That a call is answered by this application, or is unimplemented, three times in a row.
#[track_caller]
fn consistently(parent: &Parent, path: &str, metadata: &[(&str, &str)], backend: Option<&str>) -> Told {
    let mut last = None;
    let mut in_a_row = 0;
    wait_until(&format!("{path} with {metadata:?} goes to {backend:?}"), || {
        let told = call(parent.at(7070), path, metadata);
        let expected = told.as_ref().is_ok_and(|told| match backend {
            Some(backend) => told.backend == backend && told.status == "0",
            None => told.backend.is_empty() && told.status == UNIMPLEMENTED,
        });
        in_a_row = if expected { in_a_row + 1 } else { 0 };
        last = Some(told);
        in_a_row == 3
    });
    last.unwrap().unwrap()
}

fn exact_method() {
    let parent = Parent::new(
        "grpc-method",
        "GRPC
  - matches: [{method: {service: gateway_api_conformance.echo_basic.grpcecho.GrpcEcho, method: Echo}}]
    backendRefs: [{name: echo-v1, port: 7070}]
  - matches: [{method: {service: gateway_api_conformance.echo_basic.grpcecho.GrpcEcho, method: EchoTwo}}]
    backendRefs: [{name: echo-v2, port: 7070}]",
    );
    consistently(&parent, ECHO, &[], Some("echo-v1"));
    consistently(&parent, ECHO_TWO, &[], Some("echo-v2"));
    consistently(&parent, "/gateway_api_conformance.echo_basic.grpcecho.GrpcEcho/EchoThree", &[], None);
}

fn header_matching() {
    let parent = Parent::new(
        "grpc-headers",
        "GRPC
  - {matches: [{headers: [{name: version, value: one}]}], backendRefs: [{name: echo-v1, port: 7070}]}
  - {matches: [{headers: [{name: version, value: two}]}], backendRefs: [{name: echo-v2, port: 7070}]}
  - matches: [{headers: [{name: version, value: two}, {name: color, value: orange}]}]
    backendRefs: [{name: echo-v1, port: 7070}]
  - matches: [{headers: [{name: color, value: blue}]}, {headers: [{name: color, value: green}]}]
    backendRefs: [{name: echo-v1, port: 7070}]
  - matches: [{headers: [{name: color, value: red}]}, {headers: [{name: color, value: yellow}]}]
    backendRefs: [{name: echo-v2, port: 7070}]",
    );
    for (metadata, backend) in [
        (&[("version", "one")][..], Some("echo-v1")),
        (&[("version", "two")], Some("echo-v2")),
        (&[("version", "two"), ("color", "orange")], Some("echo-v1")),
        (&[("version", "two"), ("color", "blue")], Some("echo-v2")),
        (&[("color", "orange")], None),
        (&[("some-other-header", "one")], None),
        (&[("color", "blue")], Some("echo-v1")),
        (&[("color", "green")], Some("echo-v1")),
        (&[("color", "red")], Some("echo-v2")),
        (&[("color", "yellow")], Some("echo-v2")),
        (&[("color", "purple")], None),
    ] {
        consistently(&parent, ECHO, metadata, backend);
    }
}

fn named_rule() {
    let parent = Parent::new(
        "grpc-named",
        "GRPC
  - name: named-rule
    matches: [{method: {service: gateway_api_conformance.echo_basic.grpcecho.GrpcEcho, method: Echo}}]
    backendRefs: [{name: echo-v2, port: 7070}]",
    );
    consistently(&parent, ECHO, &[], Some("echo-v2"));
    consistently(&parent, ECHO_TWO, &[], None);
}

fn request_headers() {
    let rule = |method: &str, modifier: &str| {
        format!(
            "\n  - matches: [{{method: {{service: s, method: {method}}}}}]\n    \
             filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{{modifier}}}}}]\n    \
             backendRefs: [{{name: echo-v1, port: 7070}}]"
        )
    };
    let rules = [
        rule("Set", "set: [{name: X-Header-Set, value: set-overwrites-values}]"),
        rule("Add", "add: [{name: X-Header-Add, value: add-appends-values}]"),
        rule("Remove", "remove: [X-Header-Remove]"),
    ];
    let parent = Parent::new("grpc-modifier", &format!("GRPC{}", rules.concat()));
    let saw = |told: &Told, name: &str| {
        let values = told.metadata.get_all(format!("saw-{name}"));
        values.iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>().join(",")
    };
    let told = consistently(&parent, "/s/Set", &[("x-header-set", "some-other-value")], Some("echo-v1"));
    assert_eq!(saw(&told, "x-header-set"), "set-overwrites-values");
    let told = consistently(&parent, "/s/Add", &[("x-header-add", "some-other-value")], Some("echo-v1"));
    assert_eq!(saw(&told, "x-header-add"), "some-other-value,add-appends-values");
    let told = consistently(&parent, "/s/Remove", &[("x-header-remove", "val")], Some("echo-v1"));
    assert_eq!(saw(&told, "x-header-remove"), "");
}

fn weight() {
    let parent = Parent::new(
        "grpc-weight",
        "GRPC
  - backendRefs:
    - {name: echo-v1, port: 7070, weight: 70}
    - {name: echo-v2, port: 7070, weight: 30}
    - {name: echo-v3, port: 7070, weight: 0}",
    );
    wait_until("the route has arrived", || {
        call(parent.at(7070), ECHO, &[]).is_ok_and(|told| told.backend == "echo-v2")
    });
    let near = (0..10).any(|_| {
        let mut counts = [0.0; 3];
        for _ in 0..500 {
            let told = call(parent.at(7070), ECHO, &[]).unwrap();
            counts[APPLICATIONS.iter().position(|name| *name == told.backend).unwrap()] += 1.0 / 500.0;
        }
        assert_eq!(counts[2], 0.0, "what has no weight gets nothing");
        f64::abs(counts[0] - 0.7) <= 0.05
    });
    assert!(near, "not 70:30 in ten times 500 calls");
}
