//! Listening, accepting and dialling on the loopback, with what goes wrong there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use ambit_transport::dial::{DialFailure, connect, dial, socket};
use ambit_transport::drain::{Mode, channel};
use ambit_transport::{
    DialOptions, Keepalive, ListenError, ListenOptions, Listeners, accept_loop, original_destination,
    tcp_listener,
};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

fn localhost(port: u16) -> SocketAddr {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into()
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("it hangs")
}

#[tokio::test]
async fn a_wildcard_takes_both_families_and_names_ipv4_as_such() {
    let keepalive = Keepalive { idle: Duration::from_secs(44), ..Keepalive::default() };
    let options = ListenOptions { keepalive: Some(keepalive), ..ListenOptions::default() };
    let listener = tcp_listener(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)), &options).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (_drain, watch) = channel();
    let (seen, mut accepted) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        accept_loop(Listeners::watch([listener]).unwrap(), watch, |accepted| {
            let (peer, stream) = (accepted.peer, TcpStream::from_std(accepted.stream).unwrap());
            let socket = SockRef::from(&stream);
            let keepalive = socket.keepalive().unwrap().then(|| socket.tcp_keepalive_time().unwrap());
            let options = (stream.nodelay().unwrap(), keepalive);
            seen.send((original_destination(&stream, peer).unwrap(), peer, options)).unwrap();
        })
        .await
    });
    for ip in ["127.0.0.1", "::1"] {
        let target = SocketAddr::new(ip.parse().unwrap(), port);
        let Ok(stream) = dial(&DialOptions::default(), target).await else {
            assert_eq!(ip, "::1", "only IPv6 may be missing on a machine");
            continue;
        };
        let (destination, peer, options) = in_time(accepted.recv()).await.unwrap();
        assert_eq!(destination, target, "no redirection: the local address, IPv4 as IPv4");
        assert_eq!(peer, stream.local_addr().unwrap());
        assert_eq!(
            options,
            (true, Some(Duration::from_secs(44))),
            "the listener's options are its connections'"
        );
    }
}

#[tokio::test]
async fn dialled_sockets_carry_their_options() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = DialOptions {
        keepalive: Some(Keepalive {
            idle: Duration::from_secs(33),
            interval: Duration::from_secs(7),
            probes: 3,
        }),
        user_timeout: Some(Duration::from_secs(12)),
        ..DialOptions::default()
    };
    let stream = dial(&options, listener.local_addr().unwrap()).await.unwrap();
    let socket = SockRef::from(&stream);
    assert!(socket.keepalive().unwrap() && stream.nodelay().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(33));
    assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(7));
    assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(12)));
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let first = tcp_listener(localhost(0), &ListenOptions::default()).unwrap();
    let address = first.local_addr().unwrap();
    let error = tcp_listener(address, &ListenOptions::default()).unwrap_err();
    assert!(matches!(error, ListenError::Taken { .. }));
    assert!(error.to_string().starts_with(&address.to_string()), "{error}");
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn a_foreign_address_cannot_be_listened_on() {
    let error = tcp_listener("192.0.2.1:0".parse().unwrap(), &ListenOptions::default()).unwrap_err();
    assert!(matches!(error, ListenError::NotLocal { .. }), "{error}");
}

#[tokio::test]
async fn workers_share_a_port() {
    let options = ListenOptions { reuse_port: true, ..ListenOptions::default() };
    let first = tcp_listener(localhost(0), &options).unwrap();
    let second = tcp_listener(first.local_addr().unwrap(), &options).unwrap();
    assert_eq!(first.local_addr().unwrap(), second.local_addr().unwrap());
}

#[tokio::test]
async fn a_closed_port_refuses() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = dial(&DialOptions::default(), closed).await.unwrap_err();
    assert_eq!(error.failure, DialFailure::Refused);
    assert_eq!(
        error.to_string(),
        format!("cannot connect to {closed}: refused, nothing listens on that port")
    );
}

