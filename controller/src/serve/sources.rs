//! How many connections one address may have on which nobody has proven anything.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

/// Unproven connections that one address may have. A node has two or three, for the moment until its first call.
pub(super) const MOST: usize = 256;

/// The addresses that have any. Clones count together.
#[derive(Debug, Clone, Default)]
pub(super) struct Sources(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One unproven connection; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    sources: Sources,
    address: IpAddr,
}

impl Sources {
    /// A place for one more connection of an address, unless it has too many.
    pub(super) fn take(&self, address: IpAddr) -> Option<Place> {
        let mut counts = self.0.lock();
        let count = counts.entry(address).or_default();
        if *count >= MOST {
            return None;
        }
        *count += 1;
        Some(Place { sources: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.sources.0.lock();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_places_and_gets_them_back() {
        let sources = Sources::default();
        let (one, other) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let mut places: Vec<Place> = std::iter::from_fn(|| sources.take(one)).collect();
        assert_eq!(places.len(), MOST);
        assert!(sources.take(other).is_some());
        places.pop();
        assert!(sources.take(one).is_some());
        places.clear();
        assert!(sources.0.lock().is_empty());
    }
}
