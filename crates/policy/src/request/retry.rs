//! Is a request tried again, and when? (Envoy's retry conditions, which Istio takes over; Gateway API HTTPRouteRetry)
//!
//! [`Retries`] is the state of one request. It is told how each try ended and says what comes next; the caller holds the
//! clock, the body and the connections. Nothing is tried again once a byte of a response has gone to the client, or when
//! the request's body is no longer whole: the caller says so by [`Ended::replayable`].

mod budget;
mod conditions;
mod timeouts;

use std::time::Duration;

use ambit_model::l7::route::{Retry, RetryCondition};
use http::Method;
use rand::{Rng, RngExt};

pub use budget::{Budget, Window};
pub use conditions::{End, Ended};
pub use timeouts::{Due, Timers};

/// Pause before the first retry where a policy names none.
const BASE: Duration = Duration::from_millis(25);

/// The longest pause, in bases.
const LONGEST: u32 = 10;

/// What comes after a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// What the try brought goes to the client.
    Give(Why),
    /// Another try, after this pause.
    Again(Duration),
}

/// Why there is no other try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is no failure, or none that the policy retries.
    NotRetriable,
    /// It would be, but the request cannot be sent again: its body is gone, or a response has begun.
    NotReplayable,
    /// It would be, but there were as many tries as the policy allows (response flag `URX`).
    Exhausted,
    /// It would be, but too many retries are under way (503 where there is no response).
    OverBudget,
    /// It would be, but the request's time ends before.
    OutOfTime,
}

/// A policy's part of the decision: what is retried, how often and how fast. Shared by requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    retry: Retry,
    /// The rule says so; otherwise it is what the mesh does by default.
    explicit: bool,
}

impl RetryPolicy {
    /// What a rule says.
    pub fn of_rule(retry: &Retry) -> Self {
        Self { retry: retry.clone(), explicit: true }
    }

    /// What the mesh's settings say where the rule says nothing; without settings, Istio's default: two retries
    /// where no connection could be made, the endpoint did not process the request, it answered 503, or gRPC's
    /// `UNAVAILABLE` or `CANCELLED`.
    pub fn of_mesh(retry: Option<&Retry>) -> Self {
        let default = || Retry {
            attempts: 2,
            on: vec![
                RetryCondition::ConnectFailure,
                RetryCondition::RefusedStream,
                RetryCondition::Unavailable,
                RetryCondition::Cancelled,
                RetryCondition::StatusCodes,
            ],
            codes: Vec::new(),
            backoff: None,
            avoid_previous: true,
        };
        Self { retry: retry.cloned().unwrap_or_else(default), explicit: false }
    }

    /// Whether tries go to endpoints that have not failed this request, where there are any.
    pub fn avoids_previous(&self) -> bool {
        self.retry.avoid_previous
    }

    /// Whether anything is ever tried again by the policy: bodies need not be kept otherwise.
    pub fn is_off(&self) -> bool {
        self.retry.attempts == 0
    }
}

/// The retries of one request.
#[derive(Debug, Clone, Copy)]
pub struct Retries {
    done: u32,
    raced: bool,
    /// Sending it twice does no harm by HTTP's own rules, or it is gRPC, whose statuses say what was done.
    harmless: bool,
}

impl Retries {
    /// Before the first try.
    pub fn new(method: &Method, grpc: bool) -> Self {
        Self { done: 0, raced: false, harmless: method.is_idempotent() || grpc }
    }

    /// How many retries there were by the policy.
    pub fn done(&self) -> u32 {
        self.done
    }

    /// What comes after a try that ended so. `left` is what is left of the request's time; `within_budget` whether a
    /// retry more may be under way.
    ///
    /// A connection that had served before and ended without taking the request (RFC 9112 section 9.6) is the pool's
    /// mishap, not the endpoint's: one more try follows at once, whatever the policy.
    pub fn after(
        &mut self,
        policy: &RetryPolicy,
        ended: &Ended,
        left: Option<Duration>,
        within_budget: bool,
        rng: &mut impl Rng,
    ) -> Next {
        if matches!(ended.end, End::Reset { sent: false, reused: true, .. })
            && ended.replayable
            && !self.raced
        {
            self.raced = true;
            return Next::Again(Duration::ZERO);
        }
        // A policy that nobody wrote does not send an order twice.
        let cautious = !policy.explicit && !self.harmless;
        if policy.is_off() || !ended.is_retriable(&policy.retry, cautious) {
            return Next::Give(Why::NotRetriable);
        }
        if !ended.replayable {
            return Next::Give(Why::NotReplayable);
        }
        if self.done >= policy.retry.attempts {
            return Next::Give(Why::Exhausted);
        }
        if !within_budget {
            return Next::Give(Why::OverBudget);
        }
        let pause = self.pause(policy, rng);
        if left.is_some_and(|left| pause >= left) {
            return Next::Give(Why::OutOfTime);
        }
        self.done += 1;
        Next::Again(pause)
    }

    /// Twice as long each time, up to ten bases. A pause that somebody wrote is a least pause (Gateway API
    /// HTTPRouteRetry.backoff): half of it is added at random; otherwise all of it is at random.
    fn pause(&self, policy: &RetryPolicy, rng: &mut impl Rng) -> Duration {
        let base = policy.retry.backoff.unwrap_or(BASE);
        let longest = base.saturating_mul(LONGEST);
        let pause = base.saturating_mul(2u32.saturating_pow(self.done)).min(longest);
        match policy.retry.backoff {
            Some(_) => pause + pause.mul_f64(rng.random_range(0.0..0.5)),
            None => pause.mul_f64(rng.random_range(0.0..1.0)),
        }
    }
}

#[cfg(test)]
mod tests;
