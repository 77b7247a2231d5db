//! What clients do with a connection.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ambit_netns::Namespace;
use socket2::SockRef;

use crate::http;

/// Connects, and says why not.
#[track_caller]
pub fn connect(from: &Namespace, to: SocketAddr) -> TcpStream {
    http::connect(from, to).unwrap_or_else(|error| panic!("connect to {to}: {error}"))
}

/// Sends a text and reads the same back.
#[track_caller]
pub fn talk(stream: &mut TcpStream, text: &str) {
    try_talk(stream, text).unwrap_or_else(|error| panic!("{text:?} did not come back: {error}"));
}

/// The same, with the error.
pub fn try_talk(stream: &mut TcpStream, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes())?;
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back)?;
    assert_eq!(back, text.as_bytes(), "other bytes came back");
    Ok(())
}

/// Closes with a reset instead of an orderly end.
pub fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Reads until the connection ends: all bytes, and how it ended.
pub fn drain(stream: &mut TcpStream) -> (Vec<u8>, io::Result<()>) {
    let mut bytes = Vec::new();
    let ended = stream.read_to_end(&mut bytes).map(drop);
    (bytes, ended)
}

/// Whether a new connection carries a text to an echo server and back.
pub fn passes(from: &Namespace, to: SocketAddr) -> bool {
    http::connect(from, to).and_then(|mut stream| try_talk(&mut stream, "through?")).is_ok()
}
