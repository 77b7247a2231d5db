//! The connections that wait for a request, and who has the others.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ambit_model::l7::destination_rule::ConnectionPool;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::gate::{Gate, Seat};
use super::{Place, Sender};
use crate::body::Progress;
use crate::destinations::Held;

/// Requests under way in one HTTP/2 connection before another is made; the endpoint may allow fewer.
const STREAMS: u32 = 100;
/// A connection without requests is closed after this time (Istio's default).
const IDLE: Duration = Duration::from_secs(3600);

/// How long connections are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    idle: Duration,
    age: Option<Duration>,
    requests: Option<u32>,
    pub(super) streams: usize,
}

/// One worker's connections. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Shelves {
    shelves: Arc<Mutex<HashMap<Place, Shelf>>>,
}

/// The connections to one place.
#[derive(Debug, Default)]
struct Shelf {
    gate: Arc<Gate>,
    /// HTTP/1.1 connections without a request, the last used last: it is the most likely to live.
    idle: Vec<Kept>,
    /// HTTP/2 connections.
    shared: Vec<Kept>,
}

/// A connection, and what becomes of it.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) sender: Sender,
    keep: Keep,
    made: Instant,
    /// When it last took or ended a request.
    since: Instant,
    /// Requests that it has taken.
    taken: u32,
    /// `None` for one that many share.
    _seat: Option<Seat>,
}

/// A connection for one request. Dropped without [`Lease::release`], an HTTP/1.1 connection is closed: nobody knows what
/// is still under way on it.
#[derive(Debug)]
pub struct Lease {
    shelves: Shelves,
    place: Place,
    kept: Option<Kept>,
    reused: bool,
    progress: Option<Arc<Progress>>,
    held: Option<Box<Held>>,
}

impl Keep {
    /// By the rules of a destination.
    pub fn new(pool: Option<&ConnectionPool>) -> Self {
        let some = |number: Option<u32>| number.filter(|number| *number > 0);
        Self {
            idle: pool.and_then(|pool| pool.http_idle_timeout).unwrap_or(IDLE),
            age: pool.and_then(|pool| pool.max_duration),
            requests: some(pool.and_then(|pool| pool.max_requests_per_connection)),
            streams: some(pool.and_then(|pool| pool.max_streams)).unwrap_or(STREAMS) as usize,
        }
    }
}

impl Kept {
    pub(super) fn new(sender: Sender, keep: Keep, seat: Option<Seat>) -> Self {
        let now = Instant::now();
        Self { sender, keep, made: now, since: now, taken: 1, _seat: seat }
    }

    /// Whether it may take another request, now or later.
    fn is_good(&self, now: Instant) -> bool {
        let young = self.keep.age.is_none_or(|age| now.saturating_duration_since(self.made) < age);
        let unspent = self.keep.requests.is_none_or(|most| self.taken < most);
        young && unspent && !self.sender.is_closed()
    }

    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < self.keep.idle
    }
}

impl Shelves {
    /// The queue before a place.
    pub(super) fn gate(&self, place: &Place) -> Arc<Gate> {
        let mut shelves = self.shelves.lock();
        match shelves.get(place) {
            Some(shelf) => shelf.gate.clone(),
            None => shelves.entry(place.clone()).or_default().gate.clone(),
        }
    }

    /// A connection to the place that takes a request now, kept as rules say now. Who has not waited does not go before
    /// those who do.
    pub(super) fn take(&self, place: &Place, keep: Keep, waited: bool) -> Option<Lease> {
        let now = Instant::now();
        let mut shelves = self.shelves.lock();
        let shelf = shelves.get_mut(place)?;
        if !waited && !shelf.gate.is_free() {
            return None;
        }
        for kept in shelf.idle.iter_mut().chain(&mut shelf.shared) {
            kept.keep = keep;
        }
        shelf.idle.retain(|kept| kept.is_good(now) && kept.is_fresh(now));
        shelf.shared.retain(|kept| kept.is_good(now));
        let kept = match shelf.idle.iter().rposition(|kept| kept.sender.is_ready()) {
            Some(ready) => {
                let mut kept = shelf.idle.remove(ready);
                kept.taken = kept.taken.saturating_add(1);
                kept
            }
            None => shelf.share(now)?,
        };
        Some(self.lend(place.clone(), kept, true))
    }

