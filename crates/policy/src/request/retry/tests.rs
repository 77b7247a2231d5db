//! Retries by moving no clock: conditions, counts, pauses, budgets, time limits.

use std::time::{Duration, Instant};

use ambit_model::l7::Share;
use ambit_model::l7::destination_rule::{ConnectionPool, RetryBudget};
use ambit_model::l7::route::RetryCondition::{self, *};
use ambit_model::l7::route::{Retry, Timeouts};
use http::{Method, StatusCode};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::{Budget, Due, End, Ended, Next, Retries, RetryPolicy, Timers, Why, Window};
use crate::request::sample::headers;

const CONNECT: End = End::ConnectFailed;
const UNSENT: End = End::Reset { sent: false, reused: false };
const SENT: End = End::Reset { sent: true, reused: false };

fn status(code: u16) -> End {
    End::Response { status: StatusCode::from_u16(code).unwrap(), grpc: None }
}

fn grpc(code: u16) -> End {
    End::Response { status: StatusCode::OK, grpc: Some(code) }
}

fn retry(on: &[RetryCondition], codes: &[u16]) -> Retry {
    Retry { attempts: 2, on: on.to_vec(), codes: codes.to_vec(), backoff: None, avoid_previous: false }
}

fn ended(end: End) -> Ended {
    Ended { end, replayable: true }
}

fn rng() -> StdRng {
    StdRng::seed_from_u64(3)
}

fn first(policy: &RetryPolicy, method: Method, grpc: bool, end: End) -> Next {
    Retries::new(&method, grpc).after(policy, &ended(end), None, true, &mut rng())
}

/// Whether a GET is tried again.
fn again(policy: &RetryPolicy, end: End) -> bool {
    matches!(first(policy, Method::GET, false, end), Next::Again(_))
}

#[test]
fn each_condition_and_what_it_covers() {
    let ends = [
        CONNECT,
        UNSENT,
        SENT,
        End::Refused,
        End::TimedOut,
        End::Terminal,
        status(500),
        status(503),
        status(409),
        status(404),
        grpc(1),
        grpc(4),
        grpc(8),
        grpc(13),
        grpc(14),
        grpc(2),
        status(200),
    ];
    let table: &[(RetryCondition, &[End])] = &[
        (ServerError, &[CONNECT, UNSENT, SENT, End::Refused, End::TimedOut, status(500), status(503)]),
        (GatewayError, &[CONNECT, UNSENT, SENT, End::Refused, End::TimedOut, status(503)]),
        (Reset, &[CONNECT, UNSENT, SENT, End::Refused, End::TimedOut]),
        (ResetBeforeRequest, &[CONNECT, UNSENT, End::Refused]),
        (ConnectFailure, &[CONNECT, End::Refused]),
        (RefusedStream, &[End::Refused]),
        (Retriable4xx, &[End::Refused, status(409)]),
        (StatusCodes, &[End::Refused, status(503)]),
        (Cancelled, &[End::Refused, grpc(1)]),
        (DeadlineExceeded, &[End::Refused, grpc(4)]),
        (ResourceExhausted, &[End::Refused, grpc(8)]),
        (Internal, &[End::Refused, grpc(13)]),
        (Unavailable, &[End::Refused, grpc(14)]),
    ];
    for (condition, covered) in table {
        let policy = RetryPolicy::of_rule(&retry(&[*condition], &[]));
        for end in ends {
            assert_eq!(again(&policy, end), covered.contains(&end), "{condition:?} {end:?}");
        }
    }
}

#[test]
fn codes_count_beside_conditions_and_instead_of_503() {
    let policy = RetryPolicy::of_rule(&retry(&[StatusCodes], &[429, 500]));
    assert!(again(&policy, status(429)) && again(&policy, status(500)) && !again(&policy, status(503)));
    let only = RetryPolicy::of_rule(&retry(&[], &[418]));
    assert!(again(&only, status(418)) && !again(&only, status(503)) && !again(&only, CONNECT));
}

