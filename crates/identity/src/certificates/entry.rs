//! One identity in the store: what readers see while its task works.

use std::ops::Deref;
use std::pin::pin;
use std::sync::Arc;
use std::time::SystemTime;

use ambit_model::Identity;
use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{CertificateEntry, CertificateState, FetchError};
use crate::{Certificate, Clock};

/// How far the task is.
#[derive(Debug, Clone, Default)]
struct Progress {
    /// Why the last attempt failed; nothing after a success.
    error: Option<FetchError>,
    /// When the next attempt is due; nothing while one is being made.
    next_attempt: Option<SystemTime>,
    /// No attempt follows.
    stopped: bool,
}

pub(super) struct Entry {
    identity: Identity,
    clock: Clock,
    certificate: ArcSwapOption<Certificate>,
    progress: Mutex<Progress>,
    /// Somebody who waits for an answer should look again.
    changed: Notify,
    /// Somebody needs a certificate and there is none.
    pub(super) needed: Notify,
}

/// The task's side of an entry. Dropping it, which is what aborting the task does, tells whoever waits.
pub(super) struct Work(Arc<Entry>);

impl Entry {
    /// An entry, to be worked on by one task.
    pub(super) fn new(identity: Identity, clock: Clock) -> (Arc<Self>, Work) {
        let entry = Arc::new(Self {
            identity,
            clock,
            certificate: ArcSwapOption::empty(),
            progress: Mutex::default(),
            changed: Notify::new(),
            needed: Notify::new(),
        });
        (entry.clone(), Work(entry))
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The certificate, unless it has ended.
    pub(super) fn current(&self) -> Option<Arc<Certificate>> {
        self.certificate.load_full().filter(|certificate| certificate.is_valid_at(self.clock.now()))
    }

    pub(super) async fn certificate(&self) -> Result<Arc<Certificate>, FetchError> {
        loop {
            // Listening before looking, so that no change between the two is missed.
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let Progress { error, stopped, .. } = self.progress.lock().clone();
            if let Some(certificate) = self.current() {
                return Ok(certificate);
            }
            if let Some(error) = error {
                return Err(error);
            }
            if stopped {
                return Err(FetchError::Stopped { identity: self.identity.clone() });
            }
            // The clock may have jumped past its end while the task sleeps.
            self.needed.notify_one();
            changed.await;
        }
    }

    pub(super) fn describe(&self, holds: usize) -> CertificateEntry {
        let progress = self.progress.lock().clone();
        let certificate = self.current();
        let state = match (&certificate, progress.error) {
            (Some(_), refresh_error) => CertificateState::Available { refresh_error },
            (None, Some(error)) => CertificateState::Unavailable(error),
            (None, None) => CertificateState::Initializing,
        };
        CertificateEntry {
            identity: self.identity.clone(),
            state,
            certificate,
            holds,
            next_attempt: progress.next_attempt,
        }
    }
}

impl Work {
    /// An attempt is being made.
    pub(super) fn attempting(&self) {
        self.proceed(|progress| progress.next_attempt = None);
    }

    /// There is a new certificate, to be replaced when `due`.
    pub(super) fn succeeded(&self, certificate: Arc<Certificate>, due: SystemTime) {
        self.certificate.store(Some(certificate));
        self.proceed(|progress| {
            *progress = Progress { next_attempt: Some(due), ..Progress::default() };
        });
    }

    /// There is none, for this reason, and there will be another attempt.
    pub(super) fn failed(&self, error: FetchError, next_attempt: SystemTime) {
        self.proceed(|progress| {
            *progress = Progress { error: Some(error), next_attempt: Some(next_attempt), stopped: false };
        });
    }

    fn proceed(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress.lock());
        self.changed.notify_waiters();
    }
}

impl Deref for Work {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        &self.0
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.proceed(|progress| progress.stopped = true);
    }
}
