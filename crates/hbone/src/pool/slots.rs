//! The pool's books: which tunnels there are for a key, who waits for one, how many are being made. No I/O.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::{ConnectError, Counts, Key};
use crate::activity::{Activity, Place};
use crate::client::{Connection, OpenError};

/// A place in a tunnel, for one stream.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) connection: Arc<Connection>,
    pub(super) place: Place,
    /// The tunnel was there before the stream asked, so it may have died unnoticed.
    pub(super) reused: bool,
}

/// Where a waiting stream gets its lease.
pub(super) type Reply = oneshot::Sender<Result<Lease, OpenError>>;

#[derive(Debug)]
struct Waiter {
    oldest: u64,
    reply: Reply,
}

/// A tunnel that lives. Without its handle it takes no new streams and ends after its last one.
#[derive(Debug)]
struct Member {
    number: u64,
    connection: Option<Arc<Connection>>,
    activity: Arc<Activity>,
    task: AbortHandle,
}

/// The tunnels of one key from one drain to the next. After a drain it is no longer in the index and only serves who
/// already waits.
#[derive(Debug)]
struct Slot {
    key: Key,
    drained: bool,
    members: Vec<Member>,
    waiters: VecDeque<Waiter>,
    dials: Vec<(u64, AbortHandle)>,
    /// Streams in a tunnel, as the last one had it.
    limit: usize,
}

impl Slot {
    fn lease(&mut self, oldest: u64, reused: bool) -> Option<Lease> {
        for member in self.members.iter_mut().filter(|member| member.number >= oldest) {
            let Some(connection) = &member.connection else { continue };
            if connection.is_closed() {
                member.connection = None;
                continue;
            }
            if let Some(place) = connection.reserve() {
                return Some(Lease { connection: Arc::clone(connection), place, reused });
            }
        }
        None
    }

    /// Serves who waits, the first first, as far as there is room.
    fn serve(&mut self) {
        self.waiters.retain(|waiter| !waiter.reply.is_closed());
        while let Some(waiter) = self.waiters.pop_front() {
            match self.lease(waiter.oldest, false) {
                // A waiter that has left meanwhile gives the place back by dropping it.
                Some(lease) => drop(waiter.reply.send(Ok(lease))),
                None => return self.waiters.push_front(waiter),
            }
        }
    }

    fn release_drained(&mut self) {
        if self.drained && self.waiters.is_empty() {
            for member in &mut self.members {
                member.connection = None;
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.members.is_empty() && self.waiters.is_empty() && self.dials.is_empty()
    }
}

/// What was closed, to be ended outside of the lock: whoever waits is told by the drop.
#[must_use]
#[derive(Debug, Default)]
pub(super) struct Closed {
    tasks: Vec<AbortHandle>,
    slots: Vec<Slot>,
}

impl Closed {
    pub(super) fn finish(self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

#[derive(Debug)]
pub(super) struct Slots {
    index: HashMap<Key, u64, foldhash::fast::RandomState>,
    slots: HashMap<u64, Slot, foldhash::fast::RandomState>,
    next: u64,
    next_connection: u64,
    most_streams: usize,
    closed: bool,
    sweeper: Option<AbortHandle>,
}

impl Slots {
    pub(super) fn new(most_streams: usize) -> Self {
        Self {
            index: HashMap::default(),
            slots: HashMap::default(),
            next: 0,
            next_connection: 1,
            most_streams,
            closed: false,
            sweeper: None,
        }
    }

    /// The number that the next tunnel will have: all that live now have smaller ones.
    pub(super) fn next_connection(&self) -> u64 {
        self.next_connection
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// A place in a tunnel that is there.
    pub(super) fn lease(&mut self, key: &Key, oldest: u64) -> Result<Option<Lease>, OpenError> {
        if self.closed {
            return Err(OpenError::Closed);
        }
        let slot = self.index.get(key).and_then(|slot| self.slots.get_mut(slot));
        Ok(slot.and_then(|slot| slot.lease(oldest, true)))
    }

    /// Queues for a tunnel of the key; gives the slot in which it waits.
    pub(super) fn wait(&mut self, key: &Key, oldest: u64, reply: Reply) -> u64 {
        let id = match self.index.get(key) {
            Some(id) => *id,
            None => {
                let id = self.number();
                self.index.insert(key.clone(), id);
                id
            }
        };
        let limit = self.most_streams;
        let slot = self.slots.entry(id).or_insert_with(|| Slot {
            key: key.clone(),
            drained: false,
            members: Vec::new(),
            waiters: VecDeque::new(),
            dials: Vec::new(),
            limit,
        });
        slot.waiters.push_back(Waiter { oldest, reply });
        id
    }

    /// How many more tunnels must be made for those who wait, and the key to make them for.
    pub(super) fn missing(&mut self, id: u64) -> Option<(usize, Key)> {
        let slot = self.slots.get_mut(&id)?;
        slot.waiters.retain(|waiter| !waiter.reply.is_closed());
        let wanted = slot.waiters.len().div_ceil(slot.limit);
        Some((wanted.saturating_sub(slot.dials.len()), slot.key.clone()))
    }

    /// The number of a dial about to begin.
    pub(super) fn next_dial(&mut self) -> u64 {
        self.number()
    }

    /// A dial has begun.
    pub(super) fn dialing(&mut self, id: u64, dial: u64, task: AbortHandle) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.dials.push((dial, task));
        }
    }

    /// A dial has led to a tunnel: serves who waits with it. Gives the tunnel's number; `None` when its slot is closed.
    pub(super) fn dialed(&mut self, id: u64, dial: u64, connection: Connection) -> Option<u64> {
        let most_streams = self.most_streams;
        let slot = self.slots.get_mut(&id)?;
        let at = slot.dials.iter().position(|(number, _)| *number == dial)?;
        let (_, task) = slot.dials.swap_remove(at);
        slot.limit = connection.stream_limit().clamp(1, most_streams);
        let number = self.next_connection;
        self.next_connection += 1;
        let activity = Arc::clone(connection.activity());
        slot.members.push(Member { number, connection: Some(Arc::new(connection)), activity, task });
        slot.serve();
        slot.release_drained();
        Some(number)
    }

    /// A dial has failed: so have those who counted on it, the first first.
    pub(super) fn failed(&mut self, id: u64, dial: u64, error: &ConnectError) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        slot.dials.retain(|(number, _)| *number != dial);
        slot.serve();
        let hopeful = slot.dials.len().saturating_mul(slot.limit);
        while slot.waiters.len() > hopeful {
            let Some(waiter) = slot.waiters.pop_front() else { break };
            let _ = waiter.reply.send(Err(error.clone().into()));
        }
        slot.release_drained();
        self.forget_if_empty(id);
    }

    /// A tunnel has ended.
    pub(super) fn ended(&mut self, id: u64, number: u64) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.members.retain(|member| member.number != number);
            self.forget_if_empty(id);
        }
    }