#[test]
fn attempts_are_retries_beside_the_first_try() {
    let policy = RetryPolicy::of_rule(&retry(&[ServerError], &[]));
    let mut retries = Retries::new(&Method::GET, false);
    let mut tries = vec![];
    for _ in 0..3 {
        tries.push(retries.after(&policy, &ended(status(500)), None, true, &mut rng()));
    }
    assert!(matches!(tries[..], [Next::Again(_), Next::Again(_), Next::Give(Why::Exhausted)]), "{tries:?}");
    assert_eq!(retries.done(), 2);
    let off = RetryPolicy::of_rule(&Retry { attempts: 0, ..retry(&[ServerError], &[]) });
    assert!(off.is_off() && !again(&off, status(500)) && !again(&off, End::Refused));
}

#[test]
fn what_cannot_be_sent_again_is_not() {
    let policy = RetryPolicy::of_rule(&retry(&[ServerError], &[]));
    for end in [CONNECT, SENT, status(503), End::Refused, End::Reset { sent: false, reused: true }] {
        let ended = Ended { end, replayable: false };
        let next = Retries::new(&Method::GET, false).after(&policy, &ended, None, true, &mut rng());
        assert_eq!(next, Next::Give(Why::NotReplayable), "{end:?}");
    }
}

#[test]
fn budgets_and_time_limits_end_retries() {
    let policy = RetryPolicy::of_rule(&Retry {
        backoff: Some(Duration::from_millis(100)),
        ..retry(&[ServerError], &[])
    });
    let after = |left, within| {
        Retries::new(&Method::GET, false).after(&policy, &ended(status(500)), left, within, &mut rng())
    };
    assert_eq!(after(None, false), Next::Give(Why::OverBudget));
    assert_eq!(after(Some(Duration::from_millis(100)), true), Next::Give(Why::OutOfTime));
    assert!(matches!(after(Some(Duration::from_millis(151)), true), Next::Again(_)));
}

/// The race of HTTP/1 keep-alive: one try more without any policy, once.
#[test]
fn a_connection_that_ended_while_idle_is_the_pools_mishap() {
    let off = RetryPolicy::of_rule(&Retry { attempts: 0, ..retry(&[], &[]) });
    let mut retries = Retries::new(&Method::POST, false);
    let raced = ended(End::Reset { sent: false, reused: true });
    assert_eq!(retries.after(&off, &raced, None, false, &mut rng()), Next::Again(Duration::ZERO));
    assert_eq!(retries.after(&off, &raced, None, false, &mut rng()), Next::Give(Why::NotRetriable));
    assert_eq!(retries.done(), 0);
    assert!(!matches!(
        first(&off, Method::GET, false, End::Reset { sent: true, reused: true }),
        Next::Again(_)
    ));
}

/// What nobody asked for does not send an order twice; what the rule asks for does.
#[test]
fn the_default_is_careful_with_methods_that_change_things() {
    let default = RetryPolicy::of_mesh(None);
    assert!(default.avoids_previous());
    let next =
        |policy: &RetryPolicy, method, grpc, end| matches!(first(policy, method, grpc, end), Next::Again(_));
    assert!(next(&default, Method::GET, false, status(503)));
    assert!(next(&default, Method::PUT, false, status(503)));
    assert!(!next(&default, Method::GET, false, status(500)));
    assert!(!next(&default, Method::POST, false, status(503)));
    assert!(next(&default, Method::POST, false, CONNECT));
    assert!(next(&default, Method::POST, false, End::Refused));
    assert!(next(&default, Method::POST, true, grpc(14)));
    assert!(!next(&default, Method::POST, true, grpc(13)));
    let of_mesh = RetryPolicy::of_mesh(Some(&retry(&[ServerError], &[])));
    assert!(!next(&of_mesh, Method::POST, false, status(500)) && !next(&of_mesh, Method::POST, false, SENT));
    assert!(next(&of_mesh, Method::GET, false, SENT));
    let of_rule = RetryPolicy::of_rule(&retry(&[ServerError], &[]));
    assert!(next(&of_rule, Method::POST, false, status(500)));
}

