//! One carried TCP connection: a byte stream over an HTTP/2 stream, with TCP's manners.
//!
//! | HTTP/2 | here |
//! |---|---|
//! | END_STREAM received / sent | end of file / shutdown; the other direction goes on |
//! | RST_STREAM received | [`io::ErrorKind::ConnectionReset`]; after a complete answer (NO_ERROR) it only stops the writing |
//! | RST_STREAM CANCEL sent | [`Stream::abort`], or a drop before both directions have ended |
//! | flow control | bytes are released as they are consumed; a write takes what the windows allow |

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ambit_transport::relay::{Abort, Outlet};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{engine, library};

/// A carried connection.
///
/// Reading and writing are independent: either may end first. A drop before both have ended is an [`abort`](Self::abort),
/// so that the peer never takes a cut stream for a complete one. A write takes what the windows allow; what it took
/// leaves by itself, and nothing waits for a flush. The end of the writing direction goes behind the bytes written
/// before; once the reading direction has ended too, they leave even after a drop.
#[derive(Debug)]
pub struct Stream {
    engine: Engine,
}

#[derive(Debug)]
enum Engine {
    Own(engine::stream::Stream),
    Library(library::stream::Stream),
}

/// The same call on whichever engine carries the stream.
macro_rules! on {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream {
            Engine::Own($inner) => $call,
            Engine::Library($inner) => $call,
        }
    };
}

impl Stream {
    pub(crate) fn own(stream: engine::stream::Stream) -> Self {
        Self { engine: Engine::Own(stream) }
    }

    pub(crate) fn library(stream: library::stream::Stream) -> Self {
        Self { engine: Engine::Library(stream) }
    }

    /// The number of the stream in its connection, for logs.
    pub fn id(&self) -> u32 {
        on!(&self.engine, stream => stream.id())
    }

    /// The next bytes as they arrived, without a copy; `None` at the end. They count as consumed: the peer may send as
    /// many more.
    ///
    /// # Errors
    /// As reading; see the module.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        on!(&mut self.engine, stream => stream.poll_chunk(cx))
    }

    /// Resets the stream now (RST_STREAM CANCEL). What was written and has not left yet may be discarded.
    pub fn abort(&mut self) {
        on!(&mut self.engine, stream => stream.abort());
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        on!(&mut self.get_mut().engine, stream => Pin::new(stream).poll_read(cx, space))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        on!(&mut self.get_mut().engine, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on!(&mut self.get_mut().engine, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on!(&mut self.get_mut().engine, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

impl Abort for Stream {
    fn abort(&mut self) {
        Self::abort(self);
    }

    fn unsent(&self) -> bool {
        on!(&self.engine, stream => stream.unsent())
    }

    fn pushes(&self) -> bool {
        matches!(self.engine, Engine::Own(_))
    }

    fn push_into(&mut self, outlet: Arc<dyn Outlet>) {
        if let Engine::Own(stream) = &mut self.engine {
            stream.push_into(outlet);
        }
    }
}
