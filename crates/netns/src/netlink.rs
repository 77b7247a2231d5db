//! How do we talk to the kernel over netlink, one request at a time?

mod attributes;
mod message;

pub(crate) use attributes::{Attributes, u16_at, u32_at};
pub(crate) use message::Message;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::{Socket, SocketAddr};

/// `NLM_F_REQUEST`
pub(crate) const REQUEST: u16 = 1;
/// `NLM_F_ACK`
pub(crate) const ACK: u16 = 4;
/// `NLM_F_DUMP`
pub(crate) const DUMP: u16 = 0x300;
/// `NLM_F_EXCL`
pub(crate) const EXCL: u16 = 0x200;
/// `NLM_F_CREATE`
pub(crate) const CREATE: u16 = 0x400;
/// `NLM_F_APPEND`
pub(crate) const APPEND: u16 = 0x800;
/// `NLM_F_DUMP_INTR`: the tables changed while they were dumped.
const DUMP_INTERRUPTED: u16 = 0x10;
/// `NLMSG_ERROR`, also the acknowledgement with error 0.
const ERROR: u16 = 2;
/// `NLMSG_DONE`
const DONE: u16 = 3;
/// Length of a netlink message header.
const HEADER: usize = 16;
/// The kernel's largest answer datagram is 32 KiB.
const RECEIVE: usize = 64 * 1024;
/// A dump that is interrupted this often in a row is given up.
const DUMP_ATTEMPTS: usize = 20;

/// The kernel's refusal.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The error number, as an error.
    pub source: io::Error,
    /// The kernel's own words about it, when it has any.
    pub reason: Option<String>,
}

impl Failure {
    /// The error number; 0 when the error is not the kernel's.
    pub(crate) fn errno(&self) -> i32 {
        self.source.raw_os_error().unwrap_or(0)
    }

    /// The error and the kernel's words in one line.
    pub(crate) fn text(&self) -> String {
        match &self.reason {
            Some(reason) => format!("{}: {reason}", self.source),
            None => self.source.to_string(),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(source: io::Error) -> Self {
        Self { source, reason: None }
    }
}

/// One message of the kernel.
pub(crate) struct Answer<'a> {
    pub kind: u16,
    pub sequence: u32,
    pub body: &'a [u8],
    flags: u16,
}

impl Answer<'_> {
    /// The outcome it reports: `Some(Ok)` for an acknowledgement, `Some(Err)` for a refusal.
    pub(crate) fn outcome(&self) -> Option<Result<(), Failure>> {
        if self.kind != ERROR {
            return None;
        }
        let Some(code) = u32_at(self.body, 0).map(|code| code as i32) else {
            return Some(Err(io::Error::from(io::ErrorKind::InvalidData).into()));
        };
        if code == 0 {
            return Some(Ok(()));
        }
        let source = io::Error::from_raw_os_error(code.wrapping_neg());
        Some(Err(Failure { source, reason: self.extended() }))
    }

    /// The text of an extended acknowledgement (`NLMSGERR_ATTR_MSG`).
    fn extended(&self) -> Option<String> {
        const TLVS: u16 = 0x200;
        const CAPPED: u16 = 0x100;
        if self.flags & TLVS == 0 {
            return None;
        }
        let echoed = u32_at(self.body, 4)? as usize;
        let start = 4 + if self.flags & CAPPED != 0 { HEADER } else { echoed.next_multiple_of(4) };
        let text = Attributes::new(self.body.get(start..)?).value(1)?;
        Some(String::from_utf8_lossy(text).trim_end_matches('\0').to_owned())
    }
}

