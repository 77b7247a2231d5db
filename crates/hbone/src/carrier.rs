//! What a tunnel's frames travel over: an encrypted connection, or any byte stream.

use std::io;
use std::task::{Context, Poll};

mod buffered;
mod tls;

pub use buffered::Buffered;

/// What one look at a carrier gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// So many bytes of plaintext were delivered. 0 is possible: what came was the carrier's own.
    Bytes(usize),
    /// The peer has ended the connection in order.
    End,
}

/// A connection that takes and gives plaintext in large pieces.
///
/// All polling is done with one task's waker at a time: that of the tunnel's driver.
pub trait Carrier: Send + 'static {
    /// Reads from the connection once (up to 256 KiB) and hands the plaintext to `deliver`, in order: all pieces of one
    /// read in one call where the carrier can. The pieces live in a buffer of the worker's and are gone after the call.
    ///
    /// # Errors
    /// The connection failed, or ended without saying so.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        deliver: &mut dyn FnMut(&[&[u8]]),
    ) -> Poll<io::Result<Received>>;

    /// Queues the concatenation of `pieces` as plaintext.
    ///
    /// # Errors
    /// The connection takes no more.
    fn seal(&mut self, pieces: &[&[u8]]) -> io::Result<()>;

    /// Bytes that are queued and have not been taken by the connection below.
    fn queued(&self) -> usize;

    /// Writes what is queued; ready when nothing is left.
    ///
    /// # Errors
    /// The connection failed.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends the connection in order, behind what is queued.
    ///
    /// # Errors
    /// The connection failed.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}
