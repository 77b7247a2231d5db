//! The non-blocking end of the log: lines go into a bounded buffer, one thread writes it.
//!
//! A line costs its writer a copy under a short lock. When the reader of the log is slow the buffer fills up, and then
//! whole lines are dropped and counted: the data plane never waits for a terminal or a log collector.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

/// The buffer. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Queue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: usize,
    state: Mutex<State>,
    /// Signalled when lines are waiting or the queue is closed.
    filled: Condvar,
    /// Signalled when a batch has been written.
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// The thread is writing a batch.
    writing: bool,
    closed: bool,
    dropped: u64,
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
        let idle = state.waiting.is_empty() && !state.writing;
        state.waiting.extend_from_slice(line);
        drop(state);
        if idle {
            self.0.filled.notify_one();
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.0.state.lock().dropped
    }

    pub(super) fn flush(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut state = self.0.state.lock();
        while state.writing || !state.waiting.is_empty() {
            if self.0.written.wait_until(&mut state, deadline).timed_out() {
                return !state.writing && state.waiting.is_empty();
            }
        }
        true
    }

    /// Ends the thread once it has written what waits. Later lines are dropped.
    pub(super) fn close(&self) {
        self.0.state.lock().closed = true;
        self.0.filled.notify_one();
    }

    /// The thread: swaps the buffer for an empty one and writes it as a whole.
    fn write_all(self, mut output: impl Write) {
        let mut batch = Vec::new();
        loop {
            let mut state = self.0.state.lock();
            state.writing = false;
            self.0.written.notify_all();
            while state.waiting.is_empty() {
                if state.closed {
                    return;
                }
                self.0.filled.wait(&mut state);
            }
            batch.clear();
            // After a burst the memory goes back.
            batch.shrink_to(64 * 1024);
            std::mem::swap(&mut batch, &mut state.waiting);
            state.writing = true;
            drop(state);
            if output.write_all(&batch).and_then(|()| output.flush()).is_err() {
                let lines = batch.iter().filter(|byte| **byte == b'\n').count();
                self.0.state.lock().dropped += lines as u64;
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
