//! The byte stream to an endpoint: inside a tunnel, or a connection in the clear; with TLS to the application inside, or
//! without.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ambit_identity::tls::TlsStream;
use ambit_transport::relay::Outlet;
use ambit_transport::{Abort, Tap};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// One of the two ways to an endpoint.
#[derive(Debug)]
pub enum Bare<S> {
    /// A stream of a tunnel.
    Tunnel(ambit_hbone::Stream),
    /// A connection of its own.
    Plain(S),
}

/// What is spoken on it.
#[derive(Debug)]
pub enum Upstream<S> {
    /// What the client says.
    Bare(Bare<S>),
    /// TLS, and what the client says inside.
    Secured(Box<TlsStream<Bare<S>>>),
}

macro_rules! each {
    ($self:ident, $kind:ident::{$($variant:ident)*}, $stream:ident => $does:expr) => {
        match $self {
            $($kind::$variant($stream) => $does,)*
        }
    };
}

macro_rules! bytes {
    ($kind:ident::{$($variant:ident)*}) => {
        impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for $kind<S> {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                let this = self.get_mut();
                each!(this, $kind::{$($variant)*}, stream => Pin::new(stream).poll_read(cx, buffer))
            }
        }

        impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for $kind<S> {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                let this = self.get_mut();
                each!(this, $kind::{$($variant)*}, stream => Pin::new(stream).poll_write(cx, bytes))
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                pieces: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let this = self.get_mut();
                each!(this, $kind::{$($variant)*}, stream => Pin::new(stream).poll_write_vectored(cx, pieces))
            }

            fn is_write_vectored(&self) -> bool {
                each!(self, $kind::{$($variant)*}, stream => stream.is_write_vectored())
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let this = self.get_mut();
                each!(this, $kind::{$($variant)*}, stream => Pin::new(stream).poll_flush(cx))
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let this = self.get_mut();
                each!(this, $kind::{$($variant)*}, stream => Pin::new(stream).poll_shutdown(cx))
            }
        }
    };
}

bytes!(Bare::{Tunnel Plain});
bytes!(Upstream::{Bare Secured});

impl<S: Abort> Abort for Bare<S> {
    fn abort(&mut self) {
        each!(self, Bare::{Tunnel Plain}, stream => stream.abort());
    }

    fn unsent(&self) -> bool {
        each!(self, Bare::{Tunnel Plain}, stream => stream.unsent())
    }

    fn socket(&self) -> Option<&TcpStream> {
        each!(self, Bare::{Tunnel Plain}, stream => stream.socket())
    }

    fn tap(&self) -> Option<Tap> {
        each!(self, Bare::{Tunnel Plain}, stream => stream.tap())
    }

    fn pushes(&self) -> bool {
        each!(self, Bare::{Tunnel Plain}, stream => stream.pushes())
    }

    fn push_into(&mut self, outlet: Arc<dyn Outlet>) {
        each!(self, Bare::{Tunnel Plain}, stream => stream.push_into(outlet));
    }
}

impl<S: Abort> Abort for Upstream<S> {
    fn abort(&mut self) {
        // TLS has no reset: dropped without its own farewell, it is cut short, which its reader sees.
        if let Self::Bare(stream) = self {
            stream.abort();
        }
    }

    fn unsent(&self) -> bool {
        match self {
            Self::Bare(stream) => stream.unsent(),
            Self::Secured(stream) => stream.io().unsent(),
        }
    }

    fn socket(&self) -> Option<&TcpStream> {
        match self {
            Self::Bare(stream) => stream.socket(),
            Self::Secured(_) => None,
        }
    }

    fn tap(&self) -> Option<Tap> {
        match self {
            Self::Bare(stream) => stream.tap(),
            Self::Secured(_) => None,
        }
    }

    fn pushes(&self) -> bool {
        match self {
            Self::Bare(stream) => stream.pushes(),
            Self::Secured(_) => false,
        }
    }

    fn push_into(&mut self, outlet: Arc<dyn Outlet>) {
        if let Self::Bare(stream) = self {
            stream.push_into(outlet);
        }
    }
}
