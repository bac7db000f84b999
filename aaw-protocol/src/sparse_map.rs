//! A map that is empty most of the time.

use std::hash::Hash;

use crate::fast_map::FastMap;

/// A hash map that occupies one pointer while it is empty, and frees its table when its last entry is removed.
///
/// Most connections are idle, and a hash map keeps the memory of its largest number of entries.
#[derive(Debug)]
pub struct SparseMap<K, V>(Option<Box<FastMap<K, V>>>);

impl<K, V> Default for SparseMap<K, V> {
    fn default() -> Self {
        Self(None)
    }
}

impl<K: Hash + Eq, V> SparseMap<K, V> {
    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |map| map.len())
    }

    /// Returns whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the value of this key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.0.as_ref()?.get(key)
    }

    /// Returns the value of this key, to change it.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.0.as_mut()?.get_mut(key)
    }

    /// Sets the value of a key, and returns the one that it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.0.get_or_insert_default().insert(key, value)
    }

    /// Removes a key, and returns its value.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let map = self.0.as_mut()?;
        let value = map.remove(key);
        if map.is_empty() {
            self.0 = None;
        }
        value
    }

    /// Returns all entries, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().flat_map(|map| map.iter())
    }

    /// Returns all values, in no particular order.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().flat_map(|map| map.values())
    }

    /// Removes all entries, and returns their values in no particular order.
    pub fn into_values(self) -> impl Iterator<Item = V> {
        self.0.into_iter().flat_map(|map| map.into_values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_map_has_no_memory() {
        assert_eq!(size_of::<SparseMap<u64, [u64; 9]>>(), size_of::<usize>());
        let mut map = SparseMap::default();
        for key in 0..100 {
            assert_eq!(map.insert(key, key * 2), None);
        }
        assert_eq!((map.len(), map.get(&7)), (100, Some(&14)));
        assert_eq!(map.insert(7, 1), Some(14));
        assert_eq!((map.iter().count(), map.values().sum::<i32>()), (100, 99 * 100 - 14 + 1));
        for key in 0..100 {
            assert!(!map.is_empty() && map.remove(&key).is_some() && map.remove(&key).is_none());
        }
        assert!(map.0.is_none() && map.is_empty());
    }
}
