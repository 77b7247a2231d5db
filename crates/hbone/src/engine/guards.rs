//! What a peer may make us do for nothing: counted, bounded, and answered with ENHANCE_YOUR_CALM beyond.

use std::time::{Duration, Instant};

/// Over this long, costs are counted.
const WINDOW: Duration = Duration::from_secs(1);
/// Streams in a window that we had to reset for the peer's fault (R2).
const FAULTS: u32 = 1_000;
/// Frames in a window that only control: SETTINGS, PING, RST_STREAM, WINDOW_UPDATE, PRIORITY and unknown ones (R6). A peer
/// in good order sends a few for each thousand of DATA; while answers are not read, nothing more is read of it either.
const CONTROLS: u32 = 50_000;
/// DATA frames without a byte or an end, not made good by others with bytes (R5).
const EMPTIES: u32 = 10_000;
/// Requests that were taken back before anybody looked at them, at a time (R1).
const UNTAKEN: u32 = 100;
/// Interim answers to one request.
pub(super) const INTERIMS: u8 = 16;
/// CONTINUATION frames behind one HEADERS (R3).
pub(super) const CONTINUATIONS: u8 = 32;
/// Bytes of answers (PONG, SETTINGS ACK, RST_STREAM) that have not left, above which nothing more is read.
pub(super) const ANSWERS: usize = 16 * 1024;

/// The peer is to calm down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flood(pub(super) &'static str);

#[derive(Debug)]
pub(super) struct Guards {
    began: Option<Instant>,
    faults: u32,
    controls: u32,
    empties: u32,
    untaken: u32,
}

impl Guards {
    pub(super) fn new() -> Self {
        Self { began: None, faults: 0, controls: 0, empties: 0, untaken: 0 }
    }

    /// Time goes on: once in each turn.
    pub(super) fn at(&mut self, now: Instant) {
        if self.began.is_none_or(|began| now.saturating_duration_since(began) >= WINDOW) {
            (self.began, self.faults, self.controls) = (Some(now), 0, 0);
        }
    }

    pub(super) fn fault(&mut self) -> Result<(), Flood> {
        count(&mut self.faults, FAULTS, "too many streams in error")
    }

    pub(super) fn control(&mut self) -> Result<(), Flood> {
        count(&mut self.controls, CONTROLS, "too many control frames")
    }

    pub(super) fn data(&mut self, empty: bool) -> Result<(), Flood> {
        if empty {
            return count(&mut self.empties, EMPTIES, "too many empty DATA frames");
        }
        self.empties = self.empties.saturating_sub(1);
        Ok(())
    }

    /// A request was taken back that nobody has looked at.
    pub(super) fn untaken(&mut self) -> Result<(), Flood> {
        count(&mut self.untaken, UNTAKEN, "too many requests taken back")
    }

    /// One of these has been looked at.
    pub(super) fn taken(&mut self) {
        self.untaken = self.untaken.saturating_sub(1);
    }
}

fn count(counter: &mut u32, most: u32, what: &'static str) -> Result<(), Flood> {
    *counter += 1;
    if *counter > most { Err(Flood(what)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_forgiven_with_time() {
        let mut now = Instant::now();
        let mut guards = Guards::new();
        for _ in 0..10 {
            guards.at(now);
            for _ in 0..FAULTS {
                assert_eq!(guards.fault(), Ok(()));
            }
            now += WINDOW;
        }
        assert!(guards.fault().is_err());
    }

    #[test]
    fn bytes_make_empty_frames_good() {
        let mut guards = Guards::new();
        for _ in 0..100_000 {
            assert_eq!(guards.data(true), Ok(()));
            assert_eq!(guards.data(false), Ok(()));
        }
        let allowed = (0..).take_while(|_| guards.data(true).is_ok()).count();
        assert_eq!(allowed, EMPTIES as usize);
    }
}
