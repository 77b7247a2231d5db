//! Who waits for a connection to a place, first come first served.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ambit_policy::request::limit::Permit;
use tokio::sync::Notify;

/// The queue before one place, of one worker.
#[derive(Debug, Default)]
pub(super) struct Gate {
    waiting: AtomicUsize,
    /// Connections that are there or being made, with one request at a time.
    seats: AtomicUsize,
    /// Connections for many requests that are being made.
    making: AtomicUsize,
    notify: Notify,
}

impl Gate {
    /// Whether there is nobody before who comes now.
    pub(super) fn is_free(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) == 0
    }

    /// Whether nothing is there or on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.seats.load(Ordering::Relaxed) == 0
    }

    /// Whether a connection that is being made has room for one more who waits, where each takes so many.
    pub(super) fn is_soon(&self, streams: usize) -> bool {
        let making = self.making.load(Ordering::Relaxed);
        making > 0 && self.waiting.load(Ordering::Relaxed) < making.saturating_mul(streams)
    }

    /// Waits until something may have changed.
    pub(super) async fn wait(&self) {
        let _waiting = Waiting::new(&self.waiting);
        self.notify.notified().await;
    }

    /// One of those who wait may look again.
    pub(super) fn wake(&self) {
        if !self.is_free() {
            self.notify.notify_one();
        }
    }

    /// All of them may.
    pub(super) fn wake_all(&self) {
        self.notify.notify_waiters();
    }

    /// A connection for many is being made, until this is dropped.
    pub(super) fn making(self: &Arc<Self>) -> Making {
        self.making.fetch_add(1, Ordering::Relaxed);
        Making(self.clone())
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// See [`Gate::making`].
#[derive(Debug)]
pub(super) struct Making(Arc<Gate>);

impl Drop for Making {
    fn drop(&mut self) {
        self.0.making.fetch_sub(1, Ordering::Relaxed);
        // Made or not: who waits finds it, or makes another.
        self.0.wake_all();
    }
}

/// The place of one connection among those that there may be. It goes with the connection.
#[derive(Debug)]
pub(super) struct Seat {
    gate: Arc<Gate>,
    permit: Option<Permit>,
}

impl Seat {
    pub(super) fn new(gate: Arc<Gate>, permit: Option<Permit>) -> Self {
        gate.seats.fetch_add(1, Ordering::Relaxed);
        Self { gate, permit }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.permit = None;
        self.gate.seats.fetch_sub(1, Ordering::Relaxed);
        self.gate.wake();
    }
}
