//! Protobuf's framing: the fields of a message one by one, those that generated code would drop silently included.

use prost::encoding::{WireType, decode_key, decode_varint};

/// One field's content, as far as framing tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// Integers, booleans and enums.
    Number(u64),
    /// Texts, bytes, messages and packed lists.
    Bytes(&'a [u8]),
    /// 4 or 8 bytes of fixed width; no field of ours is.
    Fixed,
}

/// The framing is broken: what follows has no meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its bytes are not a protobuf message")]
pub(crate) struct Broken;

/// The fields of a message in the order of the wire. Ends after the first error.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self(message)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Broken> {
        let length = usize::try_from(length).map_err(|_| Broken)?;
        let (head, rest) = self.0.split_at_checked(length).ok_or(Broken)?;
        self.0 = rest;
        Ok(head)
    }

    fn read(&mut self) -> Result<(u32, Value<'a>), Broken> {
        let (number, wire) = decode_key(&mut self.0).map_err(|_| Broken)?;
        let value = match wire {
            WireType::Varint => Value::Number(decode_varint(&mut self.0).map_err(|_| Broken)?),
            WireType::LengthDelimited => {
                let length = decode_varint(&mut self.0).map_err(|_| Broken)?;
                Value::Bytes(self.take(length)?)
            }
            WireType::ThirtyTwoBit => self.take(4).map(|_| Value::Fixed)?,
            WireType::SixtyFourBit => self.take(8).map(|_| Value::Fixed)?,
            WireType::StartGroup | WireType::EndGroup => return Err(Broken),
        };
        Ok((number, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}
