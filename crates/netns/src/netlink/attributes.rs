//! How are netlink attributes read, without trusting a length?

/// The two-byte number at `offset`, in host order.
pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..offset.checked_add(2)?)?.try_into().ok().map(u16::from_ne_bytes)
}

/// The four-byte number at `offset`, in host order.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..offset.checked_add(4)?)?.try_into().ok().map(u32::from_ne_bytes)
}

/// The attributes in a block of bytes: kind without flag bits, and value. Ends at the first malformed one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The first attribute of this kind.
    pub(crate) fn value(self, kind: u16) -> Option<&'a [u8]> {
        self.into_iter().find(|(k, _)| *k == kind).map(|(_, value)| value)
    }

    /// A number in host order.
    pub(crate) fn number(self, kind: u16) -> Option<u32> {
        u32_at(self.value(kind)?, 0)
    }

    /// A number in network order.
    pub(crate) fn network(self, kind: u16) -> Option<u32> {
        self.number(kind).map(u32::from_be)
    }

    /// A text without its final NUL.
    pub(crate) fn text(self, kind: u16) -> Option<String> {
        let bytes = self.value(kind)?;
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        Some(String::from_utf8_lossy(bytes.get(..end)?).into_owned())
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        const FLAGS: u16 = 0xc000;
        let length = usize::from(u16_at(self.rest, 0)?);
        let kind = u16_at(self.rest, 2)? & !FLAGS;
        let value = self.rest.get(4..length)?;
        self.rest = self.rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;
    use crate::netlink::Message;

    #[test]
    fn what_is_written_is_read() {
        let mut message = Message::default();
        message.number(1, 7);
        message.network(2, 8);
        message.text(3, "abc");
        message.nest(4, |inner| inner.attribute(1, &[1, 2, 3]));
        let attributes = Attributes::new(message.bytes());
        assert_eq!(attributes.number(1), Some(7));
        assert_eq!(attributes.network(2), Some(8));
        assert_eq!(attributes.text(3).as_deref(), Some("abc"));
        assert_eq!(attributes.value(4).map(Attributes::new).and_then(|a| a.value(1)), Some(&[1u8, 2, 3][..]));
        assert_eq!(attributes.value(5), None);
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let count = Attributes::new(&bytes).count();
            assert!(count <= bytes.len() / 4 + 1);
        }
    }
}
