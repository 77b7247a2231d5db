//! What a relay can do with a stream beyond reading and writing: reset it instead of ending it in order, and have its
//! bytes moved past the relay's task.

use std::os::fd::AsFd;
use std::sync::Arc;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::SockRef;
use tokio::io::DuplexStream;
use tokio::net::TcpStream;

use super::Outlet;
use crate::socket::Tap;

/// A stream that can be reset, so that its peer sees a failure and not an orderly end.
pub trait Abort {
    /// Makes the drop of this stream a reset. What was written and has not left yet is discarded.
    fn abort(&mut self);

    /// Whether bytes that this stream accepted are still waiting to leave the machine. A stream that cannot tell
    /// says no.
    fn unsent(&self) -> bool {
        false
    }

    /// The kernel's socket, where this stream is one and nothing else: bytes may then be moved past this process.
    fn socket(&self) -> Option<&TcpStream> {
        None
    }

    /// The writing end of this stream, where it can be shared.
    fn tap(&self) -> Option<Tap> {
        None
    }

    /// Whether this stream can push what it receives.
    fn pushes(&self) -> bool {
        false
    }

    /// From now on received bytes may go into the outlet, as it says. Does nothing for a stream that cannot push.
    fn push_into(&mut self, _outlet: Arc<dyn Outlet>) {}
}

impl Abort for TcpStream {
    /// `SO_LINGER` of zero: close sends RST (tcp(7)).
    fn abort(&mut self) {
        // Fails only on a socket that is already dead.
        let _ = self.set_zero_linger();
    }

    /// With `TCP_NOTSENT_LOWAT` at one byte the kernel calls a socket writable only when nothing is left to send. The
    /// option stays set: only a stream that is about to be reset is asked.
    fn unsent(&self) -> bool {
        if SockRef::from(self).set_tcp_notsent_lowat(1).is_err() {
            return false;
        }
        let mut socket = [PollFd::new(self.as_fd(), PollFlags::POLLOUT)];
        // Ready with POLLOUT, POLLERR or POLLHUP: sent, or nobody left to send to.
        matches!(poll(&mut socket, PollTimeout::ZERO), Ok(0))
    }

    fn socket(&self) -> Option<&TcpStream> {
        Some(self)
    }
}

/// For flows over in-memory pipes, which know no reset: the peer sees the end of the stream.
impl Abort for DuplexStream {
    fn abort(&mut self) {}
}

impl<S: Abort + ?Sized> Abort for &mut S {
    fn abort(&mut self) {
        (**self).abort();
    }
    fn unsent(&self) -> bool {
        (**self).unsent()
    }
    fn socket(&self) -> Option<&TcpStream> {
        (**self).socket()
    }
    fn tap(&self) -> Option<Tap> {
        (**self).tap()
    }
    fn pushes(&self) -> bool {
        (**self).pushes()
    }
    fn push_into(&mut self, outlet: Arc<dyn Outlet>) {
        (**self).push_into(outlet);
    }
}
