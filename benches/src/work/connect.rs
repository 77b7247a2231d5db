//! How a client of the bench connects: bounded in time, small writes sent at once.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longest wait for a connection or for the next bytes of one; whoever waits longer has lost a request.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A blocking connection whose reads and writes end after [`PATIENCE`].
pub fn connect(to: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}
