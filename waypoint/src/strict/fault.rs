//! What a client's bytes are refused for.

use std::io;
use std::sync::{Arc, OnceLock};

/// Why a connection is not read any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A line that ends without CR (RFC 9112 section 2.2).
    #[error("a line does not end with CR and LF")]
    LineEnd,
    /// NUL, a bare CR or another control character, or a space where none may be.
    #[error("a line has an octet that it must not have")]
    Octet,
    /// Not `METHOD target HTTP/1.x`.
    #[error("the request line is malformed")]
    RequestLine,
    /// A header line without a name, with a space before its colon, or one that continues the line before it.
    #[error("a header line is malformed")]
    HeaderLine,
    /// None or several on HTTP/1.1.
    #[error("the request has not exactly one Host header")]
    Host,
    /// Content-Length is malformed, is there twice, or beside Transfer-Encoding.
    #[error("the length of the body is ambiguous")]
    Length,
    /// Transfer-Encoding is there twice, is not `chunked` alone, or comes with HTTP/1.0 or CONNECT.
    #[error("the Transfer-Encoding is not `chunked` alone")]
    Coding,
    /// A chunk's size is malformed or too large, or its extensions are too long.
    #[error("a chunk is malformed")]
    Chunk,
    /// A trailer that says how the message is read or where it goes.
    #[error("a trailer is a header that must not be one")]
    Trailer,
    /// A head without an end.
    #[error("a line is longer than any that is taken")]
    TooLong,
    /// A head that took too long.
    #[error("the head of a request did not come in time")]
    Slow,
    /// HTTP/2 frames that nothing comes of.
    #[error("the connection was flooded with frames that ask for nothing")]
    Flood,
    /// HTTP/2 streams that are opened and reset.
    #[error("the connection was flooded with streams that were reset at once")]
    Resets,
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        Self::new(io::ErrorKind::InvalidData, fault)
    }
}

/// What a connection was found at fault for, if anything. Clones share it: the library does not hand it on.
#[derive(Debug, Clone, Default)]
pub struct Verdict(Arc<OnceLock<Fault>>);

impl Verdict {
    pub(super) fn find(&self, fault: Fault) {
        // The first one counts.
        let _later = self.0.set(fault);
    }

    /// The fault.
    pub fn fault(&self) -> Option<Fault> {
        self.0.get().copied()
    }
}
