//! A queue whose values can also be removed from the middle.

use std::collections::VecDeque;

/// A queue whose values can be removed by key. Keys ascend.
///
/// Lookup is a binary search. A removal leaves an empty place, and the places are compacted when more than half are empty, so
/// that it takes logarithmic time on average.
#[derive(Debug)]
pub(crate) struct SortedQueue<K, V> {
    /// The first one is not empty.
    places: VecDeque<(K, Option<V>)>,
    empty: usize,
}

impl<K, V> Default for SortedQueue<K, V> {
    fn default() -> Self {
        Self { places: VecDeque::new(), empty: 0 }
    }
}

impl<K: Ord, V> SortedQueue<K, V> {
    /// The capacity that is kept when there are fewer values.
    const KEPT: usize = 256;

    /// Appends a value, whose key is larger than all others.
    pub(crate) fn push(&mut self, key: K, value: V) {
        debug_assert!(self.places.back().is_none_or(|(last, _)| *last < key), "the keys ascend");
        self.places.push_back((key, Some(value)));
    }

    /// Returns the number of values.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.empty
    }

    pub(crate) fn first(&self) -> Option<&V> {
        self.places.front()?.1.as_ref()
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.places[self.position(key)?].1.as_ref()
    }

    pub(crate) fn pop(&mut self) -> Option<V> {
        let value = self.places.pop_front()?.1;
        self.remove_empty();
        value
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.position(key)?;
        let value = self.places[at].1.take()?;
        self.empty += 1;
        self.remove_empty();
        Some(value)
    }

    fn position(&self, key: &K) -> Option<usize> {
        self.places.binary_search_by(|(other, _)| other.cmp(key)).ok()
    }

    fn remove_empty(&mut self) {
        while let Some((_, None)) = self.places.front() {
            self.places.pop_front();
            self.empty -= 1;
        }
        if self.empty > self.places.len() / 2 {
            self.places.retain(|(_, value)| value.is_some());
            self.empty = 0;
        }
        if self.places.capacity() > Self::KEPT.max(8 * self.places.len()) {
            self.places.shrink_to(Self::KEPT.max(2 * self.places.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_queue_keeps_little() {
        let mut queue = SortedQueue::default();
        (0..10_000).for_each(|key| queue.push(key, ()));
        (0..10_000).rev().for_each(|key| assert_eq!(queue.remove(&key), Some(())));
        assert!(queue.places.is_empty() && queue.places.capacity() <= 2 * SortedQueue::<u32, ()>::KEPT);
    }

    proptest! {
        /// A map behaves the same.
        #[test]
        fn values_leave_in_order_or_by_key(operations in prop::collection::vec(0..40_u32, 1..300)) {
            let (mut queue, mut model) = (SortedQueue::default(), BTreeMap::new());
            for (key, operation) in (0_u32..).zip(operations) {
                match operation {
                    0..16 => {
                        queue.push(key, key * 2);
                        model.insert(key, key * 2);
                    }
                    16..20 => prop_assert_eq!(queue.pop(), model.pop_first().map(|(_, value)| value)),
                    // Keys that are present, were removed, or never existed.
                    back => {
                        let key = key.saturating_sub(back - 20);
                        prop_assert_eq!(queue.get(&key), model.get(&key));
                        prop_assert_eq!(queue.remove(&key), model.remove(&key));
                    }
                }
                prop_assert_eq!(queue.first(), model.first_key_value().map(|(_, value)| value));
                prop_assert!(queue.places.len() <= 2 * model.len(), "{} places", queue.places.len());
            }
        }
    }
}