#[tokio::test]
async fn families_must_agree() {
    let options = DialOptions { source: Some(Ipv6Addr::LOCALHOST.into()), ..DialOptions::default() };
    assert_eq!(socket(&options, localhost(1)).unwrap_err().failure, DialFailure::FamilyMismatch);
}

#[tokio::test]
async fn a_silent_target_times_out() {
    // A listener whose queue is full answers no further SYN.
    let options = ListenOptions { backlog: 0, ..ListenOptions::default() };
    let listener = tcp_listener(localhost(0), &options).unwrap();
    let target = listener.local_addr().unwrap();
    let quick = DialOptions { timeout: Duration::from_millis(200), ..DialOptions::default() };
    let mut held = Vec::new();
    let error = loop {
        match dial(&quick, target).await {
            Ok(stream) => held.push(stream),
            Err(error) => break error,
        }
        assert!(held.len() < 64, "the queue never fills");
    };
    assert_eq!(error.failure, DialFailure::TimedOut);
    assert!(error.to_string().contains("200ms"), "{error}");
}

#[tokio::test]
async fn the_two_steps_are_one_dial() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    let socket = std::thread::spawn(move || socket(&DialOptions::default(), target)).join().unwrap().unwrap();
    let mut stream = connect(socket, target, Duration::from_secs(5)).await.unwrap();
    let (mut accepted, _) = listener.accept().await.unwrap();
    stream.write_all(b"hi").await.unwrap();
    accepted.read_exact(&mut [0; 2]).await.unwrap();
}

#[tokio::test]
async fn f6_a_graceful_drain_serves_what_the_kernel_has_accepted() {
    let listener = tcp_listener(localhost(0), &ListenOptions::default()).unwrap();
    let target = listener.local_addr().unwrap();
    let (drain, watch) = channel();
    // Connected, in the queue, and not yet accepted when the drain starts.
    let mut waiting = Vec::new();
    for _ in 0..10 {
        waiting.push(std::net::TcpStream::connect(target).unwrap());
    }
    drain.drain(Mode::Graceful);
    let mut served = Vec::new();
    let listeners = Listeners::watch([listener]).unwrap();
    let mode = accept_loop(listeners, watch, |accepted| served.push(accepted)).await;
    assert_eq!((mode, served.len()), (Mode::Graceful, 10));
    drain.finished().await;
    assert!(std::net::TcpStream::connect(target).is_err(), "the listener is closed");
}

#[tokio::test]
async fn one_task_serves_several_listeners() {
    let listener = |_| tcp_listener(localhost(0), &ListenOptions::default()).unwrap();
    let listeners = [0, 1, 2].map(listener);
    let targets: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
    let (drain, watch) = channel();
    // Many on the first, one on each of the others: these must not wait for all of those.
    let crowd: Vec<_> = (0..50).map(|_| std::net::TcpStream::connect(targets[0]).unwrap()).collect();
    let single = [1, 2].map(|index: usize| std::net::TcpStream::connect(targets[index]).unwrap());
    let (seen, mut accepted) = mpsc::unbounded_channel();
    let listeners = Listeners::watch(listeners).unwrap();
    let serving = tokio::spawn(accept_loop(listeners, watch, move |accepted| {
        seen.send((accepted.listener, accepted.peer)).unwrap();
    }));
    let mut order = Vec::new();
    for _ in 0..52 {
        order.push(in_time(accepted.recv()).await.unwrap());
    }
    for (index, stream) in single.iter().enumerate() {
        let place = order.iter().position(|seen| *seen == (index + 1, stream.local_addr().unwrap())).unwrap();
        assert!(place < 10, "listener {} waited for {place} others", index + 1);
    }
    drain.drain(Mode::Immediate);
    assert_eq!(in_time(serving).await.unwrap(), Mode::Immediate);
    drop(crowd);
}
