//! What this end says: requests, answers, heads of DATA, ends, resets, windows, farewells.

use super::super::frame::{self, Code, Head, LARGEST, flag, kind};
use super::super::hpack;
use super::super::window::Outflow;
use super::{Closing, DRAIN_PING, FORGOTTEN, Machine, Role};

/// Why a request cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsent {
    /// The connection ends or has ended.
    Closed,
    /// Every number has been used.
    Exhausted,
}

impl Machine {
    /// Sends a request, whose fields `write` gives, and leaves its stream open. Gives its number.
    pub(crate) fn request(
        &mut self,
        write: impl FnOnce(&mut dyn FnMut(&[u8], &[u8])),
    ) -> Result<u32, Unsent> {
        if self.over || self.gone.is_some() || self.closing != Closing::No || self.role == Role::Server {
            return Err(Unsent::Closed);
        }
        let stream = self.newest;
        if stream > LARGEST {
            return Err(Unsent::Exhausted);
        }
        self.newest += 2;
        let entry = self.entry();
        self.streams.insert(stream, entry);
        self.headers(stream, false, write);
        Ok(stream)
    }

    /// Answers a request; `end` says that nothing follows. `false` when its stream is gone.
    pub(crate) fn respond(
        &mut self,
        stream: u32,
        end: bool,
        write: impl FnOnce(&mut dyn FnMut(&[u8], &[u8])),
    ) -> bool {
        let Some(entry) = self.streams.get_mut(&stream).filter(|entry| !entry.answered && !entry.local_ended)
        else {
            return false;
        };
        entry.answered = true;
        entry.local_ended = end;
        self.headers(stream, end, write);
        self.remove_if_closed(stream);
        true
    }

    /// HEADERS, and CONTINUATIONs where the peer's frames are smaller than the block.
    fn headers(&mut self, stream: u32, end: bool, write: impl FnOnce(&mut dyn FnMut(&[u8], &[u8]))) {
        let start = self.out.len();
        self.out.extend_from_slice(&[0; frame::HEAD]);
        if std::mem::take(&mut self.peer.shrink_table) {
            hpack::encode_size_update(&mut self.out, 0);
        }
        let out = &mut self.out;
        write(&mut |name, value| hpack::encode(out, name, value));
        let length = self.out.len() - start - frame::HEAD;
        let most = self.peer.max_frame as usize;
        let end = if end { flag::END_STREAM } else { 0 };
        if length <= most {
            let flags = end | flag::END_HEADERS;
            let head = Head { length: word(length), kind: kind::HEADERS, flags, stream };
            self.out[start..start + frame::HEAD].copy_from_slice(&head.bytes());
            return;
        }
        let block = self.out.split_off(start + frame::HEAD);
        self.out.truncate(start);
        let pieces = block.chunks(most);
        let last = pieces.len() - 1;
        for (at, piece) in pieces.enumerate() {
            let kind = if at == 0 { kind::HEADERS } else { kind::CONTINUATION };
            let flags = if at == last { flag::END_HEADERS } else { 0 } | if at == 0 { end } else { 0 };
            frame::append(&mut self.out, kind, flags, stream, piece);
        }
    }

    /// Bytes that may be sent in this stream now; `None` when it takes none any more.
    pub(crate) fn room(&self, stream: u32) -> Option<Room> {
        let entry = self.streams.get(&stream).filter(|entry| !entry.local_ended)?;
        let (own, all) = (entry.outflow.room(), self.outflow.room());
        Some(Room { bytes: own.min(all), stream: own > 0, frame: self.peer.max_frame as usize })
    }

    /// The head of a DATA frame of so many bytes, which are charged to the windows: at most the room.
    pub(crate) fn data(&mut self, stream: u32, length: usize) -> [u8; frame::HEAD] {
        self.outflow.take(length);
        if let Some(entry) = self.streams.get_mut(&stream) {
            entry.outflow.take(length);
        }
        Head { length: word(length), kind: kind::DATA, flags: 0, stream }.bytes()
    }

    /// Ends this end's direction. `false` when the stream is gone or has been ended.
    pub(crate) fn end(&mut self, stream: u32) -> bool {
        let Some(entry) = self.streams.get_mut(&stream).filter(|entry| !entry.local_ended) else {
            return false;
        };
        entry.local_ended = true;
        frame::append(&mut self.out, kind::DATA, flag::END_STREAM, stream, &[]);
        self.remove_if_closed(stream);
        true
    }

