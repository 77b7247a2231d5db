//! One end of an HTTP/2 connection as a state machine: bytes in, events and bytes out. No I/O and no clock of its own.

mod control;
mod headers;
mod receive;
mod send;
#[cfg(test)]
mod tests;
mod widen;

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use super::fields::Message;
use super::frame::{Code, FIRST_FRAME, FIRST_WINDOW, LARGEST, PREFACE, flag, kind, setting};
use super::guards::{ANSWERS, Flood, Guards};
use super::window::{Inflow, Outflow};
use super::{frame, hpack};
use crate::headroom::Headroom;

use receive::Reader;
pub(crate) use send::{Room, Unsent};
use widen::{Pace, Taken};

/// Which end this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Server,
}

/// What this end allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) stream_window: u32,
    pub(crate) connection_window: u32,
    pub(crate) max_frame: u32,
    pub(crate) header_list: u32,
    /// Streams at a time that the peer may open; a server's.
    pub(crate) max_streams: u32,
    /// A server's: it says that first bytes may come before its answer.
    pub(crate) early_bytes: bool,
}

/// What happened, in order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// The peer's first SETTINGS are in force.
    Settled,
    /// A client opened a stream.
    Request { stream: u32, message: Message },
    /// The final answer to a request.
    Answer { stream: u32, message: Message },
    /// Bytes of a stream, charged to its windows until they are consumed.
    Data { stream: u32, bytes: &'a [u8] },
    /// The peer sends no more in it.
    End { stream: u32 },
    /// The stream is gone.
    Reset { stream: u32, code: Code, by: By },
    /// More can be sent: in this stream, or in the connection.
    Room { stream: Option<u32> },
    /// More can be sent in every stream, as far as the connection takes it.
    Wider,
    /// The peer takes no new streams.
    GoAway { code: Code },
}

/// Who ended a stream, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Peer,
    /// For the peer's fault.
    Us,
    /// It is above the last one of the peer's GOAWAY, so the peer did nothing with it.
    GoAway,
}

/// Why a connection cannot go on: the peer's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: Code,
    pub(crate) text: &'static str,
}

impl From<Flood> for Fault {
    fn from(flood: Flood) -> Self {
        Self { code: Code::ENHANCE_YOUR_CALM, text: flood.0 }
    }
}

const fn protocol(text: &'static str) -> Fault {
    Fault { code: Code::PROTOCOL_ERROR, text }
}

const fn frame_size(text: &'static str) -> Fault {
    Fault { code: Code::FRAME_SIZE_ERROR, text }
}

/// A stream that is not closed.
#[derive(Debug)]
struct Entry {
    outflow: Outflow,
    inflow: Inflow,
    local_ended: bool,
    remote_ended: bool,
    /// Client: the final answer has come. Server: the answer has been sent.
    answered: bool,
    /// Server: somebody has looked at the request.
    taken: bool,
    interims: u8,
    taken_in_round: Taken,
}

/// The header block under way.
#[derive(Debug)]
struct Block {
    stream: u32,
    end_stream: bool,
    bytes: Vec<u8>,
    continuations: u8,
}

/// The peer's SETTINGS.
#[derive(Debug)]
struct Peer {
    settled: bool,
    max_frame: u32,
    window: u32,
    max_streams: u32,
    /// It takes bytes before its answer.
    early_bytes: bool,
    /// It has a smaller HPACK table than at the start, and the next block must say that we follow.
    shrink_table: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closing {
    No,
    /// GOAWAY is sent without a last stream, and a PING that shows when the peer has read it.
    Asked,
    /// The peer has read it. Requests that it had under way may still come.
    Heard,
    /// GOAWAY is sent with the last stream.
    Final,
}

/// How many streams that we reset are remembered; what the peer had under way for them is ignored. A server that refuses
/// all of a client's streams may have early bytes under way for twice as many as may be open at a time.
const FORGOTTEN: usize = 512;
/// The PING behind the first GOAWAY of a drain.
const DRAIN_PING: [u8; 8] = *b"draining";

#[derive(Debug)]
pub(crate) struct Machine {
    role: Role,
    limits: Limits,
    reader: Reader,
    decoder: hpack::Decoder,
    block: Option<Block>,
    streams: HashMap<u32, Entry, foldhash::fast::RandomState>,
    out: Vec<u8>,
    /// Bytes of `out` and below it that answer the peer's frames.
    answers: usize,
    peer: Peer,
    /// The peer has acknowledged our SETTINGS.
    acknowledged: bool,
    outflow: Outflow,
    inflow: Inflow,
    /// The connection's receive window without what wide streams add to it.
    window: u32,
    pace: Pace,
    /// Client: the next stream. Server: the newest of the peer's.
    newest: u32,
    forgotten: VecDeque<u32>,
    guards: Guards,
    closing: Closing,
    /// The last stream of the peer's GOAWAY.
    gone: Option<u32>,
    over: bool,
}

impl Machine {
    /// With the first words, a client's preface and everybody's SETTINGS, in the output.
    pub(crate) fn new(role: Role, limits: Limits) -> Self {
        let mut machine = Self {
            role,
            limits,
            reader: Reader::new(role),
            decoder: hpack::Decoder::new(hpack::DEFAULT_TABLE),
            block: None,
            streams: HashMap::default(),
            out: Vec::new(),
            answers: 0,
            peer: Peer {
                settled: false,
                max_frame: FIRST_FRAME,
                window: FIRST_WINDOW,
                max_streams: u32::MAX,
                early_bytes: false,
                shrink_table: false,
            },
            acknowledged: false,
            outflow: Outflow::new(FIRST_WINDOW),
            inflow: Inflow::new(FIRST_WINDOW),
            window: FIRST_WINDOW,
            pace: Pace::new(0, Headroom::new(0)),
            newest: if role == Role::Client { 1 } else { 0 },
            forgotten: VecDeque::new(),
            guards: Guards::new(),
            closing: Closing::No,
            gone: None,
            over: false,
        };
        machine.introduce();
        machine
    }

