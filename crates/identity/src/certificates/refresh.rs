//! The task of one identity: fetch, wait, fetch again.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rand::RngExt as _;
use tokio::time::{sleep, timeout};

use super::entry::{Entry, Work};
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

/// How long to wait before the next attempt.
enum Rest {
    /// Until this moment of the wall clock, or until somebody needs a certificate and there is none.
    Until(SystemTime),
    /// This long, whoever waits.
    For(Duration),
}

/// Runs until it is aborted, when the last hold is dropped.
pub(super) async fn keep_fresh(shared: Arc<Shared>, work: Work) {
    let mut failures = 0;
    loop {
        // Boxed: a request is large and short, the wait for the next one small and long.
        let rest = Box::pin(renew(&shared, &work, &mut failures)).await;
        match rest {
            Rest::Until(due) => wait_until_due(&shared.settings.clock, due, &work).await,
            Rest::For(delay) => sleep(delay).await,
        }
    }
}

/// One attempt, and what becomes of it.
async fn renew(shared: &Shared, work: &Work, failures: &mut u32) -> Rest {
    let clock = &shared.settings.clock;
    work.attempting();
    match attempt(shared, work).await {
        Ok(certificate) => {
            *failures = 0;
            let due = refresh_at(clock.now(), certificate.not_after(), rand::rng().random());
            tracing::debug!(identity = %work.identity(), serial = certificate.serial(), "certificate issued");
            work.succeeded(Arc::new(certificate), due);
            Rest::Until(due)
        }
        Err(failure) => {
            *failures += 1;
            let delay = retry_after(*failures, failure.retryable, rand::rng().random());
            report(work, &failure, delay, clock.now());
            let error =
                FetchError::Unavailable { identity: work.identity().clone(), reason: failure.reason.into() };
            work.failed(error, clock.now() + delay);
            Rest::For(delay)
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
    let crypto = settings.provider.crypto();
    let now = settings.clock.now();
    Certificate::sharing(&shared.bundles, crypto, &cert_chain, &key, entry.identity(), now)
        .map_err(Failure::passing)
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

#[cfg(test)]
mod tests {
    use ambit_model::Identity;
    use futures_util::future::BoxFuture;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::CertificateSource;
    use crate::certificates::CertificatesSettings;
    use crate::source::IssueError;
    use crate::verify::TrustBundles;

    struct Silent;

    impl CertificateSource for Silent {
        fn issue(
            &self,
            _: &Identity,
            _: String,
            _: Duration,
        ) -> BoxFuture<'static, Result<Vec<String>, IssueError>> {
            Box::pin(std::future::pending())
        }
    }

    #[test]
    fn the_task_of_an_idle_identity_is_small() {
        let settings = CertificatesSettings::default();
        let identity = Identity::new("cluster.local", "shop", "web").unwrap();
        let (_, work) = Entry::new(identity, settings.clock.clone());
        let in_flight = Semaphore::new(1);
        let bundles = TrustBundles::default();
        let shared = Arc::new(Shared { source: Arc::new(Silent), settings, in_flight, bundles });
        let size = size_of_val(&keep_fresh(shared, work));
        assert!(size <= 320, "{size} bytes");
    }
}
