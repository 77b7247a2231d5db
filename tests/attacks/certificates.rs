//! A08: clients with wrong certificates, or none, or a slow hand, on the real port 15008.

use std::io::{Read, Write};
use std::path::Path;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ambit_identity::{ExpectedPeers, tls};
use ambit_tests::certificates::{Files, Wrong, other_root, runtime, sign, valid};
use ambit_tests::frames::{self, Reply, Tunnel};
use ambit_tests::mesh::Mesh;
use ambit_tests::pod::Pod;
use ambit_tests::runner::Test;
use ambit_tests::server::Server;
use ambit_tests::topology::Side;
use ambit_tests::wait::wait_until;
use ambit_tests::{client, http};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

pub(crate) const TESTS: &[Test] = &[
    ("a08_wrong_certificates_are_refused", a08_wrong_certificates_are_refused),
    ("a08_a_slow_hello_is_served_or_cut", a08_a_slow_hello_is_served_or_cut),
];

/// OpenSSL's client on a pod's port 15008, which sends the start of a tunnel at once and keeps the connection open.
struct Client {
    child: std::process::Child,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Client {
    fn start(from: &Pod, to: &Pod, files: Option<&Files>) -> Self {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-tls1_3", "-alpn", "h2", "-connect", &to.at(15008).to_string()]);
        if let Some(files) = files {
            command.arg("-cert").arg(&files.certificate).arg("-key").arg(&files.key);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = from.netns().spawn(&mut command).unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (mut output, into) = (child.stdout.take().unwrap(), heard.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                into.lock().unwrap().extend(&buffer[..count]);
            }
        });
        let request = [frames::preface(), frames::connect(1, &to.at(8080).to_string(), &[])].concat();
        // It may have ended already.
        let _ = child.stdin.as_mut().unwrap().write_all(&request);
        Self { child, heard }
    }