    /// Takes in a new connection and lends it.
    pub(super) fn add(&self, place: Place, new: Kept) -> Lease {
        let lent = match &new.sender {
            Sender::Http1(_) => new,
            Sender::Http2(handle, token) => {
                let sender = Sender::Http2(handle.clone(), token.clone());
                let lent = Kept::new(sender, new.keep, None);
                self.shelves.lock().entry(place.clone()).or_default().shared.push(new);
                lent
            }
        };
        self.lend(place, lent, false)
    }

    fn lend(&self, place: Place, kept: Kept, reused: bool) -> Lease {
        Lease { shelves: self.clone(), place, kept: Some(kept), reused, progress: None, held: None }
    }

    /// Closes connections to places that are not to be kept. Requests that are under way go on.
    pub fn retain(&self, keep: impl Fn(&Place) -> bool) {
        self.shelves.lock().retain(|place, shelf| {
            let keep = keep(place);
            if !keep {
                shelf.gate.wake_all();
            }
            keep
        });
    }

    /// Closes connections that have waited too long, now that it is `now`.
    pub fn sweep(&self, now: Instant) {
        self.shelves.lock().retain(|_, shelf| {
            shelf.idle.retain(|kept| kept.is_good(now) && kept.is_fresh(now));
            shelf.shared.retain_mut(|kept| {
                if kept.sender.under_way() > 0 {
                    kept.since = now;
                }
                kept.is_good(now) && kept.is_fresh(now)
            });
            !shelf.idle.is_empty() || !shelf.shared.is_empty() || Arc::strong_count(&shelf.gate) > 1
        });
    }

    /// Connections that are kept, for operators.
    pub fn len(&self) -> usize {
        self.shelves.lock().values().map(|shelf| shelf.idle.len() + shelf.shared.len()).sum()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Shelf {
    /// The fullest HTTP/2 connection with room, so that those that are not needed fall idle.
    fn share(&mut self, now: Instant) -> Option<Kept> {
        let room = self.shared.iter_mut().filter_map(|kept| {
            let under_way = kept.sender.under_way();
            (kept.sender.is_ready() && under_way < kept.keep.streams).then_some((under_way, kept))
        });
        let (_, kept) = room.max_by_key(|(under_way, _)| *under_way)?;
        kept.taken = kept.taken.saturating_add(1);
        kept.since = now;
        let Sender::Http2(handle, token) = &kept.sender else { return None };
        Some(Kept::new(Sender::Http2(handle.clone(), token.clone()), kept.keep, None))
    }
}

impl Lease {
    pub(super) fn sender(&mut self) -> Option<&mut Sender> {
        self.kept.as_mut().map(|kept| &mut kept.sender)
    }

    /// Whether the connection has carried another request before.
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// The request body that must have ended before the connection takes another request.
    pub(super) fn follow(&mut self, progress: Arc<Progress>) {
        self.progress = Some(progress);
    }

    /// What the request holds of its destination until the response has ended.
    pub fn hold(&mut self, held: Box<Held>) {
        self.held = Some(held);
    }

    /// What the request holds of its destination.
    pub fn held(&mut self) -> Option<&mut Held> {
        self.held.as_deref_mut()
    }

    /// The same, for longer than the lease.
    pub fn take_held(&mut self) -> Option<Box<Held>> {
        self.held.take()
    }

    /// The response has ended: the connection may take another request, if this one was sent in full.
    pub fn release(mut self) {
        let complete = self.progress.as_ref().is_none_or(|progress| progress.has_ended());
        let Some(mut kept) = self.kept.take() else { return };
        let now = Instant::now();
        if !matches!(kept.sender, Sender::Http1(_)) || !complete || !kept.is_good(now) {
            return;
        }
        kept.since = now;
        let mut shelves = self.shelves.shelves.lock();
        let shelf = shelves.entry(self.place.clone()).or_default();
        shelf.idle.push(kept);
        shelf.gate.wake();
    }
}
