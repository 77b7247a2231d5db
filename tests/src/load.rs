//! Traffic that goes on while something else happens, and counts what failed.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ambit_netns::Namespace;

use crate::http;
use crate::wait::wait_until;

/// Between two requests: a rate, so that the tests beside this one can work.
const PACE: Duration = Duration::from_millis(5);

/// One client that asks again and again.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    good: AtomicU64,
    failures: Mutex<Vec<String>>,
}

impl Load {
    /// Each request on a connection of its own.
    pub fn connections(from: &Namespace, to: SocketAddr, marker: &str) -> Self {
        let (from, path) = (from.clone(), format!("/{marker}"));
        Self::start(move || http::get(&from, to, &path).map(|answer| answer.body))
    }

    /// All requests on one connection, which must never break.
    pub fn requests(from: &Namespace, to: SocketAddr, marker: &str) -> Self {
        let (mut stream, path) = (http::connect(from, to).unwrap(), format!("/{marker}"));
        Self::start(move || http::ask(&mut stream, to, &path).map(|answer| answer.body))
    }

    fn start(mut request: impl FnMut() -> io::Result<String> + Send + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        let its = shared.clone();
        let begin = Instant::now();
        let thread = std::thread::spawn(move || {
            while !its.stop.load(Ordering::SeqCst) {
                let at = begin.elapsed();
                match request() {
                    Ok(_) => drop(its.good.fetch_add(1, Ordering::SeqCst)),
                    Err(error) => {
                        let text =
                            format!("{error}, request begun after {at:?}, over after {:?}", begin.elapsed());
                        its.failures.lock().unwrap().push(text);
                    }
                }
                std::thread::park_timeout(PACE);
            }
        });
        Self { shared, thread: Some(thread) }
    }

    /// Requests that succeeded so far.
    pub fn good(&self) -> u64 {
        self.shared.good.load(Ordering::SeqCst)
    }

    /// Requests that failed so far.
    pub fn failures(&self) -> Vec<String> {
        self.shared.failures.lock().unwrap().clone()
    }

    /// Waits until this many more have succeeded.
    #[track_caller]
    pub fn more(&self, count: u64) {
        let wanted = self.good() + count;
        wait_until(&format!("{count} more requests; failures: {:?}", self.failures()), || {
            self.good() >= wanted
        });
    }

    /// Ends it; every request must have succeeded. Gives their number.
    #[track_caller]
    pub fn flawless(mut self) -> u64 {
        self.end();
        let failures = self.failures();
        assert!(failures.is_empty(), "{} of {} requests failed: {failures:?}", failures.len(), self.good());
        self.good()
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}
