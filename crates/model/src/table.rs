//! A map that is cheap to clone and cheap to change after a clone: sharded, copy on write.
//!
//! A snapshot is replaced, never edited, while readers hold the old one. Cloning a flat map of 100,000 entries for
//! every change would cost milliseconds; here a change copies one shard of [`SHARDS`], and a clone copies one pointer.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// Number of shards. 64 keeps a shard of 100,000 entries near 1,600.
pub const SHARDS: usize = 64;

type Shard<K, V> = HashMap<K, V, FixedState>;
type Shards<K, V> = Arc<[Arc<Shard<K, V>>]>;

/// A copy-on-write hash map.
#[derive(Debug)]
pub struct Table<K, V> {
    shards: Option<Shards<K, V>>,
    length: usize,
}

impl<K, V> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        Self { shards: self.shards.clone(), length: self.length }
    }
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { shards: None, length: 0 }
    }
}

// One fixed hasher picks the shard and the slot; the shard uses the high bits, the slot the low ones. Keys are names
// from an authenticated controller, so flooding by chosen collisions is not a threat that a random seed would answer.
const HASHER: FixedState = FixedState::with_seed(0x616d_6269_7400_0001);

fn shard_of<Q: Hash + ?Sized>(key: &Q) -> usize {
    (HASHER.hash_one(key) >> 40) as usize % SHARDS
}

impl<K: Hash + Eq + Clone, V: Clone> Table<K, V> {
    /// The value of a key.
    pub fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.shards.as_ref()?.get(shard_of(key))?.get(key)
    }

    /// The value of a key, to be changed: an absent key copies nothing, a present one its shard if that is shared.
    pub fn get_mut<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.get(key)?;
        self.shard_mut(shard_of(key)).get_mut(key)
    }

    /// Sets a key, returning what it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let index = shard_of(&key);
        let old = self.shard_mut(index).insert(key, value);
        self.length += usize::from(old.is_none());
        old
    }

    /// Removes a key, returning what it had. Removing an absent key copies nothing.
    pub fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.get(key)?;
        let old = self.shard_mut(shard_of(key)).remove(key);
        self.length -= usize::from(old.is_some());
        old
    }

    /// The entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.shards.iter().flat_map(|shards| shards.iter()).flat_map(|shard| shard.iter())
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    fn shard_mut(&mut self, index: usize) -> &mut Shard<K, V> {
        let shards = self.shards.get_or_insert_with(|| {
            let empty = Arc::new(Shard::with_hasher(HASHER));
            std::iter::repeat_n(empty, SHARDS).collect()
        });
        Arc::make_mut(&mut Arc::make_mut(shards)[index])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap as Reference;

    #[test]
    fn a_clone_keeps_what_it_had() {
        let mut table = Table::default();
        table.insert("a", 1);
        let old = table.clone();
        table.insert("a", 2);
        table.insert("b", 3);
        assert_eq!((old.get("a"), old.get("b"), old.len()), (Some(&1), None, 1));
        assert_eq!((table.get("a"), table.get("b"), table.len()), (Some(&2), Some(&3), 2));
    }

    proptest! {
        #[test]
        fn behaves_like_a_map(operations in proptest::collection::vec((0u8..40, proptest::option::of(0u8..9)), 0..200)) {
            let (mut table, mut reference) = (Table::default(), Reference::new());
            for (key, value) in operations {
                prop_assert_eq!(table.get_mut(&key), reference.get_mut(&key));
                match value {
                    Some(value) => prop_assert_eq!(table.insert(key, value), reference.insert(key, value)),
                    None => prop_assert_eq!(table.remove(&key), reference.remove(&key)),
                }
                prop_assert_eq!(table.len(), reference.len());
            }
            prop_assert_eq!(table.iter().map(|(k, v)| (*k, *v)).collect::<Reference<_, _>>(), reference);
        }
    }
}
