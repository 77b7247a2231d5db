//! `traceparent` (W3C Trace Context): a trace and a span for each carried connection, so that both ends' logs join.

use std::fmt::{self, Write};

use http::HeaderValue;

/// A trace and a span of it. Neither id is ever zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace: u128,
    span: u64,
    sampled: bool,
}

/// `00-`, 32 digits, `-`, 16 digits, `-`, 2 digits.
const LENGTH: usize = 55;

impl TraceParent {
    /// A fresh trace with a fresh span, not sampled.
    pub fn random() -> Self {
        Self { trace: rand::random::<u128>().max(1), span: rand::random::<u64>().max(1), sampled: false }
    }

    /// A fresh span of the same trace.
    pub fn child(self) -> Self {
        Self { span: rand::random::<u64>().max(1), ..self }
    }

    /// The trace id, never 0.
    pub fn trace(self) -> u128 {
        self.trace
    }

    /// The span id, never 0.
    pub fn span(self) -> u64 {
        self.span
    }

    /// Whether the caller recorded the trace.
    pub fn sampled(self) -> bool {
        self.sampled
    }

    /// The header's value, version 00.
    pub fn encode(self) -> Option<HeaderValue> {
        HeaderValue::from_bytes(&self.text()).ok()
    }

    fn text(self) -> [u8; LENGTH] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write_digits(&mut text[3..35], self.trace);
        write_digits(&mut text[36..52], self.span.into());
        write_digits(&mut text[53..55], self.sampled.into());
        text
    }

    /// Reads a peer's header; `None` for anything that is not valid. A version above 00 is read as far as 00 goes
    /// (section 3.2.4).
    pub fn decode(value: &HeaderValue) -> Option<Self> {
        let bytes = value.as_bytes();
        let version = bytes.get(..2)?;
        let exact = bytes.len() == LENGTH || (version != b"00" && bytes.get(LENGTH) == Some(&b'-'));
        let dashes = [2, 35, 52].iter().all(|&place| bytes.get(place) == Some(&b'-'));
        if !exact || !dashes || version == b"ff" {
            return None;
        }
        digits(version)?;
        let trace = digits(&bytes[3..35])?;
        let span = u64::try_from(digits(&bytes[36..52])?).ok()?;
        let flags = digits(&bytes[53..55])?;
        (trace != 0 && span != 0).then_some(Self { trace, span, sampled: flags & 1 == 1 })
    }
}

/// Lower-case hexadecimal digits only, as the specification has it.
fn digits(bytes: &[u8]) -> Option<u128> {
    bytes.iter().try_fold(0, |sum, &byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(sum << 4 | u128::from(digit))
    })
}

/// The lowest digits of `value` that there is place for, in lower-case hexadecimal.
fn write_digits(place: &mut [u8], mut value: u128) {
    for byte in place.iter_mut().rev() {
        *byte = b"0123456789abcdef"[(value & 0xf) as usize];
        value >>= 4;
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text().into_iter().try_for_each(|byte| f.write_char(byte.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(text: &str) -> Option<TraceParent> {
        TraceParent::decode(&HeaderValue::try_from(text).unwrap())
    }

    #[test]
    fn reads_the_example_of_the_specification() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent = decode(text).unwrap();
        assert_eq!(parent.trace(), 0x4bf92f3577b34da6a3ce929d0e0e4736);
        assert_eq!(parent.span(), 0x00f067aa0ba902b7);
        assert!(parent.sampled());
        assert_eq!(parent.to_string(), text);
        assert_eq!(decode(&text.replacen("00", "cc", 1)), Some(parent));
        assert_eq!(decode(&(text.replacen("00", "cc", 1) + "-more")), Some(parent));
    }

    #[test]
    fn refuses_what_is_not_valid() {
        for text in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "0g-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more",
        ] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }

    #[test]
    fn random_ones_differ_and_read_back() {
        let parent = TraceParent::random();
        assert_ne!(parent, TraceParent::random());
        assert_eq!(TraceParent::decode(&parent.encode().unwrap()), Some(parent));
        let child = parent.child();
        assert!(child.trace() == parent.trace() && child.span() != parent.span());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let _ = TraceParent::decode(&value);
            }
        }

        #[test]
        fn near_misses_never_panic(text in "[0-9a-fg]{2}-[0-9a-f]{31,33}-[0-9a-f]{15,17}-[0-9a-f]{1,3}-?") {
            if let Some(parent) = decode(&text) {
                prop_assert!(parent.trace() != 0 && parent.span() != 0);
            }
        }
    }
}
