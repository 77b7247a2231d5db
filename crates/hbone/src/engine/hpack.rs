//! Header blocks (RFC 7541): decoding whatever a peer may send, encoding without state.

mod huffman;
mod integer;
mod predefined;
mod table;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use table::Table;

/// Size of the dynamic table before any SETTINGS says otherwise, in bytes (RFC 9113 section 6.5.2).
pub(crate) const DEFAULT_TABLE: usize = 4096;
/// What a field counts beyond its octets, in a table and in a header list (RFC 7541 section 4.1, RFC 9113 section 6.5.2).
const FIELD_OVERHEAD: usize = 32;

/// A header block that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// The table is out of step with the peer's: a connection error (COMPRESSION_ERROR).
    #[error("the header block is not HPACK ({0}): the connection cannot go on")]
    Compression(&'static str),
    /// More than the accepted bytes. The table has followed to the end of the block, so the connection can go on.
    #[error("the header list is above the {0} bytes that are accepted: send fewer or shorter fields")]
    TooLarge(usize),
}

/// The state of one connection's receiving direction.
///
/// It holds at most the table's bytes and 64 bytes an entry. One block costs time and scratch memory in proportion to its
/// own length, whatever it refers to; bounding that length is for the caller.
#[derive(Debug)]
pub(crate) struct Decoder {
    table: Table,
    /// What the peer may set its table to.
    limit: usize,
    /// The peer has acknowledged less than its table has, so its next block must begin by shrinking to this or less.
    shrink_to: Option<usize>,
}

impl Decoder {
    /// `max_table` is the SETTINGS_HEADER_TABLE_SIZE in force, in bytes: [`DEFAULT_TABLE`] until the peer has
    /// acknowledged another.
    pub(crate) fn new(max_table: usize) -> Self {
        Self { table: Table::new(max_table.min(DEFAULT_TABLE)), limit: max_table, shrink_to: None }
    }

    /// The peer has acknowledged a SETTINGS_HEADER_TABLE_SIZE of so many bytes.
    pub(crate) fn set_max_table(&mut self, max_table: usize) {
        self.limit = max_table;
        if max_table < self.table.capacity() {
            self.shrink_to = Some(self.shrink_to.map_or(max_table, |earlier| earlier.min(max_table)));
        }
    }

    /// Decodes a whole block (HEADERS and its CONTINUATIONs) and emits each field's name and value, as they came and
    /// in order, until the list passes `max_list` bytes (name, value and 32 for each field).
    ///
    /// # Errors
    /// See [`Error`]. Fields before the fault have been emitted; a compression error anywhere in the block prevails.
    pub(crate) fn decode(
        &mut self,
        block: &[u8],
        max_list: usize,
        emit: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), Error> {
        let (mut name_space, mut value_space) = (Vec::new(), Vec::new());
        let mut list = List { left: Some(max_list), emit };
        let mut rest = self.resize(block)?;
        while let Some(&first) = rest.first() {
            if first & 0x80 != 0 {
                let (index, after) = integer::decode(rest, 7)?;
                let (name, value) = self.table.field(index)?;
                list.take(name, value);
                rest = after;
                continue;
            }
            let (prefix, insert) = match first >> 5 {
                1 => return Err(Error::Compression("a table size update behind a field")),
                0 => (4, false),
                _ => (6, true),
            };
            let (index, after) = integer::decode(rest, prefix)?;
            let (name, after) = match index {
                0 => string(after, &mut name_space).map(|(name, after)| (Name::Literal(name), after))?,
                index => (Name::Known(self.table.name(index)?), after),
            };
            let (value, after) = string(after, &mut value_space)?;
            list.take(name.octets(), value);
            if insert {
                self.table.insert(name.octets().len(), value, || name.shared());
            }
            rest = after;
        }
        list.left.map(drop).ok_or(Error::TooLarge(max_list))
    }

    /// Follows the table size updates that the block begins with; gives what comes behind.
    fn resize<'a>(&mut self, block: &'a [u8]) -> Result<&'a [u8], Error> {
        let mut rest = block;
        while let Some(first) = rest.first()
            && first >> 5 == 1
        {
            let (size, after) = integer::decode(rest, 5)?;
            let most = self.shrink_to.unwrap_or(self.limit);
            if size > most {
                return Err(Error::Compression("a table above its acknowledged size"));
            }
            self.shrink_to = None;
            self.table.set_capacity(size);
            rest = after;
        }
        // RFC 9113 section 4.3.1.
        if self.shrink_to.is_some() {
            return Err(Error::Compression("no table size update after its reduction"));
        }
        Ok(rest)
    }
}

/// What may still be emitted; nothing more once a field did not fit.
struct List<'a> {
    left: Option<usize>,
    emit: &'a mut dyn FnMut(&[u8], &[u8]),
}

impl List<'_> {
    fn take(&mut self, name: &[u8], value: &[u8]) {
        let size = name.len() + value.len() + FIELD_OVERHEAD;
        self.left = self.left.and_then(|left| left.checked_sub(size));
        if self.left.is_some() {
            (self.emit)(name, value);
        }
    }
}

/// A literal's name. One that is known is shared, not copied: two octets would otherwise copy a table's worth.
enum Name<'a> {
    Known(Bytes),
    Literal(&'a [u8]),
}

impl Name<'_> {
    fn octets(&self) -> &[u8] {
        match self {
            Self::Known(name) => name,
            Self::Literal(name) => name,
        }
    }

    fn shared(&self) -> Bytes {
        match self {
            Self::Known(name) => name.clone(),
            Self::Literal(name) => Bytes::copy_from_slice(name),
        }
    }
}

/// A string literal (RFC 7541 section 5.2) and what follows it.
fn string<'a: 's, 's>(input: &'a [u8], space: &'s mut Vec<u8>) -> Result<(&'s [u8], &'a [u8]), Error> {
    let huffman = input.first().is_some_and(|first| first & 0x80 != 0);
    let (length, input) = integer::decode(input, 7)?;
    let Some((octets, rest)) = input.split_at_checked(length) else {
        return Err(Error::Compression("a string beyond the end of the block"));
    };
    if !huffman {
        return Ok((octets, rest));
    }
    space.clear();
    huffman::decode(octets, space)?;
    Ok((space, rest))
}

/// Appends a field: by index when the static table has it, else as a literal without indexing (RFC 7541 section 6.2.2).
///
/// Nothing enters the peer's table, so no stream's block depends on another's. Huffman coding is left out: it would
/// take 95 bytes off the 341 of a typical CONNECT's values, which fit one packet either way.
pub(crate) fn encode(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let index = match predefined::find(name, value) {
        predefined::Found::Field(index) => return integer::encode(out, 0x80, 7, index),
        predefined::Found::Name(index) => index,
        predefined::Found::Nothing => 0,
    };
    integer::encode(out, 0, 4, index);
    let literal: &[&[u8]] = if index == 0 { &[name, value] } else { &[value] };
    for octets in literal {
        integer::encode(out, 0, 7, octets.len());
        out.extend_from_slice(octets);
    }
}

/// Appends a dynamic table size update, which the first block must begin with after the peer's SETTINGS have lowered the
/// size (RFC 9113 section 4.3.1). [`encode`] needs no table, so 0 is always right.
pub(crate) fn encode_size_update(out: &mut Vec<u8>, size: usize) {
    integer::encode(out, 0x20, 5, size);
}
