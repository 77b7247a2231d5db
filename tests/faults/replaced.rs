//! A proxy is replaced while connections begin.

use std::fs;
use std::net::{SocketAddr, TcpStream};

use ambit_netns::Namespace;
use ambit_tests::http;
use ambit_tests::mesh::Mesh;
use ambit_tests::runner::Test;
use ambit_tests::server::Server;
use ambit_tests::topology::Side;
use ambit_tests::wait::wait_until;
use nix::sys::signal::Signal;
use socket2::{Domain, Socket, Type};

pub(crate) const TESTS: &[Test] =
    &[("connections_begun_with_the_leaving_proxy_come_through", begun_with_the_leaving_proxy)];

/// So many that the kernel gives some to each of the two proxies.
const BEGUN: usize = 16;

/// The listener that a connection begins with may be closed before the client's last packet of the handshake comes.
fn begun_with_the_leaving_proxy() {
    let mut mesh = Mesh::started("begun");
    let (web, far) = (mesh.pod("web", Side::A), mesh.pod("far", Side::B));
    let outsider = mesh.outsider("outsider", Side::A);
    mesh.settled();
    let _server = Server::http(far.netns(), 8080, "far");
    // Captured on its way out of `web`, and on its way into `far`.
    for (client, proxied, port) in [(&web, &web, 15001), (&outsider, &far, 15006)] {
        for to in [far.at(8080), far.at6(8080)] {
            wait_until("the way is there", || http::get(client.netns(), to, "/").is_ok());
            let mut leaving = mesh.replace_ztunnel(proxied.spec.side);
            mesh.settled();
            let begun: Vec<TcpStream> = (0..BEGUN).map(|_| begin(client.netns(), to)).collect();
            leaving.signal(Signal::SIGTERM);
            wait_until("the leaving proxy has closed", || listeners(proxied.netns(), port) == 1);
            for (number, mut stream) in begun.into_iter().enumerate() {
                let answer = http::ask(&mut stream, to, "/begun");
                assert!(
                    answer.as_ref().is_ok_and(|answer| answer.body.starts_with("far /begun ")),
                    "connection {number} of {BEGUN} to {to}: {answer:?}"
                );
            }
            assert!(leaving.ended().success());
        }
    }
}

/// A connection whose handshake the server does not see complete before the first byte, or 200 ms, comes.
fn begin(from: &Namespace, to: SocketAddr) -> TcpStream {
    let connect = || {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        // Without it the kernel holds the answer to a SYN-ACK back.
        socket.set_tcp_quickack(false)?;
        socket.connect_timeout(&to.into(), http::PATIENCE)?;
        socket.set_read_timeout(Some(http::PATIENCE))?;
        Ok(TcpStream::from(socket))
    };
    from.run(connect).unwrap().unwrap_or_else(|error: std::io::Error| panic!("connect to {to}: {error}"))
}

/// How many sockets listen on a port of every address.
fn listeners(namespace: &Namespace, port: u16) -> usize {
    let sockets = namespace.run(|| fs::read_to_string("/proc/thread-self/net/tcp6")).unwrap().unwrap();
    let local = format!("{}:{port:04X}", "0".repeat(32));
    let listens = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(1) == Some(&local.as_str()) && fields.get(3) == Some(&"0A")
    };
    sockets.lines().filter(listens).count()
}