/// A netlink socket. It stays bound to the network namespace it was opened in, whatever its thread does later.
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    /// Opens a socket of `protocol` (`NETLINK_ROUTE`, `NETLINK_NETFILTER`) in the current namespace.
    pub(crate) fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.set_ext_ack(true)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// The next sequence number.
    pub(crate) fn sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        self.sequence
    }

    /// Sends ready bytes.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let sent = self.socket.send_to(bytes, &SocketAddr::new(0, 0), 0)?;
        if sent == bytes.len() { Ok(()) } else { Err(io::Error::from(io::ErrorKind::WriteZero)) }
    }

    /// Receives one datagram and shows its messages; stops early at the first `Err`.
    pub(crate) fn receive(&self, mut each: impl FnMut(Answer<'_>)) -> io::Result<()> {
        let mut buffer = Vec::with_capacity(RECEIVE);
        self.socket.recv(&mut buffer, 0)?;
        let mut rest = buffer.as_slice();
        while rest.len() >= HEADER {
            let invalid = || io::Error::new(io::ErrorKind::InvalidData, "truncated netlink message");
            let length = u32_at(rest, 0).ok_or_else(invalid)? as usize;
            let body = rest.get(HEADER..length).ok_or_else(invalid)?;
            each(Answer {
                kind: u16_at(rest, 4).ok_or_else(invalid)?,
                flags: u16_at(rest, 6).ok_or_else(invalid)?,
                sequence: u32_at(rest, 8).ok_or_else(invalid)?,
                body,
            });
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(())
    }

    /// Sends one request and waits for its acknowledgement.
    pub(crate) fn request(
        &mut self,
        kind: u16,
        flags: u16,
        fill: impl FnOnce(&mut Message),
    ) -> Result<(), Failure> {
        let sequence = self.sequence();
        let mut message = Message::default();
        message.add(kind, REQUEST | ACK | flags, sequence, fill);
        self.send(message.bytes())?;
        let mut outcome = None;
        while outcome.is_none() {
            self.receive(|answer| {
                if answer.sequence == sequence {
                    outcome = outcome.take().or_else(|| answer.outcome());
                }
            })?;
        }
        outcome.unwrap_or(Ok(()))
    }

    /// Sends a dump request and parses every answer with `parse`; answers that it maps to `None` are left out.
    pub(crate) fn dump<T>(
        &mut self,
        kind: u16,
        fill: impl Fn(&mut Message),
        parse: impl Fn(u16, &[u8]) -> Option<T>,
    ) -> Result<Vec<T>, Failure> {
        for _ in 0..DUMP_ATTEMPTS {
            if let Some(items) = self.dump_once(kind, &fill, &parse)? {
                return Ok(items);
            }
        }
        Err(io::Error::new(io::ErrorKind::Interrupted, "the kernel's tables keep changing").into())
    }

    /// `None` when the tables changed meanwhile.
    fn dump_once<T>(
        &mut self,
        kind: u16,
        fill: &impl Fn(&mut Message),
        parse: &impl Fn(u16, &[u8]) -> Option<T>,
    ) -> Result<Option<Vec<T>>, Failure> {
        let sequence = self.sequence();
        let mut message = Message::default();
        message.add(kind, REQUEST | DUMP, sequence, fill);
        self.send(message.bytes())?;
        let (mut items, mut interrupted, mut end) = (Vec::new(), false, None);
        while end.is_none() {
            self.receive(|answer| {
                if answer.sequence != sequence {
                    return;
                }
                interrupted |= answer.flags & DUMP_INTERRUPTED != 0;
                match answer.kind {
                    DONE => end = Some(done(answer.body)),
                    ERROR => end = answer.outcome(),
                    kind => items.extend(parse(kind, answer.body)),
                }
            })?;
        }
        end.unwrap_or(Ok(()))?;
        Ok((!interrupted).then_some(items))
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The end of a dump carries its error, if any.
fn done(body: &[u8]) -> Result<(), Failure> {
    match u32_at(body, 0).map(|code| code as i32) {
        Some(code) if code < 0 => Err(io::Error::from_raw_os_error(code.wrapping_neg()).into()),
        _ => Ok(()),
    }
}
