//! Header blocks: put together, decoded, and read as requests, answers or trailers (RFC 9113 sections 4.3, 6.2, 8.1).

use super::super::fields::{Expected, Message, Reading};
use super::super::frame::{Code, Head, flag};
use super::super::guards::{CONTINUATIONS, INTERIMS};
use super::super::hpack;
use super::{Block, Closing, Event, Fault, Machine, Role, frame_size, protocol};

/// What to make of a block, as far as its stream says.
enum Purpose {
    Request,
    Answer,
    Trailers,
    /// Its stream is gone; the block counts only for the decoder's state.
    Nothing,
}

impl Machine {
    pub(super) fn on_headers<'a>(
        &mut self,
        head: Head,
        payload: &[u8],
        sink: &mut dyn FnMut(Event<'a>),
    ) -> Result<(), Fault> {
        if head.stream == 0 {
            return Err(protocol("HEADERS without a stream"));
        }
        let fragment = fragment(head, payload)?;
        let end_stream = head.has(flag::END_STREAM);
        if head.has(flag::END_HEADERS) {
            return self.on_block(head.stream, end_stream, fragment, sink);
        }
        self.block =
            Some(Block { stream: head.stream, end_stream, bytes: fragment.to_vec(), continuations: 0 });
        Ok(())
    }

    pub(super) fn on_continuation<'a>(
        &mut self,
        head: Head,
        payload: &[u8],
        sink: &mut dyn FnMut(Event<'a>),
    ) -> Result<(), Fault> {
        let Some(mut block) = self.block.take() else { return Err(protocol("CONTINUATION without HEADERS")) };
        block.continuations += 1;
        let most = 2 * (self.limits.header_list as usize).max(8 * 1024);
        if block.continuations > CONTINUATIONS || block.bytes.len() + payload.len() > most {
            return Err(Fault { code: Code::ENHANCE_YOUR_CALM, text: "a header block without end" });
        }
        block.bytes.extend_from_slice(payload);
        if head.has(flag::END_HEADERS) {
            return self.on_block(block.stream, block.end_stream, &block.bytes, sink);
        }
        self.block = Some(block);
        Ok(())
    }

    fn on_block<'a>(
        &mut self,
        stream: u32,
        end_stream: bool,
        block: &[u8],
        sink: &mut dyn FnMut(Event<'a>),
    ) -> Result<(), Fault> {
        let purpose = self.purpose(stream)?;
        let expected = match purpose {
            Purpose::Request => Expected::Request,
            Purpose::Answer => Expected::Response,
            Purpose::Trailers | Purpose::Nothing => Expected::Trailers,
        };
        let mut reading = Reading::new(expected);
        let most = self.limits.header_list as usize;
        let list = match self.decoder.decode(block, most, &mut |name, value| reading.field(name, value)) {
            Ok(()) => Some(reading.finish()),
            Err(hpack::Error::TooLarge(_)) => None,
            Err(hpack::Error::Compression(text)) => {
                return Err(Fault { code: Code::COMPRESSION_ERROR, text });
            }
        };
        match (purpose, list) {
            (Purpose::Nothing, _) if self.forgotten.contains(&stream) => Ok(()),
            (Purpose::Nothing, _) => {
                self.forget(stream);
                self.send_reset(stream, Code::STREAM_CLOSED)
            }
            (Purpose::Request, list) => self.on_request(stream, end_stream, list, sink),
            (_, None | Some(Err(_))) => self.stream_error(stream, Code::PROTOCOL_ERROR, sink),
            (Purpose::Answer, Some(Ok(message))) => self.on_answer(stream, end_stream, message, sink),
            (Purpose::Trailers, Some(Ok(_))) => self.on_trailers(stream, end_stream, sink),
        }
    }

    fn purpose(&mut self, stream: u32) -> Result<Purpose, Fault> {
        if self.idle(stream) {
            // Only a client opens streams, and only odd ones.
            if self.role == Role::Client || stream.is_multiple_of(2) {
                return Err(protocol("HEADERS for a stream that the peer may not open"));
            }
            return Ok(Purpose::Request);
        }
        Ok(match self.streams.get(&stream) {
            None => Purpose::Nothing,
            Some(entry) if self.role == Role::Client && !entry.answered => Purpose::Answer,
            Some(_) => Purpose::Trailers,
        })
    }

