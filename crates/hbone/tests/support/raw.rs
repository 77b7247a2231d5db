//! HTTP/2 by hand: frames and HPACK literals as bytes, to say what a library would not let us say.

#![allow(dead_code)] // Each test file uses its part.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn word(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    /// Of a SETTINGS frame: its entries.
    pub(crate) fn settings(&self) -> Vec<(u16, u32)> {
        let entry = |entry: &[u8]| {
            let id = u16::from_be_bytes([entry[0], entry[1]]);
            (id, u32::from_be_bytes(entry[2..6].try_into().unwrap()))
        };
        self.payload.chunks_exact(6).map(entry).collect()
    }
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

pub(crate) fn settings(entries: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (id, value) in entries {
        payload.extend(id.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    frame(SETTINGS, 0, 0, &payload)
}

/// Header fields as HPACK literals without indexing and without Huffman (RFC 7541 section 6.2.2).
pub(crate) fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127, "longer texts need a longer length");
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.bytes());
        }
    }
    block
}

pub(crate) fn headers(stream: u32, flags: u8, list: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, flags | END_HEADERS, stream, &fields(list))
}

pub(crate) fn connect(stream: u32, authority: &str) -> Vec<u8> {
    headers(stream, 0, &[(":method", "CONNECT"), (":authority", authority)])
}

pub(crate) fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

pub(crate) fn goaway(last: u32, code: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
}

/// One end of a connection, spoken by hand.
pub(crate) struct Raw {
    pub(crate) io: DuplexStream,
}

impl Raw {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).await.unwrap();
    }

    /// The next frame; `None` at the end of the connection.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        read_frame(&mut self.io).await
    }

    /// The next frame of this kind, others skipped.
    pub(crate) async fn next_of(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.next().await.expect("the connection ended");
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// Reads until the connection ends; gives every frame.
    pub(crate) async fn rest(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }

    /// As a client: preface, empty SETTINGS, acknowledges the server's.
    pub(crate) async fn open_as_client(&mut self) {
        self.send(PREFACE).await;
        self.send(&settings(&[])).await;
        self.next_of(SETTINGS).await;
        self.send(&frame(SETTINGS, ACK, 0, &[])).await;
    }

    /// As a server: reads preface and SETTINGS, sends its own, acknowledges.
    pub(crate) async fn open_as_server(&mut self, entries: &[(u16, u32)]) {
        let mut preface = [0; 24];
        self.io.read_exact(&mut preface).await.unwrap();
        assert_eq!(preface, PREFACE);
        self.next_of(SETTINGS).await;
        self.send(&settings(entries)).await;
        self.send(&frame(SETTINGS, ACK, 0, &[])).await;
    }
}

pub(crate) async fn read_frame(io: &mut (impl AsyncRead + Unpin)) -> Option<Frame> {
    let mut head = [0; 9];
    if let Err(error) = io.read_exact(&mut head).await {
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
        return None;
    }
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let mut payload = vec![0; length];
    io.read_exact(&mut payload).await.unwrap();
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Some(Frame { kind: head[3], flags: head[4], stream, payload })
}

/// Writes and forgets: for a peer that may close meanwhile.
pub(crate) async fn send_if_open(io: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> bool {
    io.write_all(bytes).await.is_ok()
}
