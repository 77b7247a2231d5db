//! The frames of a client's HTTP/2 connection, counted: a client that sends frames of which nothing comes is cut off.
//! Pure. (CVE-2019-9511 to 9518, CVE-2023-44487, CVE-2024-30255)

use std::time::Duration;

use super::Fault;

/// Frames in a row that ask for nothing: no request, no part of a body, and nothing was sent to the client meanwhile
/// that it had to answer.
const IDLE_FRAMES: u32 = 10_000;
/// Frames of one head.
const CONTINUATIONS: u32 = 64;
/// Resets of streams by the client within a second, when they are half of those it opened. More than it may have at a time.
const RESETS: u32 = 1_000;
const WINDOW: Duration = Duration::from_secs(1);

const PREFACE: u32 = 24;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;
/// Bytes of our answers to a PING and to SETTINGS.
const PONG: u64 = 17;
const SETTINGS_ACK: u64 = 9;

/// Counts of one connection.
#[derive(Debug)]
pub struct Floods {
    /// Bytes of the preface or of a frame's payload that are still to come.
    skip: u32,
    head: [u8; 9],
    have: usize,
    idle: u32,
    continuations: u32,
    /// Bytes that this end owes in answers that are no progress.
    owed: u64,
    opened: u32,
    resets: u32,
    since: Duration,
}

impl Default for Floods {
    fn default() -> Self {
        Self {
            skip: PREFACE,
            head: [0; 9],
            have: 0,
            idle: 0,
            continuations: 0,
            owed: 0,
            opened: 0,
            resets: 0,
            since: Duration::ZERO,
        }
    }
}

impl Floods {
    /// Counts what is read; `now` is the time since the connection began.
    ///
    /// # Errors
    /// It is a flood.
    pub fn read(&mut self, mut bytes: &[u8], now: Duration) -> Result<(), Fault> {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = bytes.len().min(self.skip as usize);
                self.skip -= skipped as u32;
                bytes = &bytes[skipped..];
                continue;
            }
            let taken = bytes.len().min(self.head.len() - self.have);
            self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == self.head.len() {
                self.have = 0;
                self.frame(now)?;
            }
        }
        Ok(())
    }

    /// Counts what is written: more than answers is progress.
    pub fn wrote(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        if bytes > self.owed {
            self.idle = 0;
        }
        self.owed = self.owed.saturating_sub(bytes);
    }

    fn frame(&mut self, now: Duration) -> Result<(), Fault> {
        let [high, middle, low, kind, flags, ..] = self.head;
        self.skip = u32::from_be_bytes([0, high, middle, low]);
        let continued = std::mem::take(&mut self.continuations);
        match kind {
            HEADERS => {
                self.idle = 0;
                self.tick(now);
                self.opened += 1;
            }
            DATA if self.skip > 0 => self.idle = 0,
            CONTINUATION => {
                self.continuations = continued + 1;
                if self.continuations > CONTINUATIONS {
                    return Err(Fault::Flood);
                }
            }
            _ => self.idle += 1,
        }
        match kind {
            PING if flags & ACK == 0 => self.owed += PONG,
            SETTINGS if flags & ACK == 0 => self.owed += SETTINGS_ACK,
            RST_STREAM => {
                self.tick(now);
                self.resets += 1;
                if self.resets > RESETS && self.resets.saturating_mul(2) > self.opened {
                    return Err(Fault::Resets);
                }
            }
            _ => {}
        }
        if self.idle > IDLE_FRAMES { Err(Fault::Flood) } else { Ok(()) }
    }

    fn tick(&mut self, now: Duration) {
        if now.saturating_sub(self.since) > WINDOW {
            (self.since, self.opened, self.resets) = (now, 0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const NOW: Duration = Duration::ZERO;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u32).to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    fn begun() -> Floods {
        let mut floods = Floods::default();
        floods.read(PREFACE, NOW).unwrap();
        floods
    }

    /// After how many of these frames it is a flood, up to 100,000; byte by byte it is the same.
    fn after(frames: &[Vec<u8>]) -> Option<u32> {
        let mut floods = begun();
        let count = (0..100_000).find(|_| frames.iter().any(|frame| floods.read(frame, NOW).is_err()));
        let mut floods = begun();
        let mut each = |frame: &Vec<u8>| frame.iter().any(|byte| floods.read(&[*byte], NOW).is_err());
        let bytes = (0..100_000).find(|_| frames.iter().any(&mut each));
        assert_eq!(count, bytes);
        count
    }

    #[test]
    fn floods_are_cut_off() {
        for kind in [PING, SETTINGS, 2, 8, 0x55] {
            assert_eq!(after(&[frame(kind, 0, &[0; 8])]), Some(IDLE_FRAMES), "{kind}");
        }
        assert_eq!(after(&[frame(DATA, 0, &[])]), Some(IDLE_FRAMES));
        assert_eq!(after(&[frame(CONTINUATION, 0, &[0; 8])]), Some(CONTINUATIONS));
        assert_eq!(after(&[frame(HEADERS, 5, &[0; 8]), frame(RST_STREAM, 0, &[0; 4])]), Some(RESETS));
    }

    #[test]
    fn traffic_is_not() {
        assert_eq!(after(&[frame(HEADERS, 5, &[0; 8])]), None);
        assert_eq!(after(&[frame(DATA, 0, b"x"), frame(PING, 0, &[0; 8]), frame(8, 0, &[0; 4])]), None);
        let request = || frame(HEADERS, 5, &[0; 8]);
        assert_eq!(after(&[request(), request(), frame(RST_STREAM, 0, &[0; 4])]), None);
    }

    #[test]
    fn a_client_that_is_sent_something_may_say_so() {
        let mut floods = begun();
        for _ in 0..100_000 {
            floods.read(&frame(8, 0, &[0; 4]), NOW).unwrap();
            floods.wrote(10);
        }
        let mut floods = begun();
        let ping = frame(PING, 0, &[0; 8]);
        let answered = |_: &u32| {
            floods.wrote(PONG as usize);
            floods.read(&ping, NOW).is_err()
        };
        assert_eq!(
            (0..100_000).find(answered),
            Some(IDLE_FRAMES),
            "a PING is not progress for being answered"
        );
    }

    #[test]
    fn resets_are_counted_by_the_second() {
        let mut floods = begun();
        for second in 0..100 {
            let now = Duration::from_secs(2 * second);
            for _ in 0..RESETS {
                floods.read(&frame(HEADERS, 5, &[]), now).unwrap();
                floods.read(&frame(RST_STREAM, 0, &[0; 4]), now).unwrap();
            }
        }
    }
}
