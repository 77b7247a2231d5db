//! Frames that control: SETTINGS, PING, GOAWAY, WINDOW_UPDATE, RST_STREAM, PRIORITY (RFC 9113 section 6).

use super::super::frame::{
    self, Code, FIRST_FRAME, FIRST_WINDOW, Head, LARGEST, flag, kind, number, setting,
};
use super::super::hpack;
use super::{ACK, By, Closing, DRAIN_PING, Event, Fault, Machine, Role, answer, frame_size, protocol};

impl Machine {
    /// Resets one stream for the peer's fault.
    pub(super) fn stream_error<'a>(
        &mut self,
        stream: u32,
        code: Code,
        sink: &mut dyn FnMut(Event<'a>),
    ) -> Result<(), Fault> {
        if self.streams.contains_key(&stream) {
            self.remove(stream);
            sink(Event::Reset { stream, code, by: By::Us });
        }
        self.forget(stream);
        self.send_reset(stream, code)
    }

    /// RST_STREAM that the peer has made us send.
    pub(super) fn send_reset(&mut self, stream: u32, code: Code) -> Result<(), Fault> {
        self.guards.fault()?;
        self.answers += answer(4);
        frame::append(&mut self.out, kind::RST_STREAM, 0, stream, &code.0.to_be_bytes());
        Ok(())
    }

    pub(super) fn on_settings<'a>(
        &mut self,
        head: Head,
        payload: &[u8],
        sink: &mut dyn FnMut(Event<'a>),
    ) -> Result<(), Fault> {
        self.guards.control()?;
        if head.stream != 0 {
            return Err(protocol("SETTINGS in a stream"));
        }
        if head.has(flag::ACK) {
            return if payload.is_empty() {
                self.on_acknowledged()
            } else {
                Err(frame_size("a long SETTINGS ACK"))
            };
        }
        if !payload.len().is_multiple_of(6) {
            return Err(frame_size("SETTINGS that are not made of entries"));
        }
        let before = self.peer.window;
        let mut widest = before;
        for entry in payload.chunks_exact(6) {
            let (Some(id), Some(value)) = (entry.first_chunk(), number(&entry[2..])) else { continue };
            self.apply(u16::from_be_bytes(*id), value)?;
            widest = widest.max(self.peer.window);
        }
        // However often the frame names it, every stream is touched twice at most: a window that is too wide for one of
        // them is refused even where a smaller one follows.
        for (from, to) in [(before, widest), (widest, self.peer.window)] {
            if from != to {
                let shifted = self.shift_outflows(i64::from(to) - i64::from(from));
                shifted.map_err(|()| initial_window())?;
            }
        }
        if self.peer.window > before {
            sink(Event::Wider);
        }
        self.answers += answer(0);
        frame::append(&mut self.out, kind::SETTINGS, ACK, 0, &[]);
        if !self.peer.settled {
            self.peer.settled = true;
            sink(Event::Settled);
        }
        Ok(())
    }

    /// From here on the peer keeps to our windows.
    fn on_acknowledged(&mut self) -> Result<(), Fault> {
        if !self.acknowledged {
            self.acknowledged = true;
            self.pace.acknowledged();
            for entry in self.streams.values_mut() {
                entry.inflow.shift(FIRST_WINDOW, self.limits.stream_window);
            }
        }
        Ok(())
    }

    fn apply(&mut self, id: u16, value: u32) -> Result<(), Fault> {
        match id {
            setting::HEADER_TABLE_SIZE if (value as usize) < hpack::DEFAULT_TABLE => {
                self.peer.shrink_table = true
            }
            setting::ENABLE_PUSH if value > 1 || (value == 1 && self.role == Role::Client) => {
                return Err(protocol("a SETTINGS_ENABLE_PUSH that may not be"));
            }
            setting::MAX_CONCURRENT_STREAMS => self.peer.max_streams = value,
            setting::INITIAL_WINDOW_SIZE => {
                if value > LARGEST {
                    return Err(initial_window());
                }
                self.peer.window = value;
            }
            setting::MAX_FRAME_SIZE => {
                if !(FIRST_FRAME..1 << 24).contains(&value) {
                    return Err(protocol("a SETTINGS_MAX_FRAME_SIZE that may not be"));
                }
                self.peer.max_frame = value;
            }
            setting::EARLY_BYTES if self.role == Role::Client => self.peer.early_bytes = value == 1,
            // MAX_HEADER_LIST_SIZE is advice, and the rest is unknown to us.
            _ => {}
        }
        Ok(())
    }

