//! An established TLS connection as a byte stream.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls::{CommonState, HandshakeKind};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::ReadAhead;
use super::library::Library;
use super::own::{Established, Own};

/// An established TLS connection. Shutting it down sends `close_notify` and then ends the stream below; the end of the
/// peer's stream reads as the end of file, and a stream cut without `close_notify` as `UnexpectedEof`.
///
/// It is read and written either as a byte stream (`AsyncRead`, `AsyncWrite`) or by its own methods, which move whole
/// records without copying them: [`poll_receive`](Self::poll_receive), [`seal`](Self::seal),
/// [`poll_send`](Self::poll_send), [`poll_close`](Self::poll_close).
pub struct TlsStream<IO> {
    pub(super) layer: Records<IO>,
}

/// Who makes and reads the records.
pub(super) enum Records<IO> {
    Own(Box<Own<IO>>),
    Library(Box<Library<IO>>),
}

/// What one [`TlsStream::poll_receive`] brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// That many bytes of plaintext were delivered; 0 when the peer sent only what TLS itself needs.
    Bytes(usize),
    /// The peer has ended its direction in order (`close_notify`).
    End,
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
    /// How the peers got to know each other.
    pub handshake: Handshake,
}

/// The kinds of handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// With certificates.
    Full,
    /// With certificates, and with one more round trip because the server wanted another group.
    Retried,
    /// With a key that an earlier connection between the same two left behind.
    Resumed,
}

/// What rustls says of a connection.
pub(super) fn negotiated(session: &CommonState) -> Negotiated {
    let suite = session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    let group = session.negotiated_key_exchange_group().and_then(|group| group.name().as_str());
    Negotiated {
        suite: suite.unwrap_or("unknown"),
        group: group.unwrap_or("unknown"),
        http2: session.alpn_protocol() == Some(b"h2"),
        handshake: match session.handshake_kind() {
            Some(HandshakeKind::FullWithHelloRetryRequest) => Handshake::Retried,
            Some(HandshakeKind::Resumed) => Handshake::Resumed,
            Some(HandshakeKind::Full) | None => Handshake::Full,
        },
    }
}

impl<IO> TlsStream<IO> {
    pub(crate) fn library(stream: tokio_rustls::TlsStream<ReadAhead<IO>>) -> Self {
        Self { layer: Records::Library(Box::new(Library::new(stream))) }
    }

    pub(super) fn own(io: IO, established: Established) -> Result<Self, rustls::Error> {
        Ok(Self { layer: Records::Own(Box::new(Own::new(io, established)?)) })
    }

    /// The stream below, for its addresses and socket options.
    pub fn io(&self) -> &IO {
        match &self.layer {
            Records::Own(own) => own.io(),
            Records::Library(library) => library.stream.get_ref().0.io(),
        }
    }

    /// What the handshake agreed on.
    pub fn negotiated(&self) -> Negotiated {
        match &self.layer {
            Records::Own(own) => own.negotiated(),
            Records::Library(library) => negotiated(library.stream.get_ref().1),
        }
    }

    /// Queues the concatenation of `pieces`, sealed at once into full records. The queue is as long as the caller
    /// makes it: [`queued`](Self::queued) says how long.
    ///
    /// Fails when the connection is dead, or its writing end closed.
    pub fn seal(&mut self, pieces: &[&[u8]]) -> io::Result<()> {
        match &mut self.layer {
            Records::Own(own) => own.seal(pieces),
            Records::Library(library) => library.seal(pieces),
        }
    }

    /// Bytes that are queued and have not been taken by the stream below; about, and 0 only when there are none.
    pub fn queued(&self) -> usize {
        match &self.layer {
            Records::Own(own) => own.queued(),
            Records::Library(library) => library.queued(),
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> TlsStream<IO> {
    /// Reads from the stream below once, up to 256 KiB, and hands the pieces of plaintext to `deliver`, in order and as
    /// many together as there are. They are gone after the call. An error may come after pieces that are good.
    ///
    /// The first receive after a connect may fail with an error that [`is_tls_refusal`](super::is_tls_refusal)
    /// recognises.
    pub fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        deliver: &mut dyn FnMut(&[&[u8]]),
    ) -> Poll<io::Result<Received>> {
        match &mut self.layer {
            Records::Own(own) => own.poll_receive(cx, deliver),
            Records::Library(library) => library.poll_receive(cx, deliver),
        }
    }

    /// Writes what is queued; ready when nothing is left.
    pub fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.layer {
            Records::Own(own) => own.poll_send(cx),
            Records::Library(library) => library.poll_send(cx),
        }
    }

    /// Ends the connection in order: what is queued, `close_notify`, then the end of the stream below.
    pub fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.layer {
            Records::Own(own) => own.poll_close(cx),
            Records::Library(library) => library.poll_close(cx),
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.layer {
            Records::Own(own) => own.poll_read(cx, into),
            Records::Library(library) => Pin::new(&mut library.stream).poll_read(cx, into),
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.layer {
            Records::Own(own) => own.poll_write(cx, &[bytes]),
            Records::Library(library) => Pin::new(&mut library.stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_close(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.layer {
            Records::Own(own) => {
                let pieces: Vec<&[u8]> = pieces.iter().map(|piece| &**piece).collect();
                own.poll_write(cx, &pieces)
            }
            Records::Library(library) => Pin::new(&mut library.stream).poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

impl<IO> fmt::Debug for TlsStream<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsStream({:?})", self.negotiated())
    }
}
