//! What crosses the link between the nodes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use ambit_netns::Namespace;
use ambit_netns::capture::{Capture, Search, segment};

use crate::topology::LINK;
use crate::wait::pause;

/// A watcher that looks for texts.
#[derive(Debug)]
pub struct Wire {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Crossed>>,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Crossed {
    /// The markers that crossed in clear.
    pub markers: BTreeSet<String>,
    /// Bytes of tunnels (port 15008).
    pub tunnel: usize,
    /// Frames that the watcher missed: a proof of absence needs 0.
    pub lost: u64,
}

impl Wire {
    /// Watches the link, as seen from a node, for these markers.
    pub fn watch(node: &Namespace, markers: &[&str]) -> Self {
        let mut capture = Capture::open(node, LINK).unwrap();
        let mut searches: Vec<(String, Search)> =
            markers.iter().map(|marker| ((*marker).to_owned(), Search::new(*marker))).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut crossed = Crossed::default();
            loop {
                let last = stopped.load(Ordering::SeqCst);
                while let Some(frame) = capture.next_queued().unwrap() {
                    let Some(segment) = segment(frame) else { continue };
                    if segment.has_port(15008) {
                        crossed.tunnel += segment.payload.len();
                    }
                    for (marker, search) in &mut searches {
                        if search.found(&segment) {
                            crossed.markers.insert(marker.clone());
                        }
                    }
                }
                if last {
                    crossed.lost = capture.counters().lost;
                    return crossed;
                }
                pause();
            }
        });
        Self { stop, thread: Some(thread) }
    }

    /// Ends the watch. Nothing may have been missed.
    #[track_caller]
    pub fn crossed(mut self) -> Crossed {
        self.stop.store(true, Ordering::SeqCst);
        let crossed = self.thread.take().unwrap().join().unwrap();
        assert_eq!(crossed.lost, 0, "the watcher was too slow");
        crossed
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}