    pub(super) fn on_ping(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        self.guards.control()?;
        if head.stream != 0 {
            return Err(protocol("PING in a stream"));
        }
        if payload.len() != 8 {
            return Err(frame_size("a PING that is not 8 bytes long"));
        }
        if !head.has(flag::ACK) {
            self.answers += answer(8);
            frame::append(&mut self.out, kind::PING, ACK, 0, payload);
        } else if self.closing == Closing::Asked && payload == DRAIN_PING {
            self.closing = Closing::Heard;
        } else {
            self.pace.answered(payload);
        }
        Ok(())
    }

    pub(super) fn on_go_away<'a>(
        &mut self,
        head: Head,
        payload: &[u8],
        sink: &mut dyn FnMut(Event<'a>),
    ) -> Result<(), Fault> {
        self.guards.control()?;
        if head.stream != 0 {
            return Err(protocol("GOAWAY in a stream"));
        }
        let (Some(last), Some(code)) = (number(payload), payload.get(4..).and_then(number)) else {
            return Err(frame_size("a short GOAWAY"));
        };
        let last = last & LARGEST;
        if self.gone.is_some_and(|earlier| last > earlier) {
            return Err(protocol("a GOAWAY that takes back an earlier one"));
        }
        self.gone = Some(last);
        sink(Event::GoAway { code: Code(code) });
        if self.role == Role::Client {
            let mut above: Vec<u32> = self.streams.keys().copied().filter(|stream| *stream > last).collect();
            above.sort_unstable();
            for stream in above {
                self.remove(stream);
                self.forget(stream);
                sink(Event::Reset { stream, code: Code(code), by: By::GoAway });
            }
        }
        Ok(())
    }

    pub(super) fn on_window_update<'a>(
        &mut self,
        head: Head,
        payload: &[u8],
        sink: &mut dyn FnMut(Event<'a>),
    ) -> Result<(), Fault> {
        let (4, Some(increment)) = (payload.len(), number(payload)) else {
            return Err(frame_size("a WINDOW_UPDATE that is not 4 bytes long"));
        };
        let increment = increment & LARGEST;
        if head.stream == 0 {
            if increment == 0 {
                return Err(protocol("a WINDOW_UPDATE of nothing"));
            }
            let text = "a WINDOW_UPDATE above what a window may be";
            let grown = self.outflow.add(i64::from(increment));
            grown.map_err(|()| Fault { code: Code::FLOW_CONTROL_ERROR, text })?;
            sink(Event::Room { stream: None });
            return Ok(());
        }
        if self.idle(head.stream) {
            return Err(protocol("WINDOW_UPDATE for a stream that is not open yet"));
        }
        // For a closed stream it is merely late.
        let Some(entry) = self.streams.get_mut(&head.stream) else {
            return self.guards.control().map_err(Fault::from);
        };
        if increment == 0 {
            return self.stream_error(head.stream, Code::PROTOCOL_ERROR, sink);
        }
        match entry.outflow.add(i64::from(increment)) {
            Ok(()) => {
                sink(Event::Room { stream: Some(head.stream) });
                Ok(())
            }
            Err(()) => self.stream_error(head.stream, Code::FLOW_CONTROL_ERROR, sink),
        }
    }

    pub(super) fn on_reset<'a>(
        &mut self,
        head: Head,
        payload: &[u8],
        sink: &mut dyn FnMut(Event<'a>),
    ) -> Result<(), Fault> {
        let (4, Some(code)) = (payload.len(), number(payload)) else {
            return Err(frame_size("a RST_STREAM that is not 4 bytes long"));
        };
        if head.stream == 0 || self.idle(head.stream) {
            return Err(protocol("RST_STREAM for a stream that is not open yet"));
        }
        let Some(entry) = self.streams.get(&head.stream) else {
            return self.guards.control().map_err(Fault::from);
        };
        if self.role == Role::Server && !entry.taken {
            self.guards.untaken()?;
        }
        self.remove(head.stream);
        sink(Event::Reset { stream: head.stream, code: Code(code), by: By::Peer });
        Ok(())
    }

    /// Priorities are obsolete (RFC 9113 section 5.3.2): only their form counts.
    pub(super) fn on_priority<'a>(
        &mut self,
        head: Head,
        payload: &[u8],
        sink: &mut dyn FnMut(Event<'a>),
    ) -> Result<(), Fault> {
        self.guards.control()?;
        if head.stream == 0 {
            return Err(protocol("PRIORITY without a stream"));
        }
        if payload.len() == 5 {
            return Ok(());
        }
        if self.idle(head.stream) {
            return Err(frame_size("a PRIORITY that is not 5 bytes long"));
        }
        self.stream_error(head.stream, Code::FRAME_SIZE_ERROR, sink)
    }
}

fn initial_window() -> Fault {
    let text = "a SETTINGS_INITIAL_WINDOW_SIZE above what a window may be";
    Fault { code: Code::FLOW_CONTROL_ERROR, text }
}
