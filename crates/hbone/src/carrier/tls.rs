//! A TLS connection as a carrier: its records are the pieces.

use std::io;
use std::task::{Context, Poll};

use ambit_identity::tls::{self, TlsStream};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Carrier, Received};

impl<IO: AsyncRead + AsyncWrite + Unpin + Send + 'static> Carrier for TlsStream<IO> {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        deliver: &mut dyn FnMut(&[&[u8]]),
    ) -> Poll<io::Result<Received>> {
        TlsStream::poll_receive(self, cx, deliver).map_ok(|received| match received {
            tls::Received::Bytes(bytes) => Received::Bytes(bytes),
            tls::Received::End => Received::End,
        })
    }

    fn seal(&mut self, pieces: &[&[u8]]) -> io::Result<()> {
        TlsStream::seal(self, pieces)
    }

    fn queued(&self) -> usize {
        TlsStream::queued(self)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        TlsStream::poll_send(self, cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        TlsStream::poll_close(self, cx)
    }
}
