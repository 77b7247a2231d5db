//! Descriptors are closed again, whatever the peer sends. Alone in its process, as it counts them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::{self, File};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ambit_zds::WorkloadIdentity;
use ambit_zds::client::{Client, ConnectionError, Event};
use ambit_zds::registry::{Pod, Registry};
use ambit_zds::server::{Permissions, Server};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    SocketAddrUnix, SocketFlags, SocketType,
};

/// An add of pod `u`, in workload `n` of namespace `s` and service account `a`.
const ADD: &[u8] = &[0x0a, 0x0e, 0x0a, 1, b'u', 0x12, 9, 0x0a, 1, b'n', 0x12, 1, b's', 0x1a, 1, b'a'];

fn open() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn pod(uid: &str) -> Pod {
    let identity = WorkloadIdentity { name: "n".into(), namespace: "s".into(), service_account: "a".into() };
    Pod { uid: uid.into(), identity, netns: Arc::new(File::open("/dev/null").unwrap().into()) }
}

fn send(socket: &OwnedFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
    let mut space = vec![MaybeUninit::uninit(); 64 + 4 * descriptors.len()];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL).unwrap();
}

fn receive(socket: &OwnedFd) -> usize {
    let mut bytes = [0; 2048];
    let mut control = RecvAncillaryBuffer::default();
    let flags = RecvFlags::CMSG_CLOEXEC;
    rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags)
        .map_or(0, |got| got.bytes)
}

fn seqpacket() -> OwnedFd {
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
}

/// An agent that sends each of these in a connection of its own, then ends.
fn hostile_agent(path: &Path, messages: Vec<(Vec<u8>, usize)>) -> std::thread::JoinHandle<()> {
    let listener = seqpacket();
    rustix::net::bind(&listener, &SocketAddrUnix::new(path).unwrap()).unwrap();
    rustix::net::listen(&listener, 8).unwrap();
    std::thread::spawn(move || {
        let descriptor = File::open("/dev/null").unwrap();
        for (bytes, count) in messages {
            let socket = rustix::net::accept_with(&listener, SocketFlags::CLOEXEC).unwrap();
            assert_eq!(receive(&socket), 2);
            send(&socket, &bytes, &vec![descriptor.as_fd(); count]);
            while receive(&socket) > 0 {}
        }
    })
}

/// Connects to the agent and sends each of these in the place of a hello.
fn hostile_proxy(path: &Path, messages: &[(Vec<u8>, usize)]) {
    let descriptor = File::open("/dev/null").unwrap();
    for (bytes, count) in messages {
        let socket = seqpacket();
        rustix::net::connect(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
        send(&socket, bytes, &vec![descriptor.as_fd(); *count]);
        while receive(&socket) > 0 {}
    }
}

fn messages() -> Vec<(Vec<u8>, usize)> {
    let mut messages = Vec::new();
    for count in [2, 3, 253] {
        messages.push((ADD.to_vec(), count));
    }
    for count in [1, 2, 100] {
        messages.push((vec![0x1a, 0], count));
        messages.push((vec![0xff; 700], count));
        messages.push((vec![0x0a; 1500], count));
    }
    messages
}

#[test]
fn a27_no_descriptor_is_left_behind() {
    let directory = tempfile::tempdir().unwrap();
    let (hostile, path) = (directory.path().join("hostile.sock"), directory.path().join("zds.sock"));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let with_runtime = open();

        let agent = hostile_agent(&hostile, messages());
        let mut client = Client::new(&hostile);
        for (bytes, count) in messages() {
            let refused = client.next().await;
            assert!(
                matches!(refused, Err(ConnectionError::Violation { .. })),
                "{bytes:?}, {count}: {refused:?}"
            );
        }
        drop(client);
        agent.join().unwrap();
        assert_eq!(open(), with_runtime, "the client keeps descriptors of refused messages");

        let registry = Registry::new();
        let server = tokio::spawn(Server::bind(&path, Permissions::default()).unwrap().run(registry.clone()));
        let proxy = std::thread::spawn({
            let path = path.clone();
            move || hostile_proxy(&path, &messages())
        });
        let patience = std::time::Instant::now() + Duration::from_secs(30);
        while !proxy.is_finished() {
            assert!(std::time::Instant::now() < patience, "the server leaves a hostile peer connected");
            tokio::task::yield_now().await;
        }
        proxy.join().unwrap();

        // A well-behaved pair, many pods, twice each.
        let mut client = Client::new(&path);
        for round in 0..2 {
            for number in 0..100 {
                registry.upsert(pod(&number.to_string())).unwrap();
            }
            let mut received = 0;
            while received < 100 {
                let event = client.next().await.unwrap();
                received += usize::from(matches!(event, Event::Add { .. }));
                client.ack(Ok(()));
            }
            for number in 0..100 {
                assert!(registry.remove(&number.to_string()));
            }
            let mut removed = 0;
            while removed < 100 {
                removed += usize::from(matches!(client.next().await.unwrap(), Event::Remove { .. }));
                client.ack(Ok(()));
            }
            // What is left: the listener, and both ends of the connection.
            let left = open();
            assert_eq!(left, with_runtime + 3, "round {round}");
        }
        drop(client);
        server.abort();
        drop(server.await);
        drop(registry);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(open(), with_runtime, "the server keeps descriptors");
    });
}
