//! Where a captured connection was going before the pod's rules turned it to us.

use std::io;
use std::net::SocketAddr;

use socket2::SockRef;
use tokio::net::TcpStream;

use crate::peer::canonical;

/// The destination that the client at `peer` dialled, IPv4-mapped addresses as IPv4. One system call where a rule
/// redirected the connection.
///
/// A connection that no rule redirected yields the local address. Success is therefore **not** a proof of
/// redirection; use [`redirected_from`] where that matters.
///
/// # Errors
/// Only when the socket has no local address any more (the peer is gone).
pub fn original_destination(stream: &TcpStream, peer: SocketAddr) -> io::Result<SocketAddr> {
    match recorded(stream, peer) {
        Some(destination) => Ok(destination),
        None => stream.local_addr().map(canonical),
    }
}

/// The destination that the client dialled, if a rule redirected the connection; `None` if it was dialled to us.
///
/// # Errors
/// As [`original_destination`].
pub fn redirected_from(stream: &TcpStream) -> io::Result<Option<SocketAddr>> {
    let local = canonical(stream.local_addr()?);
    Ok(recorded(stream, local).filter(|recorded| *recorded != local))
}

/// What connection tracking recorded (`SO_ORIGINAL_DST`), in the family of the connection first. With tracking on it
/// answers for every connection, redirected or not; with tracking off it has no entry.
///
/// `end` is either end of the connection: they are of one family.
fn recorded(stream: &TcpStream, end: SocketAddr) -> Option<SocketAddr> {
    let socket = SockRef::from(stream);
    let found = if canonical(end).is_ipv4() {
        socket.original_dst_v4().or_else(|_| socket.original_dst_v6())
    } else {
        socket.original_dst_v6().or_else(|_| socket.original_dst_v4())
    };
    found.ok()?.as_socket().map(canonical)
}
