//! The connections that wait for a request, and who has the others.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Place, Sender};
use crate::body::Progress;

/// Requests under way in one HTTP/2 connection before another is made; the endpoint may allow fewer.
const STREAMS: usize = 100;
/// A connection without requests is closed after this time (Istio's default).
const IDLE: Duration = Duration::from_secs(3600);

/// One worker's connections. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Shelves {
    shelves: Arc<Mutex<HashMap<Place, Shelf>>>,
}

/// The connections to one place.
#[derive(Debug, Default)]
struct Shelf {
    /// HTTP/1.1 connections without a request, the last used last: it is the most likely to live.
    idle: Vec<(Sender, Instant)>,
    /// HTTP/2 connections.
    shared: Vec<(Sender, Instant)>,
}

/// A connection for one request. Dropped without [`Lease::release`], an HTTP/1.1 connection is closed: nobody knows what
/// is still under way on it.
#[derive(Debug)]
pub struct Lease {
    shelves: Shelves,
    place: Place,
    sender: Option<Sender>,
    reused: bool,
    progress: Option<Arc<Progress>>,
}

impl Shelves {
    /// A connection to the place that takes a request now.
    pub fn take(&self, place: &Place) -> Option<Lease> {
        let mut shelves = self.shelves.lock();
        let shelf = shelves.get_mut(place)?;
        shelf.idle.retain(|(sender, _)| !sender.is_closed());
        shelf.shared.retain(|(sender, _)| !sender.is_closed());
        let sender = match shelf.idle.iter().rposition(|(sender, _)| sender.is_ready()) {
            Some(ready) => Some(shelf.idle.remove(ready).0),
            None => shelf.share(),
        };
        let sender = Some(sender?);
        Some(Lease { shelves: self.clone(), place: place.clone(), sender, reused: true, progress: None })
    }

    /// Takes in a new connection and lends it.
    pub(super) fn add(&self, place: Place, sender: Sender) -> Lease {
        let lent = match &sender {
            Sender::Http1(_) => sender,
            Sender::Http2(handle, token) => {
                let lent = Sender::Http2(handle.clone(), token.clone());
                let mut shelves = self.shelves.lock();
                shelves.entry(place.clone()).or_default().shared.push((sender, Instant::now()));
                lent
            }
        };
        Lease { shelves: self.clone(), place, sender: Some(lent), reused: false, progress: None }
    }

    /// Closes connections to places that are not to be kept. Requests that are under way go on.
    pub fn retain(&self, keep: impl Fn(&Place) -> bool) {
        self.shelves.lock().retain(|place, _| keep(place));
    }

    /// Closes connections that have waited too long, now that it is `now`.
    pub fn sweep(&self, now: Instant) {
        self.shelves.lock().retain(|_, shelf| {
            let fresh = |since: Instant| now.saturating_duration_since(since) < IDLE;
            shelf.idle.retain(|(sender, since)| !sender.is_closed() && fresh(*since));
            shelf.shared.retain_mut(|(sender, since)| {
                let Sender::Http2(_, token) = &*sender else { return false };
                if Arc::strong_count(token) > 1 {
                    *since = now;
                }
                !sender.is_closed() && fresh(*since)
            });
            !shelf.idle.is_empty() || !shelf.shared.is_empty()
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
    fn share(&self) -> Option<Sender> {
        let room = self.shared.iter().filter_map(|(sender, _)| match sender {
            Sender::Http2(handle, token) => {
                let under_way = Arc::strong_count(token) - 1;
                (handle.is_ready() && under_way < STREAMS).then_some((under_way, handle, token))
            }
            Sender::Http1(_) => None,
        });
        let (_, handle, token) = room.max_by_key(|(under_way, ..)| *under_way)?;
        Some(Sender::Http2(handle.clone(), token.clone()))
    }
}

impl Lease {
    pub(super) fn sender(&mut self) -> Option<&mut Sender> {
        self.sender.as_mut()
    }

    /// Whether the connection has carried another request before.
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// The request body that must have ended before the connection takes another request.
    pub(super) fn follow(&mut self, progress: Arc<Progress>) {
        self.progress = Some(progress);
    }

    /// The response has ended: the connection may take another request, if this one was sent in full.
    pub fn release(mut self) {
        let complete = self.progress.as_ref().is_none_or(|progress| progress.has_ended());
        if let Some(sender @ Sender::Http1(_)) = self.sender.take()
            && complete
            && !sender.is_closed()
        {
            let mut shelves = self.shelves.shelves.lock();
            let shelf = shelves.entry(self.place.clone()).or_default();
            shelf.idle.push((sender, Instant::now()));
        }
    }
}
