//! What crosses a link? Raw frames, to prove that something does or does not.

mod packet;
mod search;

pub use packet::{Segment, segment};
pub use search::Search;

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::unix::AsyncFd;

use crate::links::{LinkError, Links};
use crate::namespace::{EnterError, Namespace};
use crate::sys;

/// Longest frame kept whole: large receive offload hands up to 64 KiB over in one piece.
const FRAME: usize = 72 * 1024;
/// Socket buffer, in bytes, so that a busy reader does not lose frames.
const BUFFER: usize = 16 * 1024 * 1024;

/// Why a link cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The namespace could not be entered.
    #[error(transparent)]
    Enter(#[from] EnterError),
    /// The interface could not be found.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Not allowed.
    #[error("frames of {0} may not be read: CAP_NET_RAW is needed in the network namespace")]
    Denied(String),
    /// Anything else.
    #[error("frames of {interface} cannot be read ({source}): check that the kernel has CONFIG_PACKET")]
    Io {
        /// The interface.
        interface: String,
        /// The system's answer.
        source: io::Error,
    },
}

/// A watcher of one interface. Frames of both directions are seen; they pass on unchanged.
#[derive(Debug)]
pub struct Capture {
    socket: OwnedFd,
    buffer: Vec<u8>,
    counters: Counters,
}

/// What was seen so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames read.
    pub frames: u64,
    /// Their bytes, link headers included.
    pub bytes: u64,
    /// Frames the kernel dropped because the reader was too slow: a proof of absence needs 0 here.
    pub lost: u64,
}

impl Capture {
    /// Starts to watch `interface` of `namespace`; frames are queued from now on (16 MiB where the kernel allows it).
    pub fn open(namespace: &Namespace, interface: &str) -> Result<Self, CaptureError> {
        let index = Links::open(namespace)?.index(interface)?;
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::PermissionDenied => CaptureError::Denied(interface.to_owned()),
            _ => CaptureError::Io { interface: interface.to_owned(), source },
        };
        let socket = namespace.run(|| sys::packet_socket(index))?.map_err(failed)?;
        // Over the system's limit with CAP_NET_ADMIN, else up to it.
        let forced = rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER);
        if forced.is_err() {
            rustix::net::sockopt::set_socket_recv_buffer_size(&socket, BUFFER)
                .map_err(|e| failed(e.into()))?;
        }
        Ok(Self { socket, buffer: vec![0; FRAME], counters: Counters::default() })
    }

    /// The next queued frame, from its Ethernet header on; `None` when no frame waits.
    pub fn next_queued(&mut self) -> io::Result<Option<&[u8]>> {
        use rustix::net::RecvFlags;
        loop {
            match rustix::net::recv(&self.socket, self.buffer.as_mut_slice(), RecvFlags::TRUNC) {
                Ok((kept, length)) => {
                    self.counters.frames += 1;
                    self.counters.bytes += length as u64;
                    return Ok(self.buffer.get(..kept));
                }
                Err(rustix::io::Errno::AGAIN) => return Ok(None),
                // The interface went down: what was queued before can still be read.
                Err(rustix::io::Errno::INTR | rustix::io::Errno::NETDOWN) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// What was read so far, and what the kernel had to drop.
    pub fn counters(&mut self) -> Counters {
        self.counters.lost += sys::packets_lost(&self.socket).unwrap_or(0);
        self.counters
    }

    /// The same watcher for a tokio task. Must be called inside a runtime with I/O enabled.
    pub fn into_async(self) -> io::Result<AsyncCapture> {
        let socket = sys::register(self.socket.try_clone()?)?;
        Ok(AsyncCapture { capture: self, socket })
    }
}

/// A [`Capture`] that waits for frames.
#[derive(Debug)]
pub struct AsyncCapture {
    capture: Capture,
    socket: AsyncFd<OwnedFd>,
}

impl AsyncCapture {
    /// Waits for the next frame and shows it to `look`. Cancel safe: a frame is read only together with `look`.
    pub async fn next<T>(&mut self, look: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
        loop {
            let mut ready = self.socket.readable().await?;
            if let Some(frame) = self.capture.next_queued()? {
                return Ok(look(frame));
            }
            ready.clear_ready();
        }
    }

    /// As [`Capture::counters`].
    pub fn counters(&mut self) -> Counters {
        self.capture.counters()
    }
}
