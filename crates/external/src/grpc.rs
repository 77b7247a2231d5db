//! One message each way, as gRPC frames it (gRPC over HTTP/2, "Length-Prefixed-Message").

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

/// Bytes before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// Why an answer is not one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotOne {
    /// There is none, or not all of it.
    #[error("the answer ends before its message does")]
    Short,
    /// There is more than one.
    #[error("the answer has bytes after its message")]
    Long,
    /// It was not asked to be.
    #[error("the answer is compressed, which was not offered")]
    Compressed,
}

/// A message in its frame.
pub fn frame(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut framed = BytesMut::with_capacity(PREFIX + length);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // The buffer grows where it must: encoding cannot fail.
    message.encode_raw(&mut framed);
    framed.freeze()
}

/// The one message of an answer.
///
/// # Errors
/// There is not exactly one, uncompressed.
pub fn unframe(answer: &[u8]) -> Result<&[u8], NotOne> {
    let (prefix, message) = answer.split_first_chunk::<PREFIX>().ok_or(NotOne::Short)?;
    let [compressed, length @ ..] = *prefix;
    let length = u32::from_be_bytes(length) as usize;
    match message.len().cmp(&length) {
        _ if compressed != 0 => Err(NotOne::Compressed),
        std::cmp::Ordering::Less => Err(NotOne::Short),
        std::cmp::Ordering::Greater => Err(NotOne::Long),
        std::cmp::Ordering::Equal => Ok(message),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_framed_message_comes_back(text: String) {
            prop_assert_eq!(unframe(&frame(&text)).map(<[u8]>::to_vec), Ok(text.encode_to_vec()));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for (answer, why) in [
            (&[][..], NotOne::Short),
            (&[0, 0, 0, 0], NotOne::Short),
            (&[0, 0, 0, 0, 2, 1], NotOne::Short),
            (&[0, 0, 0, 0, 0, 1], NotOne::Long),
            (&[1, 0, 0, 0, 0], NotOne::Compressed),
        ] {
            assert_eq!(unframe(answer), Err(why), "{answer:?}");
        }
    }
}