    /// Lets streams' windows grow up to `widest`, out of `headroom`.
    pub(crate) fn growing(mut self, widest: u32, headroom: Headroom) -> Self {
        self.pace = Pace::new(widest, headroom);
        self
    }

    fn introduce(&mut self) {
        let limits = self.limits;
        let first = match self.role {
            Role::Client => {
                self.out.extend_from_slice(PREFACE);
                (setting::ENABLE_PUSH, 0)
            }
            Role::Server => (setting::MAX_CONCURRENT_STREAMS, limits.max_streams),
        };
        let rest = [
            (setting::INITIAL_WINDOW_SIZE, limits.stream_window),
            (setting::MAX_FRAME_SIZE, limits.max_frame),
            (setting::MAX_HEADER_LIST_SIZE, limits.header_list),
        ];
        let early = (self.role == Role::Server && limits.early_bytes).then_some((setting::EARLY_BYTES, 1));
        let mut payload = Vec::with_capacity(30);
        for (id, value) in std::iter::once(first).chain(rest).chain(early) {
            payload.extend_from_slice(&id.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        frame::append(&mut self.out, kind::SETTINGS, 0, 0, &payload);
        self.set_window(limits.connection_window);
    }

    /// Time goes on: to be called before [`Self::receive`] in each turn.
    pub(crate) fn at(&mut self, now: Instant) {
        self.guards.at(now);
    }

    /// What waits to be sent.
    pub(crate) fn output(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// The connection is over: nothing more is received or opened.
    pub(crate) fn stop(&mut self) {
        self.over = true;
    }

    /// Everything sent so far has left.
    pub(crate) fn sent(&mut self) {
        self.answers = 0;
    }

    /// Whether the peer must first read what it has made us answer.
    pub(crate) fn overdue(&self) -> bool {
        self.answers > ANSWERS
    }

    /// Whether the peer's SETTINGS have come.
    pub(crate) fn settled(&self) -> bool {
        self.peer.settled
    }

    /// Streams at a time that the peer allows.
    pub(crate) fn peers_limit(&self) -> u32 {
        self.peer.max_streams
    }

    /// Whether the peer takes bytes before it has answered a request.
    pub(crate) fn peer_takes_early_bytes(&self) -> bool {
        self.peer.early_bytes
    }

    /// Whether every stream is closed.
    pub(crate) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Whether the peer has read that it shall open no more streams.
    pub(crate) fn heard(&self) -> bool {
        self.closing == Closing::Heard
    }

    /// Whether a drain is complete: the peer knows the last stream, and all are closed.
    pub(crate) fn drained(&self) -> bool {
        self.closing == Closing::Final && self.streams.is_empty()
    }

    /// Whether the peer has said GOAWAY.
    pub(crate) fn left_by_peer(&self) -> bool {
        self.gone.is_some()
    }

    /// Somebody looks at a request now.
    pub(crate) fn take(&mut self, stream: u32) {
        match self.streams.get_mut(&stream) {
            Some(entry) => entry.taken = true,
            None => self.guards.taken(),
        }
    }

    /// A stream that cannot have been opened yet.
    fn idle(&self, stream: u32) -> bool {
        match self.role {
            Role::Client => stream.is_multiple_of(2) || stream >= self.newest,
            Role::Server => stream.is_multiple_of(2) || stream > self.newest,
        }
    }

    /// Forgets a closed stream's state.
    fn remove(&mut self, stream: u32) {
        if let Some(entry) = self.streams.remove(&stream)
            && !entry.remote_ended
        {
            self.unwiden(entry.inflow.target());
        }
        if self.streams.is_empty() && self.streams.capacity() > 16 {
            self.streams = HashMap::default();
        }
    }

    /// A stream with this window takes no more bytes: what it added to the connection's is not needed.
    fn unwiden(&mut self, window: u32) {
        let width = window.saturating_sub(self.limits.stream_window);
        if width > 0 && self.acknowledged {
            self.pace.narrow(width);
            self.retarget();
        }
    }

    fn remove_if_closed(&mut self, stream: u32) {
        if self.streams.get(&stream).is_some_and(|entry| entry.local_ended && entry.remote_ended) {
            self.remove(stream);
        }
    }

    fn entry(&self) -> Entry {
        let window = if self.acknowledged { self.limits.stream_window } else { FIRST_WINDOW };
        Entry {
            outflow: Outflow::new(self.peer.window),
            inflow: Inflow::new(window.min(LARGEST)),
            local_ended: false,
            remote_ended: false,
            answered: false,
            taken: false,
            interims: 0,
            taken_in_round: Taken::default(),
        }
    }
}

/// The answer frames that the peer can make us send, by size.
const fn answer(payload: usize) -> usize {
    frame::HEAD + payload
}

const ACK: u8 = flag::ACK;
