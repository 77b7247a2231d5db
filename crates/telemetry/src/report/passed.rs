//! The bytes of one connection, counted as they pass.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::traffic::Series;

/// Totals of one connection, and its counters once it is opened. Shared by whoever moves its bytes.
#[derive(Debug, Default)]
pub struct Passed {
    request: AtomicU64,
    response: AtomicU64,
    series: OnceLock<Arc<Series>>,
}

impl Passed {
    /// Bytes went from client to server, whichever end reports.
    pub fn request_bytes(&self, bytes: u64) {
        self.request.fetch_add(bytes, Ordering::Relaxed);
        if let Some(series) = self.series.get() {
            series.request_bytes(bytes);
        }
    }

    /// Bytes went from server to client, whichever end reports.
    pub fn response_bytes(&self, bytes: u64) {
        self.response.fetch_add(bytes, Ordering::Relaxed);
        if let Some(series) = self.series.get() {
            series.response_bytes(bytes);
        }
    }

    /// From now on the bytes count there too.
    pub(crate) fn count_in(&self, series: Arc<Series>) {
        // Opened once: a second time changes nothing.
        let _ = self.series.set(series);
    }

    /// From client to server, and back.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.request.load(Ordering::Relaxed), self.response.load(Ordering::Relaxed))
    }
}
