//! The task of one identity: fetch, wait, fetch again.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rand::RngExt as _;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::entry::{Entry, Progress};
use super::schedule::{refresh_at, retry_after};
use super::{FetchError, Shared};
use crate::csr::certificate_request;
use crate::{Certificate, Clock, KeyPair};

/// Longest sleep before the wall clock is read again: it may jump, and a suspended machine's timers stand still.
const LONGEST_NAP: Duration = Duration::from_secs(30);

/// Why one attempt failed.
struct Failure {
    reason: String,
    retryable: bool,
}

impl Failure {
    /// Another attempt may succeed.
    fn passing(reason: impl ToString) -> Self {
        Self { reason: reason.to_string(), retryable: true }
    }
}

/// Runs until it is aborted, when the last hold is dropped.
pub(super) async fn keep_fresh(shared: Arc<Shared>, entry: Arc<Entry>, progress: watch::Sender<Progress>) {
    let clock = &shared.settings.clock;
    let mut failures = 0;
    loop {
        progress.send_modify(|progress| progress.next_attempt = None);
        // Boxed: a request is large and short, the wait for the next one small and long.
        match Box::pin(attempt(&shared, &entry)).await {
            Ok(certificate) => {
                failures = 0;
                let due = refresh_at(clock.now(), certificate.not_after(), rand::rng().random());
                tracing::debug!(identity = %entry.identity(), serial = certificate.serial(), "certificate issued");
                entry.store(Arc::new(certificate));
                progress.send_replace(Progress { error: None, next_attempt: Some(due) });
                wait_until_due(clock, due, &entry).await;
            }
            Err(failure) => {
                failures += 1;
                let delay = retry_after(failures, failure.retryable, rand::rng().random());
                report(&entry, &failure, delay, clock.now());
                let error = FetchError::Unavailable {
                    identity: entry.identity().clone(),
                    reason: failure.reason.into(),
                };
                progress
                    .send_replace(Progress { error: Some(error), next_attempt: Some(clock.now() + delay) });
                sleep(delay).await;
            }
        }
    }
}

/// Asks the issuer once, with a new key, and checks the answer.
async fn attempt(shared: &Shared, entry: &Entry) -> Result<Certificate, Failure> {
    let settings = &shared.settings;
    let _permit = shared.in_flight.acquire().await.map_err(Failure::passing)?;
    let key = KeyPair::generate(settings.provider).map_err(Failure::passing)?;
    let request = certificate_request(&key, entry.identity()).map_err(Failure::passing)?;
    let answer = shared.source.issue(entry.identity(), request, settings.lifetime);
    let cert_chain = match timeout(settings.attempt_timeout, answer).await {
        Ok(Ok(cert_chain)) => cert_chain,
        Ok(Err(error)) => return Err(Failure { reason: error.message, retryable: error.retryable }),
        Err(_) => {
            return Err(Failure::passing(format!(
                "the CA did not answer within {:?}",
                settings.attempt_timeout
            )));
        }
    };
    Certificate::from_pem(&cert_chain, &key, entry.identity(), settings.clock.now()).map_err(Failure::passing)
}

/// Until `due` by the wall clock, or until somebody needs a certificate and there is none.
async fn wait_until_due(clock: &Clock, due: SystemTime, entry: &Entry) {
    while let Ok(left) = due.duration_since(clock.now()) {
        if left.is_zero() {
            return;
        }
        tokio::select! {
            () = sleep(left.min(LONGEST_NAP)) => {}
            () = entry.needed.notified() => if entry.current().is_none() { return },
        }
    }
}

/// One line for each failure; a warning becomes an error when the identity is left without a certificate.
fn report(entry: &Entry, failure: &Failure, delay: Duration, now: SystemTime) {
    let (identity, reason, again) = (entry.identity(), &failure.reason, delay.as_secs_f32());
    match entry.current() {
        Some(old) => {
            let left = old.not_after().duration_since(now).unwrap_or_default().as_secs();
            tracing::warn!(%identity, %reason, retry_s = again, old_valid_s = left, "certificate not refreshed");
        }
        None => tracing::error!(%identity, %reason, retry_s = again, "no certificate"),
    }
}
