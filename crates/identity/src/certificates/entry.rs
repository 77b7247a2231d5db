//! One identity in the store: what readers see while its task works.

use std::sync::Arc;
use std::time::SystemTime;

use ambit_model::Identity;
use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, watch};

use super::{CertificateEntry, CertificateState, FetchError};
use crate::{Certificate, Clock};

/// How far the task is.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    /// Why the last attempt failed; nothing after a success.
    pub(super) error: Option<FetchError>,
    /// When the next attempt is due; nothing while one is being made.
    pub(super) next_attempt: Option<SystemTime>,
}

pub(super) struct Entry {
    identity: Identity,
    clock: Clock,
    certificate: ArcSwapOption<Certificate>,
    progress: watch::Receiver<Progress>,
    /// Somebody needs a certificate and there is none.
    pub(super) needed: Notify,
}

impl Entry {
    pub(super) fn new(identity: Identity, clock: Clock, progress: watch::Receiver<Progress>) -> Self {
        Self { identity, clock, certificate: ArcSwapOption::empty(), progress, needed: Notify::new() }
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(super) fn store(&self, certificate: Arc<Certificate>) {
        self.certificate.store(Some(certificate));
    }

    /// The certificate, unless it has ended.
    pub(super) fn current(&self) -> Option<Arc<Certificate>> {
        self.certificate.load_full().filter(|certificate| certificate.is_valid_at(self.clock.now()))
    }

    pub(super) async fn certificate(&self) -> Result<Arc<Certificate>, FetchError> {
        let mut progress = self.progress.clone();
        loop {
            // Read before looking, so that no change between the two is missed.
            let error = progress.borrow_and_update().error.clone();
            if let Some(certificate) = self.current() {
                return Ok(certificate);
            }
            if let Some(error) = error {
                return Err(error);
            }
            // The clock may have jumped past its end while the task sleeps.
            self.needed.notify_one();
            if progress.changed().await.is_err() {
                return Err(FetchError::Stopped { identity: self.identity.clone() });
            }
        }
    }

    pub(super) fn describe(&self, holds: usize) -> CertificateEntry {
        let progress = self.progress.borrow().clone();
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
