//! What is asked of a client's bytes, by the version of HTTP that it speaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::Instant;

use super::{Fault, Floods, Framing};

/// Rules for the bytes of a connection.
pub trait Conduct: Unpin {
    /// Looks at what was read.
    ///
    /// # Errors
    /// A fault, and how many of the bytes are in order.
    fn read(&mut self, bytes: &[u8]) -> Result<(), (usize, Fault)>;

    /// So many bytes were written.
    fn wrote(&mut self, bytes: usize);

    /// The number of the head that is being read, which must end in time.
    fn head(&self) -> Option<u64>;

    /// Octets that the library refuses, when it comes to them in the order in which it answers. Without them,
    /// [`Conduct::farewell`] is said.
    fn poison(&self) -> Option<&'static [u8]>;

    /// What the client is told before the connection ends, when nothing else is being said to it.
    fn farewell(&self, fault: Fault) -> &'static [u8];
}

/// HTTP/1.
#[derive(Debug)]
pub struct Http1 {
    framing: Framing,
    switched: Arc<AtomicBool>,
}

impl Http1 {
    /// Until `switched` is set: what follows is another protocol.
    pub fn until(switched: Arc<AtomicBool>) -> Self {
        Self { framing: Framing::default(), switched }
    }
}

impl Conduct for Http1 {
    fn read(&mut self, bytes: &[u8]) -> Result<(), (usize, Fault)> {
        if self.switched.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.framing.follow(bytes)
    }

    fn wrote(&mut self, _bytes: usize) {}

    fn head(&self) -> Option<u64> {
        let open = self.framing.is_in_head() && !self.switched.load(Ordering::Relaxed);
        open.then_some(self.framing.heads())
    }

    /// A NUL is well formed nowhere; the library looks for it once it sees the end of a head.
    fn poison(&self) -> Option<&'static [u8]> {
        Some(b"\0\r\n\r\n")
    }

    fn farewell(&self, _fault: Fault) -> &'static [u8] {
        b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    }
}

/// HTTP/2.
#[derive(Debug)]
pub struct Http2 {
    floods: Floods,
    since: Instant,
}

impl Default for Http2 {
    fn default() -> Self {
        Self { floods: Floods::default(), since: Instant::now() }
    }
}

impl Conduct for Http2 {
    fn read(&mut self, bytes: &[u8]) -> Result<(), (usize, Fault)> {
        self.floods.read(bytes, self.since.elapsed()).map_err(|fault| (0, fault))
    }

    fn wrote(&mut self, bytes: usize) {
        self.floods.wrote(bytes);
    }

    fn head(&self) -> Option<u64> {
        None
    }

    fn poison(&self) -> Option<&'static [u8]> {
        None
    }

    /// GOAWAY with ENHANCE_YOUR_CALM (RFC 9113 section 6.8). It names no stream: none of them is answered.
    fn farewell(&self, _fault: Fault) -> &'static [u8] {
        b"\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0b"
    }
}
