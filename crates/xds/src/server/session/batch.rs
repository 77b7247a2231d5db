//! The content of one response, filled up to a length.

use bytes::Bytes;

use crate::server::Resource;

/// Bytes of framing for each element, at most.
const FRAMING: usize = 8;

/// Resources and removals of one response.
pub(super) struct Batch {
    resources: Vec<Bytes>,
    removed: Vec<String>,
    left: usize,
}

/// There is no room for another element.
pub(super) struct Full;

impl Batch {
    pub(super) fn new(longest: usize) -> Self {
        Self { resources: Vec::new(), removed: Vec::new(), left: longest }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.removed.is_empty()
    }

    pub(super) fn set(&mut self, resource: &Resource) -> Result<(), Full> {
        self.reserve(resource.encoded().len())?;
        self.resources.push(resource.encoded().clone());
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &str) -> Result<(), Full> {
        self.reserve(name.len())?;
        self.removed.push(name.to_owned());
        Ok(())
    }

    pub(super) fn into_parts(self) -> (Vec<Bytes>, Vec<String>) {
        (self.resources, self.removed)
    }

    /// The first element always fits, or it would never be sent.
    fn reserve(&mut self, length: usize) -> Result<(), Full> {
        let length = length + FRAMING;
        if length > self.left && !self.is_empty() {
            return Err(Full);
        }
        self.left = self.left.saturating_sub(length);
        Ok(())
    }
}
