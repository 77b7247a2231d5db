//! Dialling from an address that is not ours, with a mark: needs a network namespace of its own, which the tests make
//! by running themselves again under unshare(1), with or without root.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::{IpAddr, SocketAddr};
use std::process::Command;

use ambit_transport::dial::{DialFailure, dial, socket};
use ambit_transport::{DialOptions, ListenError, ListenOptions, tcp_listener};
use socket2::SockRef;
use tokio::net::TcpListener;

/// Runs the test of this name again in new namespaces, unless it is there already; true when it is.
fn inside(test: &str, namespaces: &str) -> bool {
    if std::env::var_os("AMBIT_TEST_NAMESPACE").is_some() {
        return true;
    }
    let status = Command::new("unshare")
        .arg(namespaces)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("AMBIT_TEST_NAMESPACE", "1")
        .status()
        .expect("unshare(1) of util-linux is needed");
    assert!(status.success(), "{test} failed in its namespace");
    false
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().expect("ip(8) of iproute2 is needed");
    assert!(status.success(), "ip {arguments}");
}

fn from(source: &str) -> DialOptions {
    DialOptions { source: Some(source.parse().unwrap()), mark: Some(0x539), ..DialOptions::default() }
}

#[tokio::test]
async fn a_pod_is_dialled_from_its_clients_address() {
    if !inside("a_pod_is_dialled_from_its_clients_address", "-Urn") {
        return;
    }
    ip("link set lo up");
    let any = ListenOptions { transparent: true, ..ListenOptions::default() };
    let listener = tcp_listener("[::]:0".parse().unwrap(), &any).unwrap();
    let port = listener.local_addr().unwrap().port();
    let listener = TcpListener::from_std(listener).unwrap();
    // The way back to the clients leads to this namespace, as a pod's rules see to by mark and routing table.
    let families = [
        ("198.51.100.7", "127.0.0.1", "route add local 198.51.100.0/24 dev lo"),
        ("2001:db8::7", "::1", "-6 route add local 2001:db8::/64 dev lo"),
    ];
    for (source, target, route) in families {
        let options = from(source);
        let source: IpAddr = source.parse().unwrap();
        let target = SocketAddr::new(target.parse().unwrap(), port);
        // Not local and without any route: only a transparent socket can be bound so.
        let bound = socket(&options, target).unwrap();
        let bound = SockRef::from(&bound);
        assert_eq!(bound.local_addr().unwrap().as_socket().unwrap().ip(), source);
        assert_eq!(bound.mark().unwrap(), 0x539);
        let transparent =
            if source.is_ipv4() { bound.ip_transparent_v4() } else { bound.ip_transparent_v6() };
        assert!(transparent.unwrap());

        ip(route);
        let dialled = dial(&options, target).await.unwrap();
        assert_eq!(dialled.peer_addr().unwrap(), target);
        assert_eq!(listener.accept().await.unwrap().1.ip().to_canonical(), source);
    }
}

#[tokio::test]
async fn one_client_address_serves_more_connections_than_ports() {
    if !inside("one_client_address_serves_more_connections_than_ports", "-Urn") {
        return;
    }
    ip("link set lo up");
    ip("route add local 198.51.100.0/24 dev lo");
    // Two ports for everything: a port chosen at bind would be gone after two connections.
    std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40001").unwrap();
    let options = from("198.51.100.7");
    let mut held = Vec::new();
    for port in 50_000..50_010 {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let listener = TcpListener::bind(address).await.unwrap();
        let dialled = dial(&options, address).await.unwrap();
        held.push((dialled, listener.accept().await.unwrap()));
    }
    assert_eq!(held.len(), 10);
}

#[tokio::test]
async fn a_missing_capability_is_named() {
    // A new user namespace has no power over the network namespace that it leaves as it is.
    if !inside("a_missing_capability_is_named", "-Ur") {
        return;
    }
    let error = socket(&from("198.51.100.7"), "127.0.0.1:1".parse().unwrap()).unwrap_err();
    assert_eq!(error.failure, DialFailure::Denied);
    assert!(error.to_string().contains("CAP_NET_ADMIN"), "{error}");
    let transparent = ListenOptions { transparent: true, ..ListenOptions::default() };
    let error = tcp_listener("127.0.0.1:0".parse().unwrap(), &transparent).unwrap_err();
    assert!(matches!(error, ListenError::Denied { .. }), "{error}");
}
