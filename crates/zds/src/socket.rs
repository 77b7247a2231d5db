//! Datagrams with descriptors over a `SOCK_SEQPACKET` unix socket.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;

use rustix::io::retry_on_intr;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::wire::Datagram;

const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// A new socket, not yet bound or connected.
pub(crate) fn open() -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, FLAGS, None)?)
}

/// Connects to `path` without waiting: on a unix socket it works at once or not at all.
pub(crate) fn connect(path: &Path) -> io::Result<OwnedFd> {
    let socket = open()?;
    let address = SocketAddrUnix::new(path)?;
    retry_on_intr(|| rustix::net::connect(&socket, &address))?;
    Ok(socket)
}

/// One end of a connection. The stream in it serves for its readiness and its peer's credentials only.
#[derive(Debug)]
pub(crate) struct Seqpacket(UnixStream);

impl Seqpacket {
    /// Registers a connected, non-blocking socket with the running runtime.
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        UnixStream::from_std(StdUnixStream::from(socket)).map(Self)
    }

    /// A connection that a listener accepted; it must be of the same type.
    pub(crate) fn accepted(socket: UnixStream) -> Self {
        Self(socket)
    }

    /// The user the peer ran as when it connected, as seen from our user namespace.
    pub(crate) fn peer_uid(&self) -> io::Result<u32> {
        Ok(self.0.peer_cred()?.uid())
    }

    /// Sends one datagram, with a descriptor or without. Cancel-safe: it was sent whole or not at all.
    pub(crate) async fn send(&self, bytes: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        self.0.async_io(Interest::WRITABLE, || send(&self.0, bytes, descriptor)).await
    }

    /// Sends one datagram if there is room for it now; otherwise `WouldBlock`.
    pub(crate) fn send_now(&self, bytes: &[u8]) -> io::Result<()> {
        send(&self.0, bytes, None)
    }

    /// Receives one datagram of at most `limit` bytes and one descriptor; `None` when the peer has closed. Cancel-safe.
    pub(crate) async fn receive(&self, limit: usize) -> io::Result<Option<Datagram<OwnedFd>>> {
        match self.0.async_io(Interest::READABLE, || receive(&self.0, limit)).await {
            // It closed before it had read all that we sent.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
            received => received,
        }
    }
}

fn send(socket: &impl AsFd, bytes: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(descriptor.as_slice())) {
        return Err(io::Error::other("no room for a descriptor beside the message"));
    }
    if descriptor.is_none() {
        control.clear();
    }
    retry_on_intr(|| {
        rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)
    })?;
    Ok(())
}

fn receive(socket: &impl AsFd, limit: usize) -> io::Result<Option<Datagram<OwnedFd>>> {
    let mut bytes = vec![0; limit];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = retry_on_intr(|| {
        rustix::net::recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )
    })?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            descriptors.extend(passed);
        }
    }
    // The end and an empty datagram look alike; no message of the protocol is empty.
    if received.bytes == 0 {
        return Ok(None);
    }
    bytes.truncate(received.bytes);
    let truncated = received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC);
    Ok(Some(Datagram { bytes, descriptors, truncated }))
}

impl AsFd for Seqpacket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
