//! What the tests of both ends share: real descriptors, a peer that says anything, and patience with an end.

use std::fs::File;
use std::future::Future;
use std::io::{IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use crate::identity::WorkloadIdentity;
use crate::registry::Pod;
use crate::server::Permissions;
use crate::socket::{self, Seqpacket};
use crate::wire::{self, Datagram, MAX_RESPONSE};
use crate::{client::Event, listening};

/// A file of its own, in the place of a network namespace.
pub(crate) fn namespace() -> OwnedFd {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"a namespace").unwrap();
    file.into()
}

pub(crate) fn null() -> OwnedFd {
    File::open("/dev/null").unwrap().into()
}

pub(crate) fn inode(descriptor: impl AsFd) -> (u64, u64) {
    let stat = rustix::fs::fstat(descriptor).unwrap();
    (stat.st_dev, stat.st_ino)
}

pub(crate) fn identity(name: &str) -> WorkloadIdentity {
    WorkloadIdentity { name: name.into(), namespace: "shop".into(), service_account: "web".into() }
}

pub(crate) fn pod(uid: &str) -> Pod {
    Pod { uid: uid.into(), identity: identity(uid), netns: Arc::new(namespace()) }
}

/// The event without its descriptor, to compare it.
pub(crate) fn plain(event: Event) -> Event<()> {
    match event {
        Event::Add { uid, identity, .. } => Event::Add { uid, identity, netns: () },
        Event::Keep { uid } => Event::Keep { uid },
        Event::Remove { uid } => Event::Remove { uid },
        Event::SnapshotSent { stale } => Event::SnapshotSent { stale },
    }
}

/// Fails the test when it takes longer than anything here may.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("took longer than 30 s")
}

/// An agent that says what the test wants.
pub(crate) struct FakeAgent {
    listener: tokio::net::UnixListener,
    _file: listening::SocketFile,
}

impl FakeAgent {
    pub(crate) fn new(path: &Path) -> Self {
        let (listener, file) = listening::listen(path, Permissions::default()).unwrap();
        let listener = std::os::unix::net::UnixListener::from(listener);
        Self { listener: tokio::net::UnixListener::from_std(listener).unwrap(), _file: file }
    }

    /// The next connection, after its hello.
    pub(crate) async fn accept(&self) -> Peer {
        let (socket, _) = self.listener.accept().await.unwrap();
        let peer = Peer(Seqpacket::accepted(socket));
        assert_eq!(peer.receive().await.unwrap().bytes, [8, 1]);
        peer
    }
}

/// A peer that says anything.
pub(crate) struct Peer(Seqpacket);

impl Peer {
    pub(crate) fn connect(path: &Path) -> Self {
        Self(Seqpacket::new(socket::connect(path).unwrap()).unwrap())
    }

    pub(crate) async fn hello(path: &Path) -> Self {
        let peer = Self::connect(path);
        peer.send(&wire::hello(), &[]).await;
        peer
    }

    pub(crate) async fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
        // The control message takes 16 bytes, 4 more for each descriptor, and is aligned to 8.
        let mut space = vec![MaybeUninit::uninit(); 64 + 4 * descriptors.len()];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
        }
        let socket = self.0.as_fd();
        rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL).unwrap();
    }

    /// The next datagram; `None` when the other side has closed.
    pub(crate) async fn receive(&self) -> Option<Datagram<OwnedFd>> {
        within(self.0.receive(MAX_RESPONSE)).await.unwrap()
    }

    pub(crate) async fn request(&self) -> Event {
        wire::read_request(self.receive().await.expect("closed")).unwrap()
    }

    pub(crate) async fn response(&self) -> Result<(), String> {
        wire::read_response(&self.receive().await.expect("closed")).unwrap()
    }

    pub(crate) async fn ack(&self) {
        self.send(&wire::response(Ok(())), &[]).await;
    }

    pub(crate) async fn refuse(&self, reason: &str) {
        self.send(&wire::response(Err(reason)), &[]).await;
    }

    /// Receives an add and returns its pod, unanswered.
    pub(crate) async fn added(&self) -> String {
        match self.request().await {
            Event::Add { uid, .. } => uid,
            other => panic!("{other:?} in the place of an add"),
        }
    }

    /// Acks everything up to the snapshot's end; returns the pods.
    pub(crate) async fn snapshot(&self) -> Vec<String> {
        let mut pods = Vec::new();
        loop {
            match self.request().await {
                Event::Add { uid, .. } | Event::Keep { uid } => pods.push(uid),
                Event::SnapshotSent { .. } => break,
                Event::Remove { uid } => panic!("removal of pod {uid} inside the snapshot"),
            }
            self.ack().await;
        }
        self.ack().await;
        pods
    }
}
