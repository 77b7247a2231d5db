//! The byte stream to an endpoint: inside a tunnel, or a connection in the clear.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ambit_transport::relay::Outlet;
use ambit_transport::{Abort, Tap};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// One of the two ways to an endpoint.
#[derive(Debug)]
pub enum Upstream<S> {
    /// A stream of a tunnel.
    Tunnel(ambit_hbone::Stream),
    /// A connection of its own.
    Plain(S),
}

macro_rules! each {
    ($self:ident, $stream:ident => $does:expr) => {
        match $self {
            Upstream::Tunnel($stream) => $does,
            Upstream::Plain($stream) => $does,
        }
    };
}

impl<S: AsyncRead + Unpin> AsyncRead for Upstream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        each!(this, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Upstream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        each!(this, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        each!(this, stream => Pin::new(stream).poll_write_vectored(cx, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        each!(self, stream => stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        each!(this, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        each!(this, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

impl<S: Abort> Abort for Upstream<S> {
    fn abort(&mut self) {
        each!(self, stream => stream.abort());
    }

    fn unsent(&self) -> bool {
        each!(self, stream => stream.unsent())
    }

    fn socket(&self) -> Option<&TcpStream> {
        each!(self, stream => stream.socket())
    }

    fn tap(&self) -> Option<Tap> {
        each!(self, stream => stream.tap())
    }

    fn pushes(&self) -> bool {
        each!(self, stream => stream.pushes())
    }

    fn push_into(&mut self, outlet: Arc<dyn Outlet>) {
        each!(self, stream => stream.push_into(outlet));
    }
}
