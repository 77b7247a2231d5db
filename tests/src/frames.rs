//! HTTP/2 frames written by hand (RFC 9113, RFC 7541), for clients that break the rules.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ambit_identity::tls::{self, TlsStream};
use ambit_identity::{Certificate, ExpectedPeers};
use ambit_netns::Namespace;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// How a peer answered a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// With a status.
    Status(u16),
    /// RST_STREAM, with its code.
    Reset(u32),
    /// GOAWAY, with its code.
    Goaway(u32),
    /// The connection ended.
    Closed,
}

/// A tunnel, seen as frames.
#[derive(Debug)]
pub struct Tunnel<IO> {
    stream: IO,
    buffer: Vec<u8>,
}

/// Connects from a namespace, for use on the current runtime.
pub fn tcp(from: &Namespace, to: SocketAddr) -> TcpStream {
    let stream = http::connect(from, to).unwrap_or_else(|error| panic!("connect to {to}: {error}"));
    stream.set_nonblocking(true).unwrap();
    TcpStream::from_std(stream).unwrap()
}

/// Mutual TLS to a pod's port 15008 and the HTTP/2 preface.
pub async fn tunnel(
    from: &Namespace,
    to: SocketAddr,
    certificate: &Certificate,
    expected: &ExpectedPeers,
) -> Tunnel<TlsStream<TcpStream>> {
    let (stream, _) = tls::connect(tcp(from, to), certificate, expected).await.unwrap();
    Tunnel::begin(stream).await.unwrap()
}

/// What a client sends first: the preface and empty SETTINGS.
pub fn preface() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes
}

/// The frame of a CONNECT, followed by further fields.
pub fn connect(stream: u32, authority: &str, further: &[(&str, &str)]) -> Vec<u8> {
    let mut fields = vec![(":method", "CONNECT"), (":authority", authority)];
    fields.extend(further);
    headers(stream, &fields, false)
}

/// A HEADERS frame with literal fields, never indexed and never compressed.
pub fn headers(stream: u32, fields: &[(&str, &str)], end: bool) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0x10);
        for text in [name, value] {
            length(&mut block, text.len());
            block.extend(text.as_bytes());
        }
    }
    frame(HEADERS, END_HEADERS | if end { END_STREAM } else { 0 }, stream, &block)
}

/// A length of seven bits, or more (RFC 7541, section 5.1).
fn length(block: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(127) else { return block.push(length as u8) };
    block.push(127);
    while rest >= 128 {
        block.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    block.push(rest as u8);
}

/// A DATA frame.
pub fn data(stream: u32, bytes: &[u8], end: bool) -> Vec<u8> {
    frame(DATA, if end { END_STREAM } else { 0 }, stream, bytes)
}

/// An RST_STREAM frame.
pub fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Tunnel<IO> {
    /// Sends the preface.
    pub async fn begin(stream: IO) -> io::Result<Self> {
        let mut tunnel = Self { stream, buffer: Vec::new() };
        tunnel.send(&preface()).await?;
        Ok(tunnel)
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Waits for the answer to a stream.
    pub async fn reply(&mut self, stream: u32) -> Reply {
        tokio::time::timeout(PATIENCE, self.next_reply(stream)).await.expect("the peer does not answer")
    }

    async fn next_reply(&mut self, wanted: u32) -> Reply {
        loop {
            let Ok((kind, stream, payload)) = self.frame().await else { return Reply::Closed };
            let code = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
            match kind {
                HEADERS if stream == wanted => return Reply::Status(status(&payload)),
                RST_STREAM if stream == wanted => return Reply::Reset(code(0)),
                GOAWAY => return Reply::Goaway(code(4)),
                _ => {}
            }
        }
    }

    /// Waits for bytes of a stream.
    pub async fn bytes(&mut self, wanted: u32) -> Vec<u8> {
        let read = async {
            loop {
                let (kind, stream, payload) = self.frame().await.expect("the tunnel ended");
                if kind == DATA && stream == wanted {
                    return payload;
                }
            }
        };
        tokio::time::timeout(PATIENCE, read).await.expect("no bytes came")
    }

    async fn frame(&mut self) -> io::Result<(u8, u32, Vec<u8>)> {
        loop {
            if let Some(head) = self.buffer.get(..9) {
                let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
                if self.buffer.len() >= 9 + length {
                    let bytes: Vec<u8> = self.buffer.drain(..9 + length).collect();
                    let stream = u32::from_be_bytes(bytes[5..9].try_into().unwrap()) & 0x7fff_ffff;
                    return Ok((bytes[3], stream, bytes[9..].to_vec()));
                }
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// The status, which is the first field of an answer on a new connection.
fn status(block: &[u8]) -> u16 {
    // A change of the table's size may come first.
    let start = block.iter().position(|byte| byte & 0xe0 != 0x20).unwrap();
    match &block[start..] {
        [indexed @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)],
        [0x08 | 0x18 | 0x48, length, value @ ..] if length & 0x80 == 0 => {
            String::from_utf8_lossy(&value[..usize::from(*length)]).parse().unwrap()
        }
        [0x08 | 0x18 | 0x48, length, value @ ..] => digits(&value[..usize::from(length & 0x7f)]),
        other => panic!("an answer that does not begin with its status: {other:?}"),
    }
}

/// Three digits in the Huffman code: 0 to 2 have 5 bits, 3 to 9 have 6.
fn digits(bytes: &[u8]) -> u16 {
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let (mut at, mut number) = (0, 0);
    for _ in 0..3 {
        let value = |length: usize| {
            bits[at..at + length].iter().fold(0_u16, |value, bit| value << 1 | u16::from(*bit))
        };
        let (digit, length) = match value(5) {
            small @ 0..=2 => (small, 5),
            _ => (value(6) - 0b01_1001 + 3, 6),
        };
        number = number * 10 + digit;
        at += length;
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_in_every_form() {
        assert_eq!(status(&[0x88]), 200);
        assert_eq!(status(&[0x20, 0x8c, 0x00]), 400);
        assert_eq!(status(&[0x48, 3, b'4', b'0', b'1']), 401);
        // 4, 0, 1 are 011010 00000 00001; 5, 0, 3 are 011011 00000 011001.
        assert_eq!(status(&[0x48, 0x82, 0b0110_1000, 0b0000_0001]), 401);
        assert_eq!(status(&[0x48, 0x83, 0b0110_1100, 0b0000_1100, 0b1111_1111]), 503);
    }
}
