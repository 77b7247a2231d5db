//! The handle of a carried connection in our own engine.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ambit_transport::relay::Outlet;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::core::Shared;
use super::frame::Code;
use crate::activity::Place;

/// See [`crate::Stream`].
#[derive(Debug)]
pub(crate) struct Stream {
    core: Shared,
    place: Option<Place>,
    id: u32,
    shut: bool,
    aborted: bool,
}

impl Stream {
    pub(super) fn new(core: Shared, place: Place, id: u32) -> Self {
        Self { core, place: Some(place), id, shut: false, aborted: false }
    }

    pub(super) fn core(&self) -> &Shared {
        &self.core
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        if self.aborted {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        self.core.poll_chunk(cx, self.id)
    }

    pub(crate) fn abort(&mut self) {
        if !self.aborted {
            self.aborted = true;
            self.core.reset(self.id, Code::CANCEL);
        }
    }

    pub(crate) fn push_into(&mut self, outlet: Arc<dyn Outlet>) {
        self.core.push_into(self.id, outlet);
    }

    pub(crate) fn unsent(&self) -> bool {
        !self.aborted && self.core.unsent(self.id)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.aborted {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if space.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        self.core.poll_read(cx, self.id, space)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.aborted || self.shut {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.core.poll_write(cx, self.id, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.aborted {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if !this.shut {
            this.core.end(this.id)?;
            this.shut = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // Free before the driver looks.
        self.place = None;
        self.core.leave(self.id);
    }
}
