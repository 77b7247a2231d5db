//! An established TLS connection as a byte stream.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::ReadAhead;

/// Most encrypted bytes queued for a slow peer; one write call then carries up to 16 full records.
const SEND_LIMIT: usize = 256 * 1024;

/// An established TLS connection. Shutting it down sends `close_notify` and then ends the stream below; the end of the
/// peer's stream reads as the end of file, and a stream cut without `close_notify` as `UnexpectedEof`.
pub struct TlsStream<IO> {
    pub(super) inner: tokio_rustls::TlsStream<ReadAhead<IO>>,
}

/// What a handshake agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Negotiated {
    /// The cipher suite, such as `TLS13_AES_256_GCM_SHA384`.
    pub suite: &'static str,
    /// The key exchange, such as `X25519MLKEM768`.
    pub group: &'static str,
    /// Whether ALPN chose HTTP/2.
    pub http2: bool,
}

impl<IO> TlsStream<IO> {
    pub(crate) fn new(mut inner: tokio_rustls::TlsStream<ReadAhead<IO>>) -> Self {
        match &mut inner {
            tokio_rustls::TlsStream::Client(stream) => stream.get_mut().1.set_buffer_limit(Some(SEND_LIMIT)),
            tokio_rustls::TlsStream::Server(stream) => stream.get_mut().1.set_buffer_limit(Some(SEND_LIMIT)),
        }
        Self { inner }
    }

    /// The stream below, for its addresses and socket options.
    pub fn io(&self) -> &IO {
        self.inner.get_ref().0.io()
    }

    /// What the handshake agreed on.
    pub fn negotiated(&self) -> Negotiated {
        let session = self.inner.get_ref().1;
        let suite = session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
        let group = session.negotiated_key_exchange_group().and_then(|group| group.name().as_str());
        Negotiated {
            suite: suite.unwrap_or("unknown"),
            group: group.unwrap_or("unknown"),
            http2: session.alpn_protocol() == Some(b"h2"),
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, into)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

impl<IO> fmt::Debug for TlsStream<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsStream({:?})", self.negotiated())
    }
}
