//! The index space: the static table, then what the peer has added (RFC 7541 section 2.3).

use std::collections::VecDeque;

use bytes::Bytes;

use super::predefined::FIELDS;
use super::{Error, FIELD_OVERHEAD};

/// The dynamic table, youngest entry first.
#[derive(Debug)]
pub(super) struct Table {
    entries: VecDeque<(Bytes, Bytes)>,
    size: usize,
    capacity: usize,
}

impl Table {
    pub(super) fn new(capacity: usize) -> Self {
        Self { entries: VecDeque::new(), size: 0, capacity }
    }

    /// The size that entries are evicted for, in bytes.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
        self.evict(capacity);
    }

    pub(super) fn field(&self, index: usize) -> Result<(&[u8], &[u8]), Error> {
        if let Some((name, value)) = predefined(index) {
            return Ok((name.as_bytes(), value.as_bytes()));
        }
        self.dynamic(index).map(|(name, value)| (&name[..], &value[..]))
    }

    pub(super) fn name(&self, index: usize) -> Result<Bytes, Error> {
        match predefined(index) {
            Some((name, _)) => Ok(Bytes::from_static(name.as_bytes())),
            None => self.dynamic(index).map(|(name, _)| name.clone()),
        }
    }

    fn dynamic(&self, index: usize) -> Result<&(Bytes, Bytes), Error> {
        let entry = index.checked_sub(FIELDS.len() + 1).and_then(|at| self.entries.get(at));
        entry.ok_or(Error::Compression("an index outside the table"))
    }

    /// Adds an entry; the name is asked for only when it fits. One that is larger than the table empties it
    /// (RFC 7541 section 4.4).
    pub(super) fn insert(&mut self, name_length: usize, value: &[u8], name: impl FnOnce() -> Bytes) {
        let size = name_length + value.len() + FIELD_OVERHEAD;
        match self.capacity.checked_sub(size) {
            Some(others) => {
                self.evict(others);
                self.size += size;
                self.entries.push_front((name(), Bytes::copy_from_slice(value)));
            }
            None => self.evict(0),
        }
    }

    /// Drops the oldest entries until at most `left` bytes are left.
    fn evict(&mut self, left: usize) {
        while self.size > left
            && let Some((name, value)) = self.entries.pop_back()
        {
            self.size -= name.len() + value.len() + FIELD_OVERHEAD;
        }
    }

    #[cfg(test)]
    pub(super) fn entries(&self) -> impl ExactSizeIterator<Item = &(Bytes, Bytes)> {
        self.entries.iter()
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.size
    }
}

fn predefined(index: usize) -> Option<&'static (&'static str, &'static str)> {
    FIELDS.get(index.checked_sub(1)?)
}
