//! A pod and a peer joined by a link, and programs in them.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use ambit_netns::links::Links;
use ambit_netns::{Namespace, rules::PACKET_MARK};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

/// Longer than anything should take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const POD_V4: &str = "10.0.0.2";
pub(crate) const POD_V6: &str = "fd00::2";
pub(crate) const PEER_V4: &str = "10.0.0.1";
pub(crate) const PEER_V6: &str = "fd00::1";

/// Two namespaces with `eth0` in each.
pub(crate) struct Pair {
    pub(crate) pod: Namespace,
    pub(crate) peer: Namespace,
}

impl Pair {
    pub(crate) fn new() -> Self {
        let (pod, peer) = (Namespace::create().unwrap(), Namespace::create().unwrap());
        Links::open(&pod).unwrap().veth("eth0", &peer, "eth0").unwrap();
        for (namespace, v4, v6) in [(&pod, POD_V4, POD_V6), (&peer, PEER_V4, PEER_V6)] {
            let mut links = Links::open(namespace).unwrap();
            links.up("eth0").unwrap();
            links.address("eth0", format!("{v4}/24").parse().unwrap()).unwrap();
            links.address("eth0", format!("{v6}/64").parse().unwrap()).unwrap();
        }
        Self { pod, peer }
    }
}

pub(crate) fn address(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), port)
}

/// A listener whose `accept` gives up after [`PATIENCE`]. On `::` it takes IPv4 too.
pub(crate) fn listen(namespace: &Namespace, ip: &str, port: u16) -> TcpListener {
    // A process that another test starts holds copies of our sockets until it runs its program, so a former listener
    // may live a little longer than its owner.
    let bound = poll(|| match namespace.run(|| TcpListener::bind(address(ip, port))).unwrap() {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => None,
        other => Some(other.unwrap()),
    });
    let listener = bound.unwrap_or_else(|| panic!("{ip} port {port} stays in use"));
    SockRef::from(&listener).set_read_timeout(Some(PATIENCE)).unwrap();
    listener
}

/// Asks again until there is an answer, for [`PATIENCE`].
pub(crate) fn poll<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask();
        if answer.is_some() || Instant::now() > deadline {
            return answer;
        }
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

pub(crate) fn connect(namespace: &Namespace, to: SocketAddr) -> TcpStream {
    let stream = namespace.run(|| TcpStream::connect_timeout(&to, PATIENCE)).unwrap();
    let stream = stream.unwrap_or_else(|error| panic!("connect to {to}: {error}"));
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Connects as the proxy does: with its mark, and from `source` when told.
pub(crate) fn connect_marked(namespace: &Namespace, source: Option<IpAddr>, to: SocketAddr) -> TcpStream {
    let dial = || {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_mark(PACKET_MARK.value)?;
        if let Some(source) = source {
            if source.is_ipv4() {
                socket.set_ip_transparent_v4(true)?;
            } else {
                socket.set_ip_transparent_v6(true)?;
            }
            socket.bind(&SockAddr::from(SocketAddr::new(source, 0)))?;
        }
        socket.connect_timeout(&SockAddr::from(to), PATIENCE)?;
        Ok::<TcpStream, std::io::Error>(socket.into())
    };
    let stream = namespace.run(dial).unwrap().unwrap_or_else(|error| panic!("dial {to}: {error}"));
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Accepts one connection; gives it and the unmapped peer address.
pub(crate) fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let (stream, from) = listener.accept().expect("nobody connected");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    (stream, unmapped(from))
}

/// Where the client of an accepted connection wanted to go.
pub(crate) fn original(stream: &TcpStream) -> SocketAddr {
    let socket = SockRef::from(stream);
    let local = unmapped(stream.local_addr().unwrap());
    let found = if local.is_ipv4() { socket.original_dst_v4() } else { socket.original_dst_v6() };
    found.unwrap().as_socket().unwrap()
}

pub(crate) fn unmapped(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Bytes pass in both directions.
pub(crate) fn talk(one: &mut TcpStream, other: &mut TcpStream) {
    for (from, to) in [(true, b"there"), (false, b"back.")] {
        let (writer, reader) = if from { (&mut *one, &mut *other) } else { (&mut *other, &mut *one) };
        writer.write_all(to).unwrap();
        let mut read = [0; 5];
        reader.read_exact(&mut read).expect("the bytes did not arrive");
        assert_eq!(&read, to);
    }
}

/// A connection from `from` to `to` is accepted by `listener`, and bytes pass; gives the accepted end and its client.
pub(crate) fn lands(listener: &TcpListener, from: &Namespace, to: SocketAddr) -> (TcpStream, SocketAddr) {
    let mut client = connect(from, to);
    let (mut accepted, peer) = accept(listener);
    assert_eq!(unmapped(client.local_addr().unwrap()), peer, "another connection was accepted");
    talk(&mut client, &mut accepted);
    (accepted, peer)
}
