//! What two applications do over one connection: bytes with a checksum, half-closes, resets, many at a time.

mod noise;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::Ordering;

use ambit_netns::Namespace;

use crate::client;
use crate::pod::Pod;
use crate::server::{Connection, Server};
use crate::wait::wait_until;

pub use noise::{BLOCK, receive, send};

/// The port that the servers listen on.
pub const PORT: u16 = 8080;

/// More than any buffer on the way holds: blocks of [`PIECE`] bytes.
const PIECES: usize = 2000;
const PIECE: usize = 4096;

/// How one side saw the connection end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With a FIN.
    Orderly,
    /// With a reset.
    Reset,
}

/// `bytes` and their checksum to the server, then as many back. Gives what the server's application read.
#[track_caller]
pub fn volume(from: &Namespace, pod: &Pod, to: SocketAddr, bytes: u64) -> u64 {
    let server = Server::start(pod.netns(), PORT, move |connection| {
        let good = receive(connection, bytes)?;
        connection.stream.write_all(&[u8::from(good)])?;
        send(&mut connection.stream, 2, bytes)
    });
    let mut stream = client::connect(from, to);
    send(&mut stream, 1, bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut good = [0];
    stream.read_exact(&mut good).unwrap();
    assert_eq!(good, [1], "what the server read has another checksum");
    assert!(receive(&mut stream, bytes).unwrap(), "what the client read has another checksum");
    assert_eq!(client::drain(&mut stream).0.len(), 0, "there is more than was sent");
    server.seen.bytes()
}

/// The client ends its direction first; the answer comes after that.
#[track_caller]
pub fn half_close_by_the_client(from: &Namespace, pod: &Pod) {
    let _server = Server::start(pod.netns(), PORT, |connection| {
        let mut question = String::new();
        connection.read_to_string(&mut question)?;
        pieces(&mut connection.stream)?;
        connection.stream.write_all(question.as_bytes())
    });
    let mut stream = client::connect(from, pod.at(PORT));
    stream.write_all(b"question").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let (bytes, ended) = client::drain(&mut stream);
    ended.unwrap();
    assert_eq!(bytes.len(), PIECES * PIECE + 8);
    assert!(bytes.ends_with(b"xquestion"));
}

/// The server ends its direction first; the client goes on.
#[track_caller]
pub fn half_close_by_the_server(from: &Namespace, pod: &Pod) {
    let server = Server::start(pod.netns(), PORT, |connection| {
        connection.stream.write_all(b"that is all")?;
        connection.stream.shutdown(Shutdown::Write)?;
        connection.read_to_end(&mut Vec::new()).map(drop)
    });
    let mut stream = client::connect(from, pod.at(PORT));
    let (bytes, ended) = client::drain(&mut stream);
    ended.unwrap();
    assert_eq!(bytes, b"that is all");
    pieces(&mut stream).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    wait_until("the server has read everything", || server.seen.bytes() == (PIECES * PIECE) as u64);
    wait_until("the server is done", || server.seen.open.load(Ordering::SeqCst) == 0);
    assert_eq!(server.seen.resets.load(Ordering::SeqCst), 0);
}

/// The server resets the connection; gives how the client saw it end.
#[track_caller]
pub fn reset_by_the_server(from: &Namespace, pod: &Pod) -> End {
    let _server = Server::start(pod.netns(), PORT, |connection| {
        connection.stream.write_all(b"then")?;
        connection.read_exact(&mut [0; 3])?;
        client::reset(connection.stream.try_clone()?);
        Ok(())
    });
    let mut stream = client::connect(from, pod.at(PORT));
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes).unwrap();
    stream.write_all(b"now").unwrap();
    let (rest, ended) = client::drain(&mut stream);
    assert!(rest.is_empty(), "after {rest:?}");
    ended.map_or_else(end_of, |()| End::Orderly)
}

/// The client resets the connection; gives how the server saw it end.
#[track_caller]
pub fn reset_by_the_client(from: &Namespace, pod: &Pod) -> End {
    let server = Server::start(pod.netns(), PORT, Connection::echo);
    let mut stream = client::connect(from, pod.at(PORT));
    client::talk(&mut stream, "hello");
    client::reset(stream);
    wait_until("the server's connection ends", || server.seen.open.load(Ordering::SeqCst) == 0);
    if server.seen.resets.load(Ordering::SeqCst) == 1 { End::Reset } else { End::Orderly }
}

#[track_caller]
fn end_of(error: io::Error) -> End {
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    End::Reset
}

fn pieces(stream: &mut impl Write) -> io::Result<()> {
    (0..PIECES).try_for_each(|_| stream.write_all(&[b'x'; PIECE]))
}

/// So many connections to echo servers at the same time, one after the other of `targets`, and each its own.
#[track_caller]
pub fn many(from: &Namespace, targets: &[SocketAddr], count: usize) {
    let open = |number: usize| {
        let mut stream = client::connect(from, targets[number % targets.len()]);
        client::talk(&mut stream, &format!("first word of {number}"));
        stream
    };
    let mut streams: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|number| scope.spawn(move || open(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (number, stream) in streams.iter_mut().enumerate() {
        client::talk(stream, &format!("second word of {number}"));
    }
}
