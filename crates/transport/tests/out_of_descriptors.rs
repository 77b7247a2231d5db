//! R10: a process without descriptors rests, does not spin, and accepts again when there are some.
//! A test binary of its own, since the limit is the process's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ambit_transport::drain::{Mode, channel};
use ambit_transport::{ListenOptions, Listeners, accept_loop, tcp_listener};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

#[tokio::test(start_paused = true)]
async fn r10_accept_rests_without_descriptors_and_recovers() {
    let listener =
        tcp_listener(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), &ListenOptions::default()).unwrap();
    let target = listener.local_addr().unwrap();
    let listeners = Listeners::watch([listener]).unwrap();
    let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();

    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 64, hard).unwrap();
    let mut held: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(!held.is_empty());

    let (drain, watch) = channel();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    let loop_ = tokio::spawn(async move {
        accept_loop(listeners, watch, |_| {
            count.fetch_add(1, Ordering::SeqCst);
        })
        .await
    });
    client.connect(&target.into()).unwrap();

    // The clock stands still while this task is busy yielding: the loop tries once, fails and rests.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    held.truncate(held.len() - 4);
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(accepted.load(Ordering::SeqCst), 0, "it tried again without a rest");

    tokio::time::advance(Duration::from_millis(100)).await;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(accepted.load(Ordering::SeqCst), 1, "it accepts again");
    drain.drain(Mode::Immediate);
    assert_eq!(loop_.await.unwrap(), Mode::Immediate);
    drop(held);
}
