//! Receive windows that follow what the path carries: twice each stream's bandwidth-delay product, within the budget.
//!
//! A round goes from a PING to its answer. It begins when a stream has consumed half of its window, so an idle
//! connection has none, and needs no timer. What a stream's reader took in a round tells its bandwidth; the shortest
//! round trip of the connection is the delay, so that bytes which wait in somebody's queue make no window larger.

use std::time::{Duration, Instant};

use super::super::frame::{self, kind};
use super::super::window::Inflow;
use super::Machine;
use super::send::window_update;
use crate::headroom::{Headroom, Lease};

/// What a round's PING carries.
const PING: [u8; 8] = *b"how far?";
/// Between two rounds, doubled up to the longest while rounds change nothing.
const REST: Duration = Duration::from_millis(10);
const LONGEST_REST: Duration = Duration::from_millis(250);
/// Rounds in which a wide stream used little, before its window is halved.
const QUIET: u8 = 8;

/// What is known of the path, and the round under way.
#[derive(Debug)]
pub(super) struct Pace {
    /// Largest window of a stream. Not above the first one: windows stay as they are.
    widest: u32,
    lease: Lease,
    /// When our SETTINGS left, whose acknowledgement is the first round trip.
    begun: Option<Instant>,
    acknowledged: bool,
    shortest: Option<Duration>,
    /// A stream has consumed half of its window.
    due: bool,
    asked: Option<Instant>,
    answered: bool,
    rest: Duration,
    rested: Option<Instant>,
}

impl Pace {
    pub(super) fn new(widest: u32, headroom: Headroom) -> Self {
        Self {
            widest,
            lease: Lease::new(headroom),
            begun: None,
            acknowledged: false,
            shortest: None,
            due: false,
            asked: None,
            answered: false,
            rest: REST,
            rested: None,
        }
    }

    /// Our SETTINGS were acknowledged.
    pub(super) fn acknowledged(&mut self) {
        self.acknowledged = true;
    }

    /// A PING was answered.
    pub(super) fn answered(&mut self, payload: &[u8]) {
        self.answered |= self.asked.is_some() && payload == PING;
    }

    /// A stream wants to be measured.
    pub(super) fn due(&mut self) {
        self.due = true;
    }

    /// Bytes of the connection's window that are there for wide streams.
    pub(super) fn width(&self) -> u32 {
        u32::try_from(self.lease.used()).unwrap_or(u32::MAX)
    }

    /// A wide stream needs so much less.
    pub(super) fn narrow(&mut self, bytes: u32) {
        self.lease.narrow(bytes as usize);
    }

    /// So many bytes may still come beyond what the connection's window is to be: the rest is given back.
    pub(super) fn settle(&mut self, excess: usize) {
        self.lease.settle(excess);
    }

    fn sample(&mut self, trip: Duration) {
        // Never nothing: it is divided by.
        let trip = trip.max(Duration::from_micros(1));
        self.shortest = Some(self.shortest.map_or(trip, |shortest| shortest.min(trip)));
    }
}

/// One stream's part of the round under way.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Bytes that its reader took.
    pub(super) bytes: u64,
    quiet: u8,
}

impl Machine {
    /// Whether [`Self::measure`] has something to do.
    pub(crate) fn measures(&self) -> bool {
        let pace = &self.pace;
        !self.over
            && pace.widest > self.limits.stream_window
            && (pace.begun.is_none() || pace.acknowledged || pace.answered || pace.due)
    }

    /// To be called with the time when the output is about to leave.
    pub(crate) fn measure(&mut self, now: Instant) {
        let begun = *self.pace.begun.get_or_insert(now);
        if std::mem::take(&mut self.pace.acknowledged) {
            self.pace.sample(now.saturating_duration_since(begun));
        }
        if std::mem::take(&mut self.pace.answered)
            && let Some(asked) = self.pace.asked.take()
        {
            let trip = now.saturating_duration_since(asked);
            self.pace.sample(trip);
            let changed = self.end_round(trip);
            let rest = if changed { REST } else { (self.pace.rest * 2).min(LONGEST_REST) };
            self.pace.rest = rest;
            // What has changed shows after a round trip.
            self.pace.rested = now.checked_add(if changed { rest.max(trip) } else { rest });
        }
        let rests = self.pace.rested.is_some_and(|rested| now < rested);
        if self.pace.due && self.pace.asked.is_none() && !rests {
            self.pace.due = false;
            self.pace.asked = Some(now);
            self.streams.values_mut().for_each(|entry| entry.taken_in_round.bytes = 0);
            frame::append(&mut self.out, kind::PING, 0, 0, &PING);
        }
    }

