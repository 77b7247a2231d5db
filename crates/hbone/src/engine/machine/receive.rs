//! Bytes cut into frames: DATA is passed on as it comes, the payload of every other frame is put together first.

use super::super::frame::{FIRST_FRAME, HEAD, Head, PREFACE, flag, kind};
use super::{Event, Fault, Machine, Role, frame_size, protocol};
use crate::engine::frame::Code;

/// A buffer for payloads that came in pieces is kept up to this size.
const KEPT: usize = 256;

/// What the next bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Preface,
    Head,
    Payload,
    /// A payload that nobody looks at.
    Skip,
    PadLength,
    Data,
    Padding,
}

/// Where in the byte stream we are.
#[derive(Debug)]
pub(super) struct Reader {
    state: State,
    /// Bytes of the preface or the head so far.
    filled: u8,
    bytes: [u8; HEAD],
    head: Head,
    /// Of the payload, or of a frame's DATA without its padding.
    left: u32,
    padding: u8,
    payload: Vec<u8>,
    /// The DATA belongs to a stream that takes it.
    wanted: bool,
}

impl Reader {
    pub(super) fn new(role: Role) -> Self {
        Self {
            state: if role == Role::Server { State::Preface } else { State::Head },
            filled: 0,
            bytes: [0; HEAD],
            head: Head { length: 0, kind: 0, flags: 0, stream: 0 },
            left: 0,
            padding: 0,
            payload: Vec::new(),
            wanted: false,
        }
    }
}

/// Takes what is there of `most` bytes.
fn cut<'a>(rest: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at(rest.len().min(most));
    *rest = left;
    taken
}

impl Machine {
    /// Takes what the peer sent, in pieces of any size.
    ///
    /// # Errors
    /// The connection is over; the GOAWAY that says why is in the output.
    pub(crate) fn receive<'a>(
        &mut self,
        pieces: &[&'a [u8]],
        sink: &mut dyn FnMut(Event<'a>),
    ) -> Result<(), Fault> {
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() && !self.over {
                if let Err(fault) = self.step(&mut rest, sink) {
                    self.farewell(fault.code);
                    self.over = true;
                    return Err(fault);
                }
            }
        }
        Ok(())
    }

    fn step<'a>(&mut self, rest: &mut &'a [u8], sink: &mut dyn FnMut(Event<'a>)) -> Result<(), Fault> {
        match self.reader.state {
            State::Preface => self.preface(rest),
            State::Head => {
                let filled = usize::from(self.reader.filled);
                let taken = cut(rest, HEAD - filled);
                self.reader.bytes[filled..filled + taken.len()].copy_from_slice(taken);
                if filled + taken.len() < HEAD {
                    self.reader.filled += small(taken.len());
                    return Ok(());
                }
                self.reader.filled = 0;
                self.reader.head = Head::read(self.reader.bytes);
                self.begin(rest, sink)
            }
            State::Payload => {
                let taken = cut(rest, self.reader.left as usize);
                self.reader.payload.extend_from_slice(taken);
                self.reader.left -= word(taken.len());
                if self.reader.left > 0 {
                    return Ok(());
                }
                let mut payload = std::mem::take(&mut self.reader.payload);
                self.reader.state = State::Head;
                let done = self.whole(&payload, sink);
                payload.clear();
                if payload.capacity() <= KEPT {
                    self.reader.payload = payload;
                }
                done
            }
            State::Skip => {
                self.reader.left -= word(cut(rest, self.reader.left as usize).len());
                self.next_frame_if(self.reader.left == 0);
                Ok(())
            }
            State::PadLength => {
                let padding = cut(rest, 1).first().copied().unwrap_or(0);
                self.pad(padding, sink)
            }
            State::Data => {
                let bytes = cut(rest, self.reader.left as usize);
                self.reader.left -= word(bytes.len());
                self.data_bytes(bytes, sink);
                if self.reader.left == 0 { self.data_done(sink) } else { Ok(()) }
            }
            State::Padding => {
                self.reader.padding -= small(cut(rest, usize::from(self.reader.padding)).len());
                self.next_frame_if(self.reader.padding == 0);
                Ok(())
            }
        }
    }

    fn preface(&mut self, rest: &mut &[u8]) -> Result<(), Fault> {
        let filled = usize::from(self.reader.filled);
        let taken = cut(rest, PREFACE.len() - filled);
        if taken != &PREFACE[filled..filled + taken.len()] {
            return Err(protocol("no HTTP/2 preface"));
        }
        self.reader.filled += small(taken.len());
        if usize::from(self.reader.filled) == PREFACE.len() {
            self.reader.filled = 0;
            self.reader.state = State::Head;
        }
        Ok(())
    }

