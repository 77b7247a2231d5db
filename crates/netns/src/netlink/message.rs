//! How are netlink messages and nested attributes written?

/// `NLA_F_NESTED`
const NESTED: u16 = 0x8000;

/// A growing buffer of netlink messages; lengths are filled in when a message or a nest closes.
#[derive(Debug, Default)]
pub(crate) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// Everything written so far.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Appends one message: header, then what `fill` writes.
    pub(crate) fn add(&mut self, kind: u16, flags: u16, sequence: u32, fill: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        self.bytes.extend_from_slice(&sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        fill(self);
        let length = (self.bytes.len() - start) as u32;
        self.patch(start, &length.to_ne_bytes());
        self.pad();
    }

    /// Overwrites the flags of the message that starts at `start`.
    pub(crate) fn set_flags(&mut self, start: usize, flags: u16) {
        self.patch(start + 6, &flags.to_ne_bytes());
    }

    /// Appends bytes as they are, for the fixed part behind the header.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.pad();
    }

    /// An attribute with these bytes.
    pub(crate) fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.bytes.extend_from_slice(&(4 + value.len() as u16).to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.pad();
    }

    /// A number in host order, as rtnetlink wants it.
    pub(crate) fn number(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_ne_bytes());
    }

    /// A number in network order, as nf_tables wants it.
    pub(crate) fn network(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_be_bytes());
    }

    /// A text with its final NUL.
    pub(crate) fn text(&mut self, kind: u16, value: &str) {
        let mut bytes = Vec::with_capacity(value.len() + 1);
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(0);
        self.attribute(kind, &bytes);
    }

    /// An attribute that holds attributes.
    pub(crate) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        fill(self);
        let length = (self.bytes.len() - start) as u16;
        self.patch(start, &length.to_ne_bytes());
    }

    fn patch(&mut self, at: usize, value: &[u8]) {
        for (target, byte) in self.bytes.iter_mut().skip(at).zip(value) {
            *target = *byte;
        }
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}
