//! What a tunnel keeps for one stream between its driver and its user.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Waker};

use ambit_transport::relay::Outlet;
use bytes::BytesMut;

use super::fields::Message;
use super::frame::Code;
use super::machine::By;

/// One stream's part. It lives as long as its handle, which may be longer than the stream.
#[derive(Debug, Default)]
pub(super) struct Local {
    /// Received and not yet consumed.
    pub(super) queue: BytesMut,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Where received bytes may go at once.
    pub(super) outlet: Option<Arc<dyn Outlet>>,
    /// Client: the final answer, until it is looked at.
    pub(super) answer: Option<Box<Message>>,
    pub(super) reset: Option<(Code, By)>,
    /// The peer sends no more, in order.
    pub(super) ended: bool,
    /// It is in the list of those who wait for room in the connection.
    pub(super) queued: bool,
    /// Where its first written byte or its end is in the tunnel's plaintext.
    pub(super) first: Option<u64>,
    /// Where its last written byte is there.
    pub(super) last: u64,
}

impl Local {
    pub(super) fn wait_to_read(&mut self, cx: &Context<'_>) {
        set(&mut self.reader, cx);
    }

    pub(super) fn wait_to_write(&mut self, cx: &Context<'_>) {
        set(&mut self.writer, cx);
    }

    /// Hands bytes straight to the receiver, which takes the first so many; only while it waits for bytes and none are
    /// before them.
    pub(super) fn push(&self, pieces: &[IoSlice<'_>]) -> usize {
        match &self.outlet {
            Some(outlet) if self.queue.is_empty() && self.reader.is_some() => outlet.try_deliver(pieces),
            _ => 0,
        }
    }

    pub(super) fn reader(&mut self) -> Option<Waker> {
        self.reader.take()
    }

    pub(super) fn writer(&mut self) -> Option<Waker> {
        self.writer.take()
    }

    /// What reading fails with behind the queued bytes; `None` while it does not, or at an end in order.
    pub(super) fn read_error(&self) -> Option<io::Error> {
        match self.reset {
            // The peer has said all it had to say and wants no more from us (RFC 9113 section 8.1): an end, not a failure.
            Some((Code::NO_ERROR, By::Peer)) | None => None,
            Some(reset) => Some(error(reset)),
        }
    }

    /// What writing fails with.
    pub(super) fn write_error(&self) -> Option<io::Error> {
        self.reset.map(error)
    }

    /// Nothing more is to be read behind the queued bytes.
    pub(super) fn complete(&self) -> bool {
        self.ended || matches!(self.reset, Some((Code::NO_ERROR, By::Peer)))
    }

    /// Takes consumed bytes off the queue, which owns no memory when it is empty.
    pub(super) fn trim(&mut self) {
        if self.queue.is_empty() {
            self.queue = BytesMut::new();
        }
    }
}

fn set(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *place = Some(cx.waker().clone()),
    }
}

fn error((code, by): (Code, By)) -> io::Error {
    let (kind, text) = match by {
        By::GoAway => (io::ErrorKind::ConnectionAborted, format!("the tunnel was closed ({code})")),
        By::Us => (
            io::ErrorKind::ConnectionReset,
            format!("the peer violated HTTP/2 in the tunnelled stream ({code})"),
        ),
        By::Peer if code == Code::NO_ERROR => {
            (io::ErrorKind::BrokenPipe, format!("the peer reset the tunnelled stream ({code})"))
        }
        By::Peer => (io::ErrorKind::ConnectionReset, format!("the peer reset the tunnelled stream ({code})")),
    };
    io::Error::new(kind, text)
}