    fn heard(&self) -> Vec<u8> {
        self.heard.lock().unwrap().clone()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn a08_wrong_certificates_are_refused() {
    let mut mesh = Mesh::started("a08");
    let (cart, outside) = (mesh.pod("cart", Side::B), mesh.outsider("outside", Side::A));
    mesh.settled();
    let server = Server::echo(cart.netns(), 8080);
    let made = |name: &str| mesh.directory.join(name);
    let root = Files { certificate: mesh.root(), key: mesh.state().join("root-key.pem") };
    let other = other_root(&made("other-root"));
    let signed = |root: &Files, name: &str, wrong: &Wrong<'_>| sign(root, &made(name), wrong);

    let good = signed(&root, "good", &Wrong::default());
    let accepted = Client::start(&outside, &cart, Some(&good));
    wait_until("the right certificate opens the tunnel", || server.seen.connections() == 1);
    wait_until("it is answered", || accepted.heard().len() > 9);
    drop(accepted);

    let named = |names| Wrong { names, ..Wrong::default() };
    let two = "URI:spiffe://cluster.local/ns/shop/sa/web,URI:spiffe://cluster.local/ns/shop/sa/cart";
    let cases: [(&str, Option<Files>, &str); 11] = [
        ("none", None, "no certificate"),
        (
            "expired",
            Some(Wrong { until: "20210101000000Z", ..Wrong::default() })
                .map(|wrong| signed(&root, "expired", &wrong)),
            "has expired",
        ),
        (
            "not yet valid",
            Some(Wrong { from: "20480101000000Z", ..Wrong::default() })
                .map(|wrong| signed(&root, "future", &wrong)),
            "not valid yet",
        ),
        ("another root", Some(signed(&other, "other", &Wrong::default())), "was not issued by a root"),
        (
            "another trust domain",
            Some(signed(&root, "domain", &named(Some("URI:spiffe://other.domain/ns/shop/sa/web")))),
            "outside our trust domain",
        ),
        ("two names", Some(signed(&root, "two", &named(Some(two)))), "has 2 URI names"),
        ("no name", Some(signed(&root, "zero", &named(None))), "has 0 URI names"),
        (
            "a DNS name",
            Some(signed(&root, "dns", &named(Some("DNS:web.shop.svc.cluster.local")))),
            "has 0 URI names",
        ),
        (
            "a web address",
            Some(signed(&root, "web", &named(Some("URI:https://cluster.local/ns/shop/sa/web")))),
            "is not accepted",
        ),
        (
            "for servers only",
            Some(Wrong { usage: "serverAuth", ..Wrong::default() })
                .map(|wrong| signed(&root, "usage", &wrong)),
            "not meant for client authentication",
        ),
        // The controller's own kind of certificate is no workload's, even from the right root.
        ("signs itself", Some(self_signed(&made("self"))), "was not issued by a root"),
    ];
    for (what, files, reason) in &cases {
        let mut client = Client::start(&outside, &cart, files.as_ref());
        wait_until(&format!("the client with {what} is cut off"), || {
            client.child.try_wait().unwrap().is_some()
        });
        assert_eq!(client.heard(), b"", "{what}: the tunnel spoke");
        let line = mesh.ztunnel(Side::B).logged(what, |line| {
            line["message"] == "connection failed"
                && line["error"].as_str().is_some_and(|error| error.contains(reason))
        });
        assert!(line["src.identity"].is_null(), "{what}: an unproved identity in the log: {line}");
    }
    assert_eq!(server.seen.connections(), 1, "a wrong certificate reached the application");
    let web = mesh.pod("web", Side::A);
    mesh.settled();
    assert!(client::passes(web.netns(), cart.at(8080)), "the attacks did harm to the others");
}

/// A root with the name of a workload, as its own leaf.
fn self_signed(directory: &Path) -> Files {
    let root = other_root(directory);
    sign(&root, &directory.join("leaf"), &Wrong::default())
}

/// Sends one byte at a time.
struct Dribble(TcpStream);

impl AsyncRead for Dribble {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Dribble {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let first = bytes.get(..1).unwrap_or_default();
        Pin::new(&mut self.0).poll_write(cx, first)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

fn a08_a_slow_hello_is_served_or_cut() {
    let mut mesh = Mesh::started("a08-slow");
    let (web, cart) = (mesh.pod("web", Side::A), mesh.pod("cart", Side::B));
    let outside = mesh.outsider("outside", Side::A);
    mesh.settled();
    let server = Server::echo(cart.netns(), 8080);
    let certificate = valid(&mesh, Side::A, &web.identity());
    // One byte at a time, but steadily: served.
    let reply = runtime().block_on(async {
        let stream = Dribble(frames::tcp(outside.netns(), cart.at(15008)));
        let expected = ExpectedPeers::new([cart.identity()]);
        let (stream, _) = tls::connect(stream, &certificate, &expected).await.unwrap();
        let mut tunnel = Tunnel::begin(stream).await.unwrap();
        tunnel.send(&frames::connect(1, &cart.at(8080).to_string(), &[])).await.unwrap();
        tunnel.reply(1).await
    });
    assert_eq!(reply, Reply::Status(200));
    wait_until("the application is reached", || server.seen.connections() == 1);

    // Half a hello, and nothing, and a hello that is none: cut off within seconds, while others are served.
    let begun = Instant::now();
    let half: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc];
    let mut slow: Vec<_> = [half, b"", half, b""]
        .into_iter()
        .cycle()
        .take(60)
        .map(|bytes| {
            let mut stream = http::connect(outside.netns(), cart.at(15008)).unwrap();
            stream.write_all(bytes).unwrap();
            stream
        })
        .collect();
    let mut wrong = http::connect(outside.netns(), cart.at(15008)).unwrap();
    wrong.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let _ = client::drain(&mut wrong);
    assert!(begun.elapsed() < Duration::from_secs(4), "a hello that is none was not refused at once");
    assert!(client::passes(web.netns(), cart.at(8080)), "slow strangers keep the others waiting");
    for stream in &mut slow {
        let (bytes, ended) = client::drain(stream);
        assert!(
            !ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock),
            "a slow hello is kept"
        );
        assert!(bytes.len() < 16, "a slow hello was answered");
    }
    let took = begun.elapsed();
    assert!(
        (Duration::from_secs(4)..Duration::from_secs(15)).contains(&took),
        "they were cut after {took:?}"
    );
}
