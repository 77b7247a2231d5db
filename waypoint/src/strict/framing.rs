//! The framing of HTTP/1 requests, followed byte by byte: where each begins and ends, as strictly as RFC 9112 lets one be.
//! Pure.

use super::Fault;
use super::line::{self, Header};

/// Longest line of a head; heads are measured by the library.
const LINE: usize = 64 * 1024;
/// Longest line with the size of a chunk and its extensions.
const CHUNK_LINE: usize = 1024;
/// All trailers together.
const TRAILERS: usize = 16 * 1024;

/// Where a connection is.
#[derive(Debug, Default)]
pub struct Framing {
    at: At,
    /// The part of a line that came in an earlier read.
    partial: Vec<u8>,
    heads: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum At {
    /// Before a request line. An empty line may be skipped once (RFC 9112 section 2.2).
    #[default]
    Start,
    StartAfterEmpty,
    Headers(Head),
    /// Bytes of a body, or of a chunk when `chunked`.
    Body {
        left: u64,
        chunked: bool,
    },
    ChunkSize,
    ChunkEnd,
    Trailers {
        bytes: usize,
    },
}

/// What the lines of a head have said so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    line: line::RequestLine,
    length: Option<u64>,
    chunked: bool,
    hosts: u8,
}

impl Framing {
    /// Follows further bytes.
    ///
    /// # Errors
    /// With the count of bytes that are in order: the head that is at fault does not end among them.
    pub fn follow(&mut self, bytes: &[u8]) -> Result<(), (usize, Fault)> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            if let At::Body { left, chunked } = self.at {
                let passed = left.min(rest.len() as u64);
                self.at = match (left - passed, chunked) {
                    (0, true) => At::ChunkEnd,
                    (0, false) => At::Start,
                    (left, chunked) => At::Body { left, chunked },
                };
                at += passed as usize;
                continue;
            }
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                self.hold(rest).map_err(|fault| (at, fault))?;
                return Ok(());
            };
            self.line(&rest[..end]).map_err(|fault| (at + end, fault))?;
            at += end + 1;
        }
        Ok(())
    }

    /// Heads that have ended.
    pub fn heads(&self) -> u64 {
        self.heads
    }

    /// Whether a head has begun and not ended.
    pub fn is_in_head(&self) -> bool {
        matches!(self.at, At::Headers(_))
            || matches!(self.at, At::Start | At::StartAfterEmpty) && !self.partial.is_empty()
    }

    fn hold(&mut self, part: &[u8]) -> Result<(), Fault> {
        let (most, fault) = match self.at {
            At::ChunkSize => (CHUNK_LINE, Fault::Chunk),
            At::ChunkEnd => (1, Fault::Chunk),
            At::Trailers { .. } => (TRAILERS, Fault::TooLong),
            _ => (LINE, Fault::TooLong),
        };
        if self.partial.len() + part.len() > most {
            return Err(fault);
        }
        self.partial.extend_from_slice(part);
        Ok(())
    }

    /// A line of which `last` is the end, without LF.
    fn line(&mut self, last: &[u8]) -> Result<(), Fault> {
        if self.partial.is_empty() {
            return self.whole(last);
        }
        self.hold(last)?;
        let line = std::mem::take(&mut self.partial);
        self.whole(&line)
    }

    fn whole(&mut self, line: &[u8]) -> Result<(), Fault> {
        let line = line.strip_suffix(b"\r").ok_or(Fault::LineEnd)?;
        self.at = match self.at {
            At::Start if line.is_empty() => At::StartAfterEmpty,
            At::Start | At::StartAfterEmpty => {
                At::Headers(Head { line: line::request(line)?, length: None, chunked: false, hosts: 0 })
            }
            At::Headers(head) if line.is_empty() => {
                self.heads += 1;
                head.body()?
            }
            At::Headers(head) => At::Headers(head.with(line::header(line)?)?),
            At::ChunkSize if line.len() > CHUNK_LINE => return Err(Fault::Chunk),
            At::ChunkSize => match line::chunk(line)? {
                0 => At::Trailers { bytes: 0 },
                left => At::Body { left, chunked: true },
            },
            At::ChunkEnd if line.is_empty() => At::ChunkSize,
            At::ChunkEnd | At::Body { .. } => return Err(Fault::Chunk),
            At::Trailers { .. } if line.is_empty() => At::Start,
            At::Trailers { bytes } => {
                let bytes = bytes + line.len();
                match line::header(line)? {
                    Header::Other if bytes <= TRAILERS => At::Trailers { bytes },
                    Header::Other => return Err(Fault::TooLong),
                    Header::Length(_) | Header::Chunked | Header::Host => return Err(Fault::Trailer),
                }
            }
        };
        Ok(())
    }
}

impl Head {
    fn with(self, header: Header) -> Result<Self, Fault> {
        Ok(match header {
            Header::Length(_) if self.length.is_some() || self.chunked => return Err(Fault::Length),
            Header::Length(length) => Self { length: Some(length), ..self },
            Header::Chunked if self.chunked || !self.line.version_11 => return Err(Fault::Coding),
            Header::Chunked if self.length.is_some() => return Err(Fault::Length),
            Header::Chunked => Self { chunked: true, ..self },
            Header::Host if self.hosts > 0 => return Err(Fault::Host),
            Header::Host => Self { hosts: 1, ..self },
            Header::Other => self,
        })
    }

    /// What follows the head.
    fn body(self) -> Result<At, Fault> {
        if self.hosts == 0 && self.line.version_11 {
            return Err(Fault::Host);
        }
        let none = self.line.connect || self.line.trace;
        match self.length {
            _ if self.chunked && none => Err(Fault::Coding),
            Some(1..) if none => Err(Fault::Length),
            _ if self.chunked => Ok(At::ChunkSize),
            Some(left @ 1..) => Ok(At::Body { left, chunked: false }),
            Some(0) | None => Ok(At::Start),
        }
    }
}

#[cfg(test)]
mod tests;