    /// Resets a stream; `false` when it is closed already.
    pub(crate) fn reset(&mut self, stream: u32, code: Code) -> bool {
        if !self.streams.contains_key(&stream) {
            return false;
        }
        self.remove(stream);
        self.forget(stream);
        frame::append(&mut self.out, kind::RST_STREAM, 0, stream, &code.0.to_be_bytes());
        true
    }

    /// What comes for this stream is ignored from here on.
    pub(super) fn forget(&mut self, stream: u32) {
        if self.forgotten.len() == FORGOTTEN {
            self.forgotten.pop_front();
        }
        self.forgotten.push_back(stream);
    }

    /// Bytes of a stream are gone from here: the peer may send as many more. Whether there is something to send now.
    pub(crate) fn consumed(&mut self, stream: u32, bytes: usize) -> bool {
        let before = self.out.len();
        if let Some(entry) = self.streams.get_mut(&stream).filter(|entry| !entry.remote_ended) {
            entry.inflow.consume(bytes);
            entry.taken_in_round.bytes += bytes as u64;
            if let Some(increment) = entry.inflow.announce() {
                window_update(&mut self.out, stream, increment);
                self.pace.due();
            }
        }
        self.discard(bytes);
        self.out.len() > before
    }

    /// The same for bytes whose stream is gone.
    pub(crate) fn discard(&mut self, bytes: usize) {
        self.inflow.consume(bytes);
        if let Some(increment) = self.inflow.announce_shared() {
            window_update(&mut self.out, 0, increment);
        }
        self.pace.settle(self.inflow.excess());
    }

    /// Changes the connection's receive window.
    pub(crate) fn set_window(&mut self, window: u32) {
        self.window = window;
        self.retarget();
    }

    /// Brings the connection's receive window to what its streams need.
    pub(super) fn retarget(&mut self) {
        self.inflow.retarget(self.window.saturating_add(self.pace.width()));
        self.discard(0);
    }

    /// Asks the peer whether it is there.
    pub(crate) fn ping(&mut self) {
        frame::append(&mut self.out, kind::PING, 0, 0, b"are you?");
    }

    /// Tells the peer to open no more streams, and lets those it has under way come.
    pub(crate) fn drain(&mut self) {
        if self.closing == Closing::No {
            self.closing = Closing::Asked;
            self.go_away(LARGEST, Code::NO_ERROR);
            frame::append(&mut self.out, kind::PING, 0, 0, &DRAIN_PING);
        }
    }

    /// Ends a drain whose peer has been heard, once every stream is closed. Whether it did.
    pub(crate) fn conclude(&mut self) -> bool {
        let concluded = self.heard() && self.streams.is_empty();
        if concluded {
            self.farewell(Code::NO_ERROR);
        }
        concluded
    }

    /// A server that ends now has done nothing with what it has not answered, whatever came with it: the client may ask
    /// another.
    pub(crate) fn refuse_unanswered(&mut self) {
        if self.role == Role::Server {
            let unanswered = self.streams.iter().filter(|(_, entry)| !entry.answered);
            let mut unanswered: Vec<u32> = unanswered.map(|(stream, _)| *stream).collect();
            unanswered.sort_unstable();
            for stream in unanswered {
                self.reset(stream, Code::REFUSED_STREAM);
            }
        }
    }

    /// The last word: no stream of the peer's beyond the newest is looked at.
    pub(crate) fn farewell(&mut self, code: Code) {
        self.closing = Closing::Final;
        let last = if self.role == Role::Server { self.newest } else { 0 };
        self.go_away(last, code);
    }

    fn go_away(&mut self, last: u32, code: Code) {
        let [l0, l1, l2, l3] = last.to_be_bytes();
        let [c0, c1, c2, c3] = code.0.to_be_bytes();
        frame::append(&mut self.out, kind::GOAWAY, 0, 0, &[l0, l1, l2, l3, c0, c1, c2, c3]);
    }

    pub(super) fn shift_outflows(&mut self, by: i64) -> Result<(), ()> {
        self.streams
            .values_mut()
            .map(|entry| &mut entry.outflow)
            .try_for_each(|flow: &mut Outflow| flow.add(by))
    }
}

/// What a stream may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) bytes: usize,
    /// The stream's own window has room, if not the connection's.
    pub(crate) stream: bool,
    /// Largest frame.
    pub(crate) frame: usize,
}

pub(super) fn window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    frame::append(out, kind::WINDOW_UPDATE, 0, stream, &increment.to_be_bytes());
}

fn word(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