    fn on_request<'a>(
        &mut self,
        stream: u32,
        end_stream: bool,
        list: Option<Result<Message, &'static str>>,
        sink: &mut dyn FnMut(Event<'a>),
    ) -> Result<(), Fault> {
        if self.closing == Closing::Final {
            // Above the last stream of our GOAWAY: the peer knows that it is not looked at, nor its first bytes.
            self.forget(stream);
            return Ok(());
        }
        self.newest = stream;
        if self.streams.len() >= self.limits.max_streams as usize {
            self.forget(stream);
            return self.send_reset(stream, Code::REFUSED_STREAM);
        }
        let mut entry = self.entry();
        entry.remote_ended = end_stream;
        match list {
            Some(Ok(message)) => {
                self.streams.insert(stream, entry);
                sink(Event::Request { stream, message });
                if end_stream {
                    sink(Event::End { stream });
                }
                Ok(())
            }
            Some(Err(_)) => {
                self.forget(stream);
                self.send_reset(stream, Code::PROTOCOL_ERROR)
            }
            None => {
                // The list is too large to be looked at (RFC 6585 section 5).
                self.streams.insert(stream, entry);
                self.respond(stream, true, |field| field(b":status", b"431"));
                if end_stream {
                    return self.guards.fault().map_err(Fault::from);
                }
                self.remove(stream);
                self.forget(stream);
                self.send_reset(stream, Code::NO_ERROR)
            }
        }
    }

    fn on_answer<'a>(
        &mut self,
        stream: u32,
        end_stream: bool,
        message: Message,
        sink: &mut dyn FnMut(Event<'a>),
    ) -> Result<(), Fault> {
        let Some(entry) = self.streams.get_mut(&stream) else { return Ok(()) };
        let interim = message.status < 200;
        // HTTP/2 has no 101 (RFC 9113 section 8.6), and an interim answer ends nothing.
        if interim && (end_stream || message.status == 101) {
            return self.stream_error(stream, Code::PROTOCOL_ERROR, sink);
        }
        if interim {
            entry.interims += 1;
            let calm = entry.interims <= INTERIMS;
            return if calm { Ok(()) } else { self.stream_error(stream, Code::ENHANCE_YOUR_CALM, sink) };
        }
        entry.answered = true;
        sink(Event::Answer { stream, message });
        if end_stream {
            self.remote_end(stream, sink);
        }
        Ok(())
    }

    /// Their content means nothing to a tunnel; as an end they count like an empty DATA frame.
    fn on_trailers<'a>(
        &mut self,
        stream: u32,
        end_stream: bool,
        sink: &mut dyn FnMut(Event<'a>),
    ) -> Result<(), Fault> {
        let ended = self.streams.get(&stream).is_some_and(|entry| entry.remote_ended);
        if ended {
            return self.stream_error(stream, Code::STREAM_CLOSED, sink);
        }
        if !end_stream {
            return self.stream_error(stream, Code::PROTOCOL_ERROR, sink);
        }
        self.remote_end(stream, sink);
        Ok(())
    }
}

/// The block's part in a HEADERS frame: without padding and priority.
fn fragment(head: Head, mut payload: &[u8]) -> Result<&[u8], Fault> {
    let mut padding = 0;
    if head.has(flag::PADDED) {
        let Some((length, rest)) = payload.split_first() else {
            return Err(frame_size("padded HEADERS without the length of its padding"));
        };
        padding = usize::from(*length);
        payload = rest;
    }
    if head.has(flag::PRIORITY) {
        payload = payload.get(5..).ok_or(frame_size("HEADERS without the priority that it announces"))?;
    }
    let end = payload.len().checked_sub(padding).ok_or(protocol("more padding than payload"))?;
    Ok(&payload[..end])
}
