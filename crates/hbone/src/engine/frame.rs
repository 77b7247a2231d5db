//! Frames as numbers and heads (RFC 9113 sections 4 and 6).

use std::fmt;

/// What a client says first (RFC 9113 section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of a frame's head.
pub(super) const HEAD: usize = 9;
/// The largest window and the largest stream number.
pub(super) const LARGEST: u32 = (1 << 31) - 1;
/// A window before any SETTINGS or WINDOW_UPDATE.
pub(super) const FIRST_WINDOW: u32 = 65_535;
/// A frame's largest payload before any SETTINGS.
pub(super) const FIRST_FRAME: u32 = 16_384;

pub(super) mod kind {
    //! Frame types.
    pub(in crate::engine) const DATA: u8 = 0;
    pub(in crate::engine) const HEADERS: u8 = 1;
    pub(in crate::engine) const PRIORITY: u8 = 2;
    pub(in crate::engine) const RST_STREAM: u8 = 3;
    pub(in crate::engine) const SETTINGS: u8 = 4;
    pub(in crate::engine) const PUSH_PROMISE: u8 = 5;
    pub(in crate::engine) const PING: u8 = 6;
    pub(in crate::engine) const GOAWAY: u8 = 7;
    pub(in crate::engine) const WINDOW_UPDATE: u8 = 8;
    pub(in crate::engine) const CONTINUATION: u8 = 9;
}

pub(super) mod flag {
    //! Flags of frames.
    pub(in crate::engine) const ACK: u8 = 1;
    pub(in crate::engine) const END_STREAM: u8 = 1;
    pub(in crate::engine) const END_HEADERS: u8 = 4;
    pub(in crate::engine) const PADDED: u8 = 8;
    pub(in crate::engine) const PRIORITY: u8 = 0x20;
}

pub(super) mod setting {
    //! Parameters of SETTINGS.
    pub(in crate::engine) const HEADER_TABLE_SIZE: u16 = 1;
    pub(in crate::engine) const ENABLE_PUSH: u16 = 2;
    pub(in crate::engine) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(in crate::engine) const INITIAL_WINDOW_SIZE: u16 = 4;
    pub(in crate::engine) const MAX_FRAME_SIZE: u16 = 5;
    pub(in crate::engine) const MAX_HEADER_LIST_SIZE: u16 = 6;
    /// Ours, from the range for experiments (RFC 9113 section 11.3 keeps that of RFC 7540): a server that says 1 takes
    /// DATA before it has answered a CONNECT, as much as the windows allow.
    pub(in crate::engine) const EARLY_BYTES: u16 = 0xf0b1;
}

/// An error code of RST_STREAM and GOAWAY (RFC 9113 section 7).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code(pub(crate) u32);

impl Code {
    pub(crate) const NO_ERROR: Self = Self(0);
    pub(crate) const PROTOCOL_ERROR: Self = Self(1);
    pub(crate) const FLOW_CONTROL_ERROR: Self = Self(3);
    pub(crate) const STREAM_CLOSED: Self = Self(5);
    pub(crate) const FRAME_SIZE_ERROR: Self = Self(6);
    pub(crate) const REFUSED_STREAM: Self = Self(7);
    pub(crate) const CANCEL: Self = Self(8);
    pub(crate) const COMPRESSION_ERROR: Self = Self(9);
    pub(crate) const ENHANCE_YOUR_CALM: Self = Self(11);
}

const NAMES: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.get(self.0 as usize) {
            Some(name) => f.write_str(name),
            None => write!(f, "error code {}", self.0),
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A frame's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) length: u32,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Head {
    pub(super) fn read(bytes: [u8; HEAD]) -> Self {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = bytes;
        Self {
            length: u32::from_be_bytes([0, l0, l1, l2]),
            kind,
            flags,
            // The first bit is reserved and ignored.
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & LARGEST,
        }
    }

    pub(super) fn bytes(self) -> [u8; HEAD] {
        let [_, l0, l1, l2] = self.length.to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        [l0, l1, l2, self.kind, self.flags, s0, s1, s2, s3]
    }

    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Appends a whole frame. Payloads longer than a frame can be are the caller's to split.
pub(super) fn append(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&Head { length, kind, flags, stream }.bytes());
    out.extend_from_slice(payload);
}

/// The 31-bit number at the start of a payload.
pub(super) fn number(payload: &[u8]) -> Option<u32> {
    payload.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_written() {
        let head = Head { length: 0x01_02_03, kind: 9, flags: 0x25, stream: LARGEST };
        assert_eq!(Head::read(head.bytes()), head);
        let reserved = [0, 0, 0, 0, 0, 0x80, 0, 0, 7];
        assert_eq!(Head::read(reserved).stream, 7);
    }

    #[test]
    fn codes_have_their_names() {
        assert_eq!(Code::ENHANCE_YOUR_CALM.to_string(), "ENHANCE_YOUR_CALM");
        assert_eq!(Code::CANCEL.to_string(), "CANCEL");
        assert_eq!(Code(14).to_string(), "error code 14");
    }
}
