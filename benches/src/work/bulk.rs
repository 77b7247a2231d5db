//! Bulk streams, as HTTP messages of 32 MiB one after another, so that every path carries the same bytes.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;

use super::connect::connect;
use super::message::{self, Asked, Head};
use super::pattern::{BLOCK, Pattern, Verifier};
use super::shared::Shared;

/// Bytes in a message.
pub const MESSAGE: u64 = 32 * 1024 * 1024;
/// Bytes asked for by a read.
const READ: usize = 256 * 1024;

/// Serves the bulk messages of one connection until it ends. `held` is what was read already.
pub(super) fn answer(stream: &TcpStream, held: Vec<u8>) {
    // The client sees how it ends; there is nobody else to tell.
    let _ = answer_all(stream, held);
}

fn answer_all(mut stream: &TcpStream, held: Vec<u8>) -> anyhow::Result<()> {
    stream.set_nonblocking(false)?;
    let mut input = Input { stream, held };
    let mut patterns = Patterns::default();
    while let Some(head) = input.head()? {
        match message::asked(&head) {
            Some(Asked::Sink(seed)) => {
                let mut verifier = Verifier::new(seed);
                let taken = input.body(head.body, |piece| Ok(verifier.take(piece)?));
                if let Err(error) = taken {
                    let text =
                        format!("HTTP/1.1 500 {error}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                    stream.write_all(text.as_bytes())?;
                    return Err(error);
                }
                let mut reply = message::answer_head(8).into_bytes();
                reply.extend(verifier.position().to_le_bytes());
                stream.write_all(&reply)?;
            }
            Some(Asked::Source(seed, length)) => {
                stream.write_all(message::answer_head(length).as_bytes())?;
                send(stream, patterns.of(seed), length, |_| ())?;
            }
            // A sidecar's pool may use the connection for anything.
            Some(Asked::Small(id)) => {
                let mut reply = Vec::new();
                message::write_answer(id, &mut reply);
                stream.write_all(&reply)?;
            }
            None => break,
        }
    }
    Ok(())
}

/// The last stream's pattern, kept.
#[derive(Default)]
struct Patterns {
    last: Option<(u64, Pattern)>,
}

impl Patterns {
    fn of(&mut self, seed: u64) -> &mut Pattern {
        let kept = self.last.take().filter(|(known, _)| *known == seed);
        &mut self.last.insert(kept.unwrap_or_else(|| (seed, Pattern::new(seed)))).1
    }
}

/// Sends `length` bytes of a stream and tells how many went, write by write.
fn send(
    mut stream: &TcpStream,
    pattern: &mut Pattern,
    length: u64,
    mut sent: impl FnMut(u64),
) -> io::Result<()> {
    for number in 0..length.div_ceil(BLOCK as u64) {
        let size = (length - number * BLOCK as u64).min(BLOCK as u64);
        let mut block = pattern.block(number).get(..size as usize).unwrap_or_default();
        while !block.is_empty() {
            match stream.write(block)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => {
                    block = block.get(count..).unwrap_or_default();
                    sent(count as u64);
                }
            }
        }
    }
    Ok(())
}

/// A connection being read, with what came early.
struct Input<'a> {
    stream: &'a TcpStream,
    held: Vec<u8>,
}

impl Input<'_> {
    /// The next head; `None` when the peer has ended between messages.
    fn head(&mut self) -> anyhow::Result<Option<Head>> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(head) = message::head(&self.held)? {
                self.held.drain(..head.length);
                return Ok(Some(head));
            }
            match self.stream.read(&mut buffer)? {
                0 if self.held.is_empty() => return Ok(None),
                0 => anyhow::bail!("the connection ended inside a head"),
                count => self.held.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            }
        }
    }

    /// The next `length` bytes, piece by piece.
    fn body(&mut self, length: u64, mut take: impl FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let early = self.held.len().min(usize::try_from(length)?);
        take(self.held.get(..early).unwrap_or_default())?;
        self.held.drain(..early);
        let mut left = length - early as u64;
        let mut buffer = vec![0; READ];
        while left > 0 {
            let wanted = left.min(READ as u64) as usize;
            let count = self.stream.read(buffer.get_mut(..wanted).unwrap_or_default())?;
            anyhow::ensure!(count > 0, "the connection ended {left} bytes before the end of the message");
            take(buffer.get(..count).unwrap_or_default())?;
            left -= count as u64;
        }
        Ok(())
    }
}

/// Which way the bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// One stream of the client: message after message until told to stop, then to the end of the message.
///
/// Counts what it has written or read. Every answer is checked.
pub(super) fn stream(
    to: SocketAddr,
    direction: Direction,
    seed: u64,
    shared: &Shared,
    ready: impl FnOnce(),
) -> anyhow::Result<()> {
    let stream = connect(to)?;
    let mut input = Input { stream: &stream, held: Vec::new() };
    let mut pattern = Pattern::new(seed);
    let mut ready = Some(ready);
    let mut count = |more: u64| {
        shared.bytes.fetch_add(more, Ordering::Relaxed);
        if let Some(ready) = ready.take() {
            ready();
        }
    };
    while !shared.stopped() {
        match direction {
            Direction::Up => {
                let head = format!(
                    "POST /sink/{seed:x} HTTP/1.1\r\nHost: bench\r\nContent-Length: {MESSAGE}\r\n\r\n"
                );
                (&stream).write_all(head.as_bytes())?;
                if let Err(error) = send(&stream, &mut pattern, MESSAGE, &mut count) {
                    // The server's words say more than a broken pipe.
                    if let Ok(Some(head)) = input.head() {
                        message::check_status(&head)?;
                    }
                    return Err(error.into());
                }
                let head = input.head()?.ok_or_else(|| anyhow::anyhow!("closed instead of an answer"))?;
                message::check_status(&head)?;
                let mut body = Vec::new();
                input.body(head.body, |piece| {
                    body.extend_from_slice(piece);
                    Ok(())
                })?;
                anyhow::ensure!(body == MESSAGE.to_le_bytes(), "the server received another number of bytes");
            }
            Direction::Down => {
                let head = format!("GET /source/{seed:x}/{MESSAGE} HTTP/1.1\r\nHost: bench\r\n\r\n");
                (&stream).write_all(head.as_bytes())?;
                let head = input.head()?.ok_or_else(|| anyhow::anyhow!("closed instead of an answer"))?;
                message::check_status(&head)?;
                anyhow::ensure!(head.body == MESSAGE, "an answer of {} bytes", head.body);
                let mut verifier = Verifier::new(seed);
                input.body(head.body, |piece| {
                    verifier.take(piece)?;
                    count(piece.len() as u64);
                    Ok(())
                })?;
            }
        }
    }
    Ok(())
}
