//! A carrier that goes with its driver, however long the streams' handles live.

use std::io;
use std::task::{Context, Poll};

use crate::carrier::{Carrier, Received};

/// A carrier that can be let go.
pub(in crate::engine) trait Line: Carrier {
    /// Drops the connection below now.
    fn let_go(&mut self);
}

/// A carrier until it is let go; from then on it is closed.
#[derive(Debug)]
pub(super) struct Held<C>(Option<C>);

impl<C> Held<C> {
    pub(super) fn new(carrier: C) -> Self {
        Self(Some(carrier))
    }

    fn held(&mut self) -> io::Result<&mut C> {
        self.0.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<C: Carrier> Line for Held<C> {
    fn let_go(&mut self) {
        self.0 = None;
    }
}

impl<C: Carrier> Carrier for Held<C> {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        deliver: &mut dyn FnMut(&[&[u8]]),
    ) -> Poll<io::Result<Received>> {
        self.held()?.poll_receive(cx, deliver)
    }

    fn seal(&mut self, pieces: &[&[u8]]) -> io::Result<()> {
        self.held()?.seal(pieces)
    }

    fn queued(&self) -> usize {
        self.0.as_ref().map_or(0, Carrier::queued)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.held()?.poll_send(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.held()?.poll_close(cx)
    }
}