    /// A head is complete.
    fn begin<'a>(&mut self, rest: &mut &'a [u8], sink: &mut dyn FnMut(Event<'a>)) -> Result<(), Fault> {
        let head = self.reader.head;
        if !self.peer.settled && (head.kind != kind::SETTINGS || head.has(flag::ACK)) {
            return Err(protocol("the first frame is not SETTINGS"));
        }
        if head.length > self.limits.max_frame {
            return Err(frame_size("a frame above our SETTINGS_MAX_FRAME_SIZE"));
        }
        if let Some(block) = &self.block
            && (head.kind != kind::CONTINUATION || head.stream != block.stream)
        {
            return Err(protocol("something between HEADERS and its CONTINUATION"));
        }
        self.reader.left = head.length;
        match head.kind {
            kind::DATA => {
                self.begin_data(sink)?;
                if head.has(flag::PADDED) {
                    if head.length == 0 {
                        return Err(frame_size("padded DATA without the length of its padding"));
                    }
                    self.reader.state = State::PadLength;
                    return Ok(());
                }
                self.reader.padding = 0;
                self.reader.state = State::Data;
                if head.length == 0 { self.data_done(sink) } else { Ok(()) }
            }
            known if known <= kind::CONTINUATION => {
                if head.length > FIRST_FRAME.max(self.limits.header_list) {
                    let text = "a frame that only controls, and is large";
                    return Err(Fault { code: Code::ENHANCE_YOUR_CALM, text });
                }
                self.reader.state = State::Head;
                if rest.len() >= head.length as usize {
                    return self.whole(cut(rest, head.length as usize), sink);
                }
                self.reader.state = State::Payload;
                Ok(())
            }
            // Unknown frames are ignored (RFC 9113 section 4.1).
            _ => {
                self.guards.control()?;
                self.reader.state = State::Skip;
                self.next_frame_if(head.length == 0);
                Ok(())
            }
        }
    }

    fn next_frame_if(&mut self, done: bool) {
        if done {
            self.reader.state = State::Head;
        }
    }

    /// A frame other than DATA is complete.
    fn whole<'a>(&mut self, payload: &[u8], sink: &mut dyn FnMut(Event<'a>)) -> Result<(), Fault> {
        let head = self.reader.head;
        match head.kind {
            kind::HEADERS => self.on_headers(head, payload, sink),
            kind::CONTINUATION => self.on_continuation(head, payload, sink),
            kind::PRIORITY => self.on_priority(head, payload, sink),
            kind::RST_STREAM => self.on_reset(head, payload, sink),
            kind::SETTINGS => self.on_settings(head, payload, sink),
            kind::PUSH_PROMISE => Err(protocol("PUSH_PROMISE, which we have not allowed")),
            kind::PING => self.on_ping(head, payload),
            kind::GOAWAY => self.on_go_away(head, payload, sink),
            kind::WINDOW_UPDATE => self.on_window_update(head, payload, sink),
            _ => Ok(()),
        }
    }

    /// A DATA frame begins: its whole length counts for the windows (RFC 9113 section 6.1).
    fn begin_data<'a>(&mut self, sink: &mut dyn FnMut(Event<'a>)) -> Result<(), Fault> {
        let Head { length, stream, .. } = self.reader.head;
        if stream == 0 {
            return Err(protocol("DATA without a stream"));
        }
        if self.idle(stream) && !self.forgotten.contains(&stream) {
            return Err(protocol("DATA for a stream that is not open yet"));
        }
        let text = "more DATA than the connection's window";
        self.inflow.take(length).map_err(|()| Fault { code: Code::FLOW_CONTROL_ERROR, text })?;
        let refusal = match self.streams.get_mut(&stream) {
            None if self.forgotten.contains(&stream) => None,
            None => {
                self.forget(stream);
                self.send_reset(stream, Code::STREAM_CLOSED)?;
                None
            }
            Some(entry) if entry.remote_ended => Some(Code::STREAM_CLOSED),
            Some(entry) if self.role == Role::Client && !entry.answered => Some(Code::PROTOCOL_ERROR),
            Some(entry) => entry.inflow.take(length).is_err().then_some(Code::FLOW_CONTROL_ERROR),
        };
        if let Some(code) = refusal {
            self.stream_error(stream, code, sink)?;
        }
        self.reader.wanted = self.streams.contains_key(&stream);
        Ok(())
    }

    fn pad<'a>(&mut self, padding: u8, sink: &mut dyn FnMut(Event<'a>)) -> Result<(), Fault> {
        let after = self.reader.left - 1;
        let Some(left) = after.checked_sub(u32::from(padding)) else {
            return Err(protocol("more padding than payload"));
        };
        self.reader.left = left;
        self.reader.padding = padding;
        // Nobody reads padding, so it counts as read.
        self.consumed(self.reader.head.stream, 1 + usize::from(padding));
        self.reader.state = State::Data;
        if left == 0 { self.data_done(sink) } else { Ok(()) }
    }

    fn data_bytes<'a>(&mut self, bytes: &'a [u8], sink: &mut dyn FnMut(Event<'a>)) {
        let stream = self.reader.head.stream;
        if self.reader.wanted && self.streams.contains_key(&stream) {
            sink(Event::Data { stream, bytes });
        } else {
            self.discard(bytes.len());
        }
    }

    /// The bytes of a DATA frame are through; padding may follow.
    fn data_done<'a>(&mut self, sink: &mut dyn FnMut(Event<'a>)) -> Result<(), Fault> {
        let Head { length, flags, stream, .. } = self.reader.head;
        self.reader.state = if self.reader.padding > 0 { State::Padding } else { State::Head };
        let ends = flags & flag::END_STREAM != 0;
        let overhead = if flags & flag::PADDED != 0 { 1 + u32::from(self.reader.padding) } else { 0 };
        self.guards.data(length == overhead && !ends)?;
        if ends && self.reader.wanted {
            self.remote_end(stream, sink);
        }
        Ok(())
    }

    /// The peer says no more in this stream.
    pub(super) fn remote_end<'a>(&mut self, stream: u32, sink: &mut dyn FnMut(Event<'a>)) {
        if let Some(entry) = self.streams.get_mut(&stream) {
            entry.remote_ended = true;
            let window = entry.inflow.target();
            self.unwiden(window);
            sink(Event::End { stream });
            self.remove_if_closed(stream);
        }
    }
}

fn small(count: usize) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX)
}

fn word(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
