//! One tunnel: its state machine, its carrier and its streams' parts under one lock.
//!
//! The driver's task reads, and sends at the end of its turn what small writes have gathered. Streams write through the
//! same lock: small pieces into the gathering output, large ones straight into the carrier. No lock is held over an
//! await, and nobody is woken under it but the driver.

mod carry;
mod deliver;
mod failure;
mod line;
mod requests;
mod turn;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tokio::time::{Instant, Sleep};

use super::fields::Message;
use super::frame::Code;
use super::local::Local;
use super::machine::{Limits, Machine, Role};
use super::output::Output;
use crate::activity::Activity;
use crate::carrier::Carrier;
use crate::settings::Buffers;

pub(super) use failure::Failure;
use line::{Held, Line};
pub(super) use requests::Unanswered;

/// A tunnel as all its users hold it.
pub(super) type Shared = Arc<Core<dyn Line>>;

/// See the module.
pub(crate) struct Core<C: ?Sized> {
    pub(super) activity: Arc<Activity>,
    inner: Mutex<Inner<C>>,
}

type Locals = HashMap<u32, Local, foldhash::fast::RandomState>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// What is in the output leaves, then the carrier is closed.
    Closing,
    /// It is, and the peer may still be reading.
    Parting,
    Closed,
}

struct Inner<C: ?Sized> {
    role: Role,
    machine: Machine,
    locals: Locals,
    /// Server: requests that nobody has looked at.
    requests: VecDeque<(u32, Message)>,
    output: Output,
    /// Streams that wait until the connection has room for more.
    waiting: Vec<u32>,
    /// Bytes that may wait to leave before writers have to.
    high: usize,
    driver: Option<Waker>,
    woken: bool,
    phase: Phase,
    parting: Option<Pin<Box<Sleep>>>,
    failure: Option<Failure>,
    /// The code of the peer's GOAWAY.
    dismissed: Option<Code>,
    /// Client: somebody may still open streams.
    held: bool,
    /// When the peer was last heard.
    heard: Instant,
    /// Client: when something was first asked of it since.
    asked: Option<Instant>,
    carrier: C,
}

impl<C: ?Sized> fmt::Debug for Core<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("activity", &self.activity).finish_non_exhaustive()
    }
}

pub(super) fn new<C: Carrier>(
    carrier: C,
    role: Role,
    buffers: &Buffers,
    (max_streams, early_bytes): (u32, bool),
    activity: Arc<Activity>,
) -> Shared {
    let limits = Limits {
        stream_window: buffers.stream_window,
        connection_window: buffers.connection_window,
        max_frame: buffers.max_frame,
        header_list: buffers.header_list,
        max_streams,
        early_bytes,
    };
    let machine = Machine::new(role, limits).growing(buffers.widest_stream_window, buffers.headroom.clone());
    Arc::new(Core {
        activity,
        inner: Mutex::new(Inner {
            role,
            machine,
            locals: HashMap::default(),
            requests: VecDeque::new(),
            output: Output::default(),
            waiting: Vec::new(),
            high: buffers.send_buffer,
            driver: None,
            woken: false,
            phase: Phase::Open,
            parting: None,
            failure: None,
            dismissed: None,
            held: true,
            heard: Instant::now(),
            asked: None,
            carrier: Held::new(carrier),
        }),
    })
}

impl<C: Line + ?Sized> Core<C> {
    /// Whether the peer's SETTINGS have come.
    pub(super) fn settled(&self) -> bool {
        self.inner.lock().machine.settled()
    }

    /// Why every stream has failed, if they have.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.inner.lock().failure.clone()
    }

    /// Streams at a time that the peer allows.
    pub(super) fn peers_limit(&self) -> usize {
        self.inner.lock().machine.peers_limit() as usize
    }

    /// Changes the connection's receive window; the next turn tells.
    pub(super) fn set_window(&self, window: u32) {
        self.inner.lock().machine.set_window(window);
    }

    /// Sends a PING now.
    pub(super) fn ask(&self) {
        let mut inner = self.inner.lock();
        inner.machine.ping();
        inner.wake();
    }

    /// Whether bytes wait for the peer to take them.
    pub(super) fn backlog(&self) -> bool {
        self.inner.lock().backlog() > 0
    }

    /// Nobody opens streams any more: the connection ends after those that are open.
    pub(super) fn release(&self) {
        let mut inner = self.inner.lock();
        inner.held = false;
        inner.wake();
    }

    /// Lets the connection end after its open streams.
    pub(super) fn drain(&self) {
        let mut inner = self.inner.lock();
        inner.machine.drain();
        inner.wake();
    }

    /// Whether the peer has read that it shall open no more streams.
    pub(super) fn heard(&self) -> bool {
        self.inner.lock().machine.heard()
    }

    /// Ends a drain whose peer has been heard, once every stream is closed.
    pub(super) fn conclude(&self) {
        let mut inner = self.inner.lock();
        if inner.machine.conclude() {
            inner.wake();
        }
    }

    /// Ends the connection now: says why, fails every stream, and closes once that has left.
    pub(super) fn cut(&self, code: Code) {
        let wakers = {
            let mut inner = self.inner.lock();
            if inner.phase == Phase::Open {
                inner.machine.refuse_unanswered();
                inner.machine.farewell(code);
                inner.phase = Phase::Closing;
            }
            inner.wake();
            inner.fail(Failure::Ended)
        };
        wake_all(wakers);
    }

    /// The driver is gone: so is the connection.
    pub(super) fn abandon(&self) {
        let wakers = {
            let mut inner = self.inner.lock();
            inner.phase = Phase::Closed;
            inner.driver = None;
            inner.carrier.let_go();
            inner.fail(Failure::Ended)
        };
        self.activity.retire();
        wake_all(wakers);
    }
}

fn wake_all(wakers: Vec<Waker>) {
    for waker in wakers {
        waker.wake();
    }
}

impl<C: Line + ?Sized> Inner<C> {
    /// Has the driver take a turn, unless it will anyway.
    fn wake(&mut self) {
        if !self.woken
            && let Some(driver) = &self.driver
        {
            self.woken = true;
            driver.wake_by_ref();
        }
    }

    /// Bytes that have been written and have not left.
    fn backlog(&mut self) -> usize {
        self.machine.output().len() + self.carrier.queued()
    }

    /// The position behind what has been written so far.
    fn position(&mut self) -> u64 {
        self.output.plain() + self.machine.output().len() as u64
    }

    /// Fails every stream, with the first failure there is. Gives who must hear of it.
    fn fail(&mut self, failure: Failure) -> Vec<Waker> {
        self.failure.get_or_insert(failure);
        self.machine.stop();
        self.requests = VecDeque::new();
        self.waiting = Vec::new();
        self.locals.values_mut().flat_map(|local| [local.reader(), local.writer()]).flatten().collect()
    }

    /// Seals the gathered output and sends what the connection below takes.
    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let out = self.machine.output();
        if !out.is_empty() {
            let before = self.carrier.queued();
            self.carrier.seal(&[out.as_slice()])?;
            self.output.sealed(out.len(), self.carrier.queued().saturating_sub(before));
            empty(out);
        }
        self.send(cx)
    }

    fn send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = self.carrier.poll_send(cx);
        if matches!(sent, Poll::Ready(Ok(()))) {
            self.machine.sent();
        }
        self.output.queued(self.carrier.queued());
        sent
    }
}

/// Room that an empty output keeps.
const KEPT: usize = 4 * 1024;

fn empty(out: &mut Vec<u8>) {
    if out.capacity() > KEPT { *out = Vec::new() } else { out.clear() }
}
