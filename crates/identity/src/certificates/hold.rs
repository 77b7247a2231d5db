//! A pod's claim on its identity's certificate.

use std::fmt;
use std::sync::Arc;

use ambit_model::Identity;

use super::entry::Entry;
use super::{FetchError, Inner};
use crate::Certificate;

/// Keeps one identity's certificate fetched and fresh; drop it when the pod is gone. Reading through it takes no lock.
pub struct Hold {
    inner: Arc<Inner>,
    entry: Arc<Entry>,
}

impl Hold {
    pub(super) fn new(inner: Arc<Inner>, entry: Arc<Entry>) -> Self {
        Self { inner, entry }
    }

    /// Whose certificate.
    pub fn identity(&self) -> &Identity {
        self.entry.identity()
    }

    /// The certificate in use, if there is one that has not ended. Never waits.
    pub fn current(&self) -> Option<Arc<Certificate>> {
        self.entry.current()
    }

    /// The certificate in use; while the first one is being asked for, waits for the answer. While there is none because
    /// of a failure, fails with its reason at once.
    pub async fn certificate(&self) -> Result<Arc<Certificate>, FetchError> {
        self.entry.certificate().await
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.inner.release(self.entry.identity());
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hold({})", self.entry.identity())
    }
}