    /// Gives every stream the window that the round calls for. Whether any has changed.
    fn end_round(&mut self, trip: Duration) -> bool {
        let Self { pace, streams, out, limits, .. } = self;
        let shortest = pace.shortest.unwrap_or(trip);
        let short = pace.lease.is_short();
        let mut changed = false;
        for (stream, entry) in streams.iter_mut().filter(|(_, entry)| !entry.remote_ended) {
            let Taken { bytes, quiet } = &mut entry.taken_in_round;
            let window = entry.inflow.target();
            let product = product(*bytes, trip, shortest);
            let next = match next(&entry.inflow, product, quiet) {
                _ if short => window.min(limits.stream_window),
                next => next.clamp(limits.stream_window.min(window), pace.widest.max(window)),
            };
            if next > window && !pace.lease.widen((next - window) as usize) || next == window {
                continue;
            }
            pace.narrow(window.saturating_sub(next));
            entry.inflow.retarget(next);
            if let Some(increment) = entry.inflow.announce() {
                window_update(out, *stream, increment);
            }
            changed = true;
        }
        if changed {
            self.retarget();
        }
        changed
    }
}

/// The bytes that are under way at the bandwidth of a round, when nothing waits.
fn product(bytes: u64, trip: Duration, shortest: Duration) -> u64 {
    let scaled = u128::from(bytes) * shortest.as_nanos() / trip.as_nanos().max(1);
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

/// A stream's next window: twice the product, at most twice what it is. A slow reader's takes in much less than its
/// window, or leaves it unread: it stays.
fn next(inflow: &Inflow, product: u64, quiet: &mut u8) -> u32 {
    let window = inflow.target();
    let wanted = u32::try_from(product.saturating_mul(2)).unwrap_or(u32::MAX);
    let grows = wanted > window.saturating_add(window / 4) && inflow.unread() <= i64::from(window / 4);
    *quiet = if wanted < window / 4 { quiet.saturating_add(1) } else { 0 };
    match *quiet {
        0 if grows => wanted.min(window.saturating_mul(2)),
        QUIET.. => {
            *quiet = 0;
            window / 2
        }
        _ => window,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u32 = 1024;
    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_window_that_limits_its_stream_doubles() {
        let inflow = Inflow::new(256 * KIB);
        let moved = u64::from(256 * KIB);
        assert_eq!(next(&inflow, product(moved, 50 * MS, 50 * MS), &mut 0), 512 * KIB);
    }

    #[test]
    fn bytes_that_wait_on_the_way_make_no_window_larger() {
        // The path takes 1 ms; 49 more went by in a queue in front of it.
        let inflow = Inflow::new(256 * KIB);
        let moved = u64::from(256 * KIB);
        assert_eq!(next(&inflow, product(moved, 50 * MS, MS), &mut 0), 256 * KIB);
    }

    #[test]
    fn unread_bytes_hold_a_window_back() {
        let mut inflow = Inflow::new(256 * KIB);
        inflow.take(100 * KIB).unwrap();
        assert_eq!(next(&inflow, u64::from(1024 * KIB), &mut 0), 256 * KIB);
        inflow.consume(100 * 1024);
        assert_eq!(next(&inflow, u64::from(1024 * KIB), &mut 0), 512 * KIB);
    }

    #[test]
    fn a_window_that_is_not_used_is_halved_in_the_end() {
        let (inflow, mut quiet) = (Inflow::new(4096 * KIB), 0);
        let mut windows = (0..QUIET).map(|_| next(&inflow, 1000, &mut quiet));
        assert!(windows.by_ref().take(usize::from(QUIET) - 1).all(|window| window == 4096 * KIB));
        assert_eq!(windows.next(), Some(2048 * KIB));
    }
}
