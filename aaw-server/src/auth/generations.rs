//! A bounded map that forgets the entries that were not used lately.

use std::collections::HashMap;

/// A bounded map in two generations, by the hashes of the keys. When the young generation is full, it takes the place of the
/// old one; an entry of the old one moves to the young one when it is used. So an entry stays as long as it is used again
/// before `size` others are added, and there are at most twice as many.
///
/// A full generation first drops the entries that say nothing (`is_needed`), so that making many of them does not push out
/// those that say something.
#[derive(Debug)]
pub(super) struct Generations<V> {
    size: usize,
    is_needed: fn(&V) -> bool,
    young: HashMap<u64, V>,
    old: HashMap<u64, V>,
}

impl<V> Generations<V> {
    /// Creates a map of generations of this size. An entry that is not needed may be dropped whenever a generation is full.
    pub(super) fn new(size: usize, is_needed: fn(&V) -> bool) -> Self {
        Self { size, is_needed, young: HashMap::new(), old: HashMap::new() }
    }

    /// Returns an entry without using it.
    pub(super) fn peek(&self, key: u64) -> Option<&V> {
        self.young.get(&key).or_else(|| self.old.get(&key))
    }

    /// Uses an entry, and adds it if it is missing.
    pub(super) fn get_or_insert_with(&mut self, key: u64, new: impl FnOnce() -> V) -> &mut V {
        if !self.young.contains_key(&key) {
            // Before there is place for it: the old generation, which may have it, may be dropped for that.
            let value = self.old.remove(&key).unwrap_or_else(new);
            self.make_place();
            return self.young.entry(key).or_insert(value);
        }
        self.young.get_mut(&key).expect("the young generation has the key")
    }

    fn make_place(&mut self) {
        if self.young.len() < self.size {
            return;
        }
        let is_needed = self.is_needed;
        self.young.retain(|_, value| is_needed(value));
        // With little space, the next entries would search the generation again.
        if self.young.len() > self.size / 2 {
            self.old = std::mem::take(&mut self.young);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_in_use_stay_and_their_number_is_bounded() {
        let mut map = Generations::new(10, |_| true);
        *map.get_or_insert_with(1000, || 0) = 7;
        for n in 0..100 {
            map.get_or_insert_with(n, || 0);
            if n % 9 == 0 {
                assert_eq!(*map.get_or_insert_with(1000, || 0), 7, "after {n}");
            }
            assert!(map.len() <= 20);
        }
        assert_eq!(map.peek(0), None);
        assert_eq!(map.peek(99), Some(&0));
    }

    #[test]
    fn an_entry_of_the_old_generation_stays_if_it_is_used_when_the_young_one_is_full() {
        let mut map = Generations::new(2, |_| true);
        *map.get_or_insert_with(1, || 0) = 7;
        for n in 2..=4 {
            map.get_or_insert_with(n, || 0);
        }
        assert_eq!(*map.get_or_insert_with(1, || 0), 7);
    }

    #[test]
    fn entries_that_are_not_needed_push_out_none_that_are() {
        let mut map = Generations::new(10, |value| *value > 0);
        map.get_or_insert_with(1000, || 7);
        for n in 0..100 {
            map.get_or_insert_with(n, || 0);
        }
        assert_eq!(map.peek(1000), Some(&7));
        assert!(map.len() <= 10);
    }
}