proptest! {
    /// A pause that somebody wrote is a least pause; each doubles, and none is above ten bases (and its jitter).
    #[test]
    fn pauses_grow_to_a_limit(base in 1u64..5_000, written in any::<bool>(), seed in any::<u64>()) {
        let base = Duration::from_millis(base);
        let backoff = written.then_some(base);
        let policy = RetryPolicy::of_rule(&Retry { attempts: 50, backoff, ..retry(&[ServerError], &[]) });
        let base = if written { base } else { Duration::from_millis(25) };
        let mut retries = Retries::new(&Method::GET, false);
        let mut rng = StdRng::seed_from_u64(seed);
        for step in 0..50 {
            let Next::Again(pause) = retries.after(&policy, &ended(status(500)), None, true, &mut rng) else {
                return Err(TestCaseError::fail("tried again"));
            };
            let full = (base * 2u32.pow(step.min(10))).min(base * 10);
            let (least, most) = if written { (full, full.mul_f64(1.5)) } else { (Duration::ZERO, full) };
            prop_assert!(least <= pause && pause <= most, "{pause:?} after {step}");
        }
    }
}

#[test]
fn budgets() {
    let share = |minimum| {
        Budget::new(
            Some(RetryBudget { share: Share { numerator: 20, denominator: 100 }, minimum, interval: None }),
            Some(&ConnectionPool { max_retries: Some(1), ..ConnectionPool::default() }),
        )
    };
    assert!(share(3).allows(0, 2) && !share(3).allows(0, 3));
    assert!(share(3).allows(100, 19) && !share(3).allows(100, 20));
    assert!(!share(0).allows(4, 0) && share(0).allows(5, 0));
    let count =
        Budget::new(None, Some(&ConnectionPool { max_retries: Some(1), ..ConnectionPool::default() }));
    assert!(count.allows(0, 0) && !count.allows(100, 1));
    assert!(Budget::new(None, None).allows(0, u64::MAX));
}

#[test]
fn a_window_forgets_what_is_older_than_its_interval() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    let mut window = Window::new(Duration::from_secs(10));
    for millis in [0, 100, 999] {
        window.count(false, at(millis));
    }
    window.count(true, at(5_000));
    assert_eq!(window.counts(at(5_000)), (4, 1));
    assert_eq!(window.counts(at(9_999)), (4, 1));
    assert_eq!(window.counts(at(10_000)), (1, 1));
    assert_eq!(window.counts(at(15_000)), (0, 0));
    window.count(false, at(20_000));
    assert_eq!(window.counts(at(0)), (1, 0), "a clock that seems to go back does no harm");
}

#[test]
fn what_is_due_first() {
    let second = Duration::from_secs(1);
    let timers = |request: Option<u32>, each: Option<u32>, grpc, timeout: &str| {
        let timeouts =
            Timeouts { request: request.map(|s| second * s), backend_request: each.map(|s| second * s) };
        Timers::new(&timeouts, grpc, &headers(&[("grpc-timeout", timeout)]))
    };
    assert_eq!(timers(None, None, false, "1S").due(second), Due::Never);
    assert_eq!(timers(Some(0), Some(0), false, "1S").due(second), Due::Never);
    assert_eq!(timers(Some(3), Some(1), false, "").due(Duration::ZERO), Due::Try(second));
    assert_eq!(
        timers(Some(3), Some(1), false, "").due(second * 2),
        Due::Request(second),
        "the terminal one counts"
    );
    assert_eq!(timers(Some(3), Some(5), false, "").due(second), Due::Request(second * 2));
    assert_eq!(timers(Some(3), None, false, "").due(second * 4), Due::Request(Duration::ZERO));
    assert_eq!(timers(None, Some(1), false, "").due(second * 4), Due::Try(second));
    // The client's limit: capped by the rule's where there is one.
    assert_eq!(timers(Some(3), None, true, "1S").due(Duration::ZERO), Due::Request(second));
    assert_eq!(timers(Some(3), None, true, "9S").due(Duration::ZERO), Due::Request(second * 3));
    assert_eq!(timers(None, None, true, "9S").due(Duration::ZERO), Due::Request(second * 9));
    assert_eq!(timers(Some(0), None, true, "9S").due(Duration::ZERO), Due::Request(second * 9));
    assert_eq!(timers(None, None, true, "nonsense").due(Duration::ZERO), Due::Never);
}