    fn forget_if_empty(&mut self, id: u64) {
        if self.slots.get(&id).is_some_and(Slot::is_empty)
            && let Some(slot) = self.slots.remove(&id)
            && !slot.drained
        {
            self.index.remove(&slot.key);
        }
    }

    /// Takes matching keys out of the index. The tunnels' handles are dropped by the caller, outside of the lock.
    pub(super) fn drain(&mut self, matches: impl Fn(&Key) -> bool) -> Vec<Arc<Connection>> {
        let mut dropped = Vec::new();
        let slots = &mut self.slots;
        self.index.retain(|key, id| {
            if !matches(key) {
                return true;
            }
            if let Some(slot) = slots.get_mut(id) {
                slot.drained = true;
                dropped.extend(slot.members.iter_mut().filter_map(|member| member.connection.take()));
            }
            false
        });
        dropped
    }

    /// Takes everything of matching keys out of the books.
    pub(super) fn close(&mut self, matches: impl Fn(&Key) -> bool) -> Closed {
        let mut closed = Closed::default();
        for (id, slot) in self.slots.extract_if(|_, slot| matches(&slot.key)) {
            if self.index.get(&slot.key) == Some(&id) {
                self.index.remove(&slot.key);
            }
            closed.tasks.extend(slot.members.iter().map(|member| member.task.clone()));
            closed.tasks.extend(slot.dials.iter().map(|(_, task)| task.clone()));
            closed.slots.push(slot);
        }
        closed
    }

    /// The end of the pool.
    pub(super) fn close_all(&mut self) -> Closed {
        self.closed = true;
        let mut closed = self.close(|_| true);
        closed.tasks.extend(self.sweeper.take());
        closed
    }

    /// Whether nobody watches the idle tunnels yet.
    pub(super) fn needs_sweeper(&self) -> bool {
        self.sweeper.is_none() && !self.closed
    }

    pub(super) fn set_sweeper(&mut self, task: AbortHandle) {
        self.sweeper = Some(task);
    }

    /// Lets go of tunnels that have had no stream for `idle`; gives when to look again, `None` when there is nothing left to watch.
    pub(super) fn sweep(&mut self, now: Instant, idle: Duration) -> Option<Instant> {
        let mut again = None;
        for member in self.slots.values_mut().flat_map(|slot| &mut slot.members) {
            if member.connection.is_none() {
                continue;
            }
            let due = member.activity.empty_since().unwrap_or(now) + idle;
            if due <= now {
                member.connection = None;
            } else {
                again = Some(again.map_or(due, |earliest: Instant| earliest.min(due)));
            }
        }
        if again.is_none() {
            self.sweeper = None;
        }
        again
    }

    /// Whether there is no tunnel, no dial and nobody who waits for one.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for slot in self.slots.values() {
            counts.dialing += slot.dials.len();
            counts.waiting += slot.waiters.len();
            for member in &slot.members {
                counts.streams += member.activity.streams();
                if member.connection.is_some() && !member.activity.retired() {
                    counts.connections += 1;
                } else {
                    counts.draining += 1;
                }
            }
        }
        counts
    }
}
