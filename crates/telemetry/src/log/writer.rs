//! The non-blocking end of the log: lines go into a bounded buffer, one thread writes it.
//!
//! A line costs its writer a copy under a short lock. When the reader of the log is slow the buffer fills up, and then
//! whole lines are dropped and counted: the data plane never waits for a terminal or a log collector.
//!
//! A line after a silence is written at once. Lines that follow closely gather for at most [`GATHER`] while the thread
//! rests, so that under load nobody pays for waking it once a line.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

/// The longest that a line waits for others to be written with, and the shortest time between two batches.
const GATHER: Duration = Duration::from_millis(5);

/// The buffer. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Queue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: usize,
    state: Mutex<State>,
    /// Signalled when the thread is awaited.
    filled: Condvar,
    /// Signalled when a batch has been written.
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    thread: Thread,
    /// Somebody waits for everything to be written.
    flushing: bool,
    closed: bool,
    dropped: u64,
}

impl Shared {
    /// Whether so much waits that it should not gather any longer.
    fn is_many(&self, state: &State) -> bool {
        state.waiting.len() > self.limit / 4
    }
}

/// What the writing thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Thread {
    /// Sleeps until it is woken: everything is written.
    #[default]
    Asleep,
    /// Rests after a batch, and looks by itself whether there are lines. Woken only where that would be too late.
    Gathering,
    /// Is woken, and has not looked yet.
    Woken,
    /// Writes a batch.
    Writing,
}

impl State {
    /// Whether the thread has to be woken, which its waker does outside of the lock.
    fn wake(&mut self, urgent: bool) -> bool {
        let wakes = self.thread == Thread::Asleep || (urgent && self.thread == Thread::Gathering);
        if wakes {
            self.thread = Thread::Woken;
        }
        wakes
    }

    fn written(&self) -> bool {
        self.waiting.is_empty() && self.thread != Thread::Writing
    }
}

impl Queue {
    pub(super) fn start(output: impl Write + Send + 'static, limit: usize) -> io::Result<Self> {
        let shared =
            Shared { limit, state: Mutex::default(), filled: Condvar::new(), written: Condvar::new() };
        let queue = Self(Arc::new(shared));
        let own = queue.clone();
        std::thread::Builder::new().name("log".into()).spawn(move || own.write_all(output))?;
        Ok(queue)
    }

    fn push(&self, line: &[u8]) {
        let mut state = self.0.state.lock();
        if state.closed || state.waiting.len() + line.len() > self.0.limit {
            state.dropped += 1;
            return;
        }
        state.waiting.extend_from_slice(line);
        // A burst is not kept until the buffer is full.
        let urgent = self.0.is_many(&state);
        let wakes = state.wake(urgent);
        drop(state);
        if wakes {
            self.0.filled.notify_one();
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.0.state.lock().dropped
    }

    pub(super) fn flush(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut state = self.0.state.lock();
        while !state.written() {
            state.flushing = true;
            if state.wake(true) {
                self.0.filled.notify_one();
            }
            if self.0.written.wait_until(&mut state, deadline).timed_out() {
                return state.written();
            }
        }
        true
    }

    /// Ends the thread once it has written what waits. Later lines are dropped.
    pub(super) fn close(&self) {
        let mut state = self.0.state.lock();
        state.closed = true;
        if state.wake(true) {
            self.0.filled.notify_one();
        }
    }

    /// The thread: swaps the buffer for an empty one and writes it as a whole.
    fn write_all(self, mut output: impl Write) {
        let mut batch = Vec::new();
        while self.take(&mut batch) {
            if output.write_all(&batch).and_then(|()| output.flush()).is_err() {
                let lines = batch.iter().filter(|byte| **byte == b'\n').count();
                self.0.state.lock().dropped += lines as u64;
            }
            self.rest();
        }
    }

    /// Waits for lines and takes all there are into `batch`; `false` when there will be none any more.
    fn take(&self, batch: &mut Vec<u8>) -> bool {
        batch.clear();
        // After a burst the memory goes back.
        batch.shrink_to(64 * 1024);
        let mut state = self.0.state.lock();
        while state.waiting.is_empty() {
            if state.closed {
                return false;
            }
            state.thread = Thread::Asleep;
            self.0.filled.wait(&mut state);
        }
        std::mem::swap(batch, &mut state.waiting);
        state.thread = Thread::Writing;
        true
    }

    /// A batch is written: lets lines gather, unless somebody waits for them.
    fn rest(&self) {
        let deadline = Instant::now() + GATHER;
        let mut state = self.0.state.lock();
        state.thread = Thread::Gathering;
        if std::mem::take(&mut state.flushing) {
            self.0.written.notify_all();
        }
        while state.thread == Thread::Gathering && !(state.closed || state.flushing || self.0.is_many(&state))
        {
            if self.0.filled.wait_until(&mut state, deadline).timed_out() {
                return;
            }
        }
    }
}

/// One event's writer; the formatter hands it a whole line at a time.
pub(super) struct Line<'a>(&'a Queue);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Line(self)
    }
}
