//! Values that are stored under keys which the store chooses, and which are not used twice.

/// Values under keys that are chosen here, each of which names one value ever.
///
/// A [`slab::Slab`] whose keys have a serial number, so that the key of a value that was removed does not find the next one in
/// its place. Inserting, finding and removing a value is an access to a vector, without a hash. The memory is that of the
/// largest number of values; [`free_if_empty`](Self::free_if_empty) returns it.
#[derive(Debug)]
pub struct Slab<T> {
    entries: slab::Slab<Entry<T>>,
    serial: u32,
}

/// Names a value in a [`Slab`]. Its serial number returns after 2³² values, so a key must not be kept for as long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlabKey {
    index: u32,
    serial: u32,
}

#[derive(Debug)]
struct Entry<T> {
    serial: u32,
    value: T,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self::after(0)
    }
}

impl<T> Slab<T> {
    /// Creates a slab whose keys differ from all those of one whose last [serial number](Self::serial) was this one.
    pub fn after(serial: u32) -> Self {
        Self { entries: slab::Slab::new(), serial }
    }

    /// Returns the serial number of the last key.
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// Returns the number of values.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the number of values that there is memory for.
    pub fn capacity(&self) -> usize {
        self.entries.capacity()
    }

    /// Stores a value, and returns its key.
    ///
    /// # Panics
    /// If there are 2³² values.
    pub fn insert(&mut self, value: T) -> SlabKey {
        self.serial = self.serial.wrapping_add(1);
        let serial = self.serial;
        let index = self.entries.insert(Entry { serial, value });
        SlabKey { index: u32::try_from(index).expect("the memory ends before"), serial }
    }

    /// Returns a value.
    pub fn get(&self, key: SlabKey) -> Option<&T> {
        let entry = self.entries.get(key.index as usize)?;
        (entry.serial == key.serial).then_some(&entry.value)
    }

    /// Returns a value, to change it.
    pub fn get_mut(&mut self, key: SlabKey) -> Option<&mut T> {
        let entry = self.entries.get_mut(key.index as usize)?;
        (entry.serial == key.serial).then_some(&mut entry.value)
    }

    /// Removes a value.
    pub fn remove(&mut self, key: SlabKey) -> Option<T> {
        self.get(key)?;
        Some(self.entries.remove(key.index as usize).value)
    }

    /// Returns all values with their keys, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (SlabKey, &T)> {
        // An index fits, since `insert` has returned it.
        self.entries.iter().map(|(index, entry)| (SlabKey { index: index as u32, serial: entry.serial }, &entry.value))
    }

    /// Returns all values, to change them, in no particular order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.entries.iter_mut().map(|(_, entry)| &mut entry.value)
    }

    /// Removes all values and returns them, in no particular order.
    pub fn drain(&mut self) -> impl Iterator<Item = T> + use<T> {
        std::mem::take(&mut self.entries).into_iter().map(|(_, entry)| entry.value)
    }

    /// Frees the memory if there are no values. The keys that were returned so far still name nothing else.
    pub fn free_if_empty(&mut self) {
        if self.is_empty() {
            self.entries = slab::Slab::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_slab_can_be_freed_and_knows_its_old_keys() {
        let mut slab = Slab::default();
        let keys: Vec<_> = (0..100).map(|value| slab.insert(value)).collect();
        slab.free_if_empty();
        assert_eq!(slab.len(), 100);
        for (value, key) in (0..).zip(&keys) {
            assert_eq!((slab.remove(*key), slab.remove(*key)), (Some(value), None));
        }
        slab.free_if_empty();
        assert_eq!(slab.capacity(), 0);
        slab.insert(7);
        assert!(keys.iter().all(|key| slab.get(*key).is_none() && slab.get_mut(*key).is_none()));
        assert_eq!((slab.drain().collect::<Vec<_>>(), slab.len(), slab.drain().count()), (vec![7], 0, 0));
    }

    #[test]
    fn a_place_is_used_again() {
        let mut slab = Slab::default();
        for round in 0..1000 {
            let keys = [slab.insert(round), slab.insert(round + 1)];
            assert_eq!(keys.map(|key| slab.remove(key)), [Some(round), Some(round + 1)]);
        }
        assert!(slab.capacity() <= 4, "{}", slab.capacity());
    }

    proptest! {
        /// A map behaves the same.
        #[test]
        fn a_key_names_its_value_only(operations in prop::collection::vec(any::<Option<usize>>(), 1..200)) {
            let (mut slab, mut model, mut removed) = (Slab::default(), BTreeMap::new(), Vec::new());
            for (value, operation) in (0..).zip(operations) {
                match operation {
                    Some(nth) if !model.is_empty() => {
                        let key = *model.keys().nth(nth % model.len()).expect("a key");
                        prop_assert_eq!(slab.remove(key), model.remove(&key));
                        removed.push(key);
                    }
                    _ => {
                        let key = slab.insert(value);
                        prop_assert_eq!(model.insert(key, value), None);
                    }
                }
                slab.free_if_empty();
                prop_assert_eq!(slab.iter().map(|(key, value)| (key, *value)).collect::<BTreeMap<_, _>>(), model.clone());
                prop_assert_eq!(slab.len(), model.len());
                prop_assert!(removed.iter().all(|key| slab.get(*key).is_none()));
            }
        }
    }
}
