//! What a request that is under way holds of its destination, until its response has ended.

use std::sync::Arc;
use std::time::Instant;

use ambit_model::Text;
use ambit_policy::request::balance::Active;
use ambit_policy::request::limit::Permit;
use ambit_policy::request::outlier::Outcome;

use super::call::now;
use super::{Current, Destination, Place};

/// One try of a request, as its destination counts it. Dropped, it is over.
#[derive(Debug)]
pub struct Held {
    destination: Arc<Destination>,
    total: usize,
    key: Text,
    active: Active,
    began: Instant,
    told: bool,
    _request: Option<Permit>,
    _retry: Option<Permit>,
}

impl Held {
    /// A try at `place` begins, with the room that it was given.
    pub(super) fn begin(
        destination: &Arc<Destination>,
        current: &Current,
        place: &Place,
        request: Option<Permit>,
        retry: bool,
        now: Instant,
    ) -> Self {
        destination.count(current, retry, now);
        destination.health.begin(&place.key, now);
        Self {
            destination: destination.clone(),
            total: current.total(),
            key: place.key.clone(),
            active: place.load.begin(),
            began: now,
            told: false,
            _request: request,
            // What allowed it is the budget.
            _retry: retry.then(|| destination.retries.take()).flatten(),
        }
    }

    /// The head of a response has come; it may not say yet how a gRPC call went.
    pub fn answered(&mut self, outcome: Option<Outcome>) {
        let now = now();
        let failed = matches!(outcome, Some(Outcome::Status(500..) | Outcome::Local));
        self.active.load().observe(now.saturating_duration_since(self.began), failed, now);
        if let Some(outcome) = outcome {
            self.tell(outcome);
        }
    }

    /// Nothing has come, or not all of it.
    pub fn failed(&mut self) {
        let now = now();
        if !self.told {
            self.active.load().observe(now.saturating_duration_since(self.began), true, now);
        }
        self.told = false;
        self.tell(Outcome::Local);
    }

    /// How it went, once.
    pub fn tell(&mut self, outcome: Outcome) {
        if !std::mem::replace(&mut self.told, true) {
            self.destination.health.report(&self.key, outcome, self.total, now());
        }
    }
}
