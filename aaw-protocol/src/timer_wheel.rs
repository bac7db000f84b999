//! Deadlines of many calls, nearly all of which end before their deadline.

use std::time::{Duration, Instant};

use slab::Slab;

/// The bits of the number of a slot within its level.
const BITS: u32 = 4;
const SLOTS: usize = 1 << BITS;
const LEVELS: usize = 8;
/// How far ahead, in ticks, a deadline can be placed: 46 days. A later one is placed there, and placed again then.
const MAX_AHEAD: u64 = (SLOTS as u64 - 1) << (BITS * (LEVELS as u32 - 1));

/// Deadlines, each with the key of what it belongs to.
///
/// This is a hierarchical timer wheel (Varghese and Lauck, *Hashed and Hierarchical Timing Wheels*, 1987). Inserting and
/// removing a deadline takes constant time, however many there are, and allocates only when there are more deadlines than
/// ever before. A deadline is moved at most once for each level, and once more for each 46 days that it lies ahead.
///
/// Deadlines are rounded up to milliseconds. They pass in their order, those of one millisecond in any order.
///
/// A wheel occupies about 600 bytes, and each deadline 32 bytes plus its key. An empty wheel keeps memory for at most 1024
/// deadlines.
#[derive(Debug)]
pub(crate) struct TimerWheel<K> {
    /// The time of tick 0: when the first of the present deadlines was inserted. `None` before.
    origin: Option<Instant>,
    /// No slot has a deadline of this tick, or an earlier one.
    elapsed: u64,
    /// For each level, a bit for each slot that is not empty.
    occupied: [u16; LEVELS],
    slots: [[List; SLOTS]; LEVELS],
    /// The expired deadlines and were not taken.
    expired: List,
    /// The crate's slab, not [`crate::slab::Slab`]: the lists link nodes by their index.
    nodes: Slab<Node<K>>,
    serial: u32,
}

/// Names a deadline of a [`TimerWheel`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeadlineKey {
    index: u32,
    serial: u32,
}

/// The first node of a list, or [`NONE`].
type List = u32;

const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Node<K> {
    key: K,
    tick: u64,
    serial: u32,
    /// The level and the slot of its list; [`EXPIRED`] in that of the expired deadlines.
    place: (u8, u8),
    previous: u32,
    next: u32,
}

const EXPIRED: (u8, u8) = (u8::MAX, 0);

impl<K> Default for TimerWheel<K> {
    fn default() -> Self {
        Self {
            origin: None,
            elapsed: 0,
            occupied: [0; LEVELS],
            slots: [[NONE; SLOTS]; LEVELS],
            expired: NONE,
            nodes: Slab::new(),
            serial: 0,
        }
    }
}

impl<K> TimerWheel<K> {
    /// The deadlines whose memory is kept when there are none.
    const KEPT: usize = 1024;

    /// Returns the number of deadlines that were neither removed nor [taken](Self::poll_expired).
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Returns whether there are no deadlines.
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Inserts a deadline. One that has passed already passes within a millisecond.
    ///
    /// # Panics
    /// If there are 2³² − 1 deadlines.
    pub(crate) fn insert(&mut self, now: Instant, at: Instant, key: K) -> DeadlineKey {
        if self.is_empty() {
            (self.origin, self.elapsed) = (Some(now), 0);
        }
        self.serial = self.serial.wrapping_add(1);
        let serial = self.serial;
        let node = Node { key, tick: self.tick_after(at), serial, place: EXPIRED, previous: NONE, next: NONE };
        let index = u32::try_from(self.nodes.insert(node)).ok().filter(|index| *index != NONE);
        let index = index.expect("the memory ends before");
        self.place(index);
        DeadlineKey { index, serial }
    }

    /// Removes a deadline. Returns its key, or `None` if it was removed or taken before.
    pub(crate) fn remove(&mut self, deadline: DeadlineKey) -> Option<K> {
        let node = self.nodes.get(deadline.index as usize)?;
        (node.serial == deadline.serial).then(|| self.remove_node(deadline.index))
    }

    /// Returns when to call [`poll_expired`](Self::poll_expired) next, or `None` if there are no deadlines. It is never later
    /// than the first deadline, and may be earlier: a distant deadline is approached in steps.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let tick = if self.expired == NONE { self.first_slot()?.2 } else { self.elapsed };
        Some(crate::clock::after(self.origin?, Duration::from_millis(tick)))
    }

    /// Takes the next deadline that has passed, and returns its key. To be called until it returns `None`.
    pub(crate) fn poll_expired(&mut self, now: Instant) -> Option<K> {
        let now = now.saturating_duration_since(self.origin?).as_millis().min(u64::MAX.into()) as u64;
        loop {
            if self.expired != NONE {
                return Some(self.remove_node(self.expired));
            }
            match self.first_slot() {
                Some((level, slot, tick)) if tick <= now => {
                    self.elapsed = self.elapsed.max(tick);
                    self.cascade(level, slot);
                }
                _ => {
                    self.elapsed = self.elapsed.max(now);
                    return None;
                }
            }
        }
    }

    /// Returns the slot whose deadlines pass first, and its first tick.
    fn first_slot(&self) -> Option<(usize, usize, u64)> {
        // All slots of a level precede those of the next.
        let level = self.occupied.iter().position(|slots| *slots != 0)?;
        let shift = BITS * level as u32;
        let position = (self.elapsed >> shift) as u32 % SLOTS as u32;
        let distance = self.occupied[level].rotate_right(position).trailing_zeros();
        let slot = (position + distance) as usize % SLOTS;
        Some((level, slot, ((self.elapsed >> shift) + u64::from(distance)) << shift))
    }

    /// Places the deadlines of a slot again. Its first tick has come.
    fn cascade(&mut self, level: usize, slot: usize) {
        let first = std::mem::replace(&mut self.slots[level][slot], NONE);
        self.occupied[level] &= !(1 << slot);
        let mut index = first;
        loop {
            let next = self.nodes[index as usize].next;
            self.place(index);
            index = next;
            if index == first {
                return;
            }
        }
    }

    /// Appends a node, which is in no list, to that of its deadline.
    fn place(&mut self, index: u32) {
        let tick = self.nodes[index as usize].tick;
        let place = if tick <= self.elapsed {
            EXPIRED
        } else {
            let tick = tick.min(self.elapsed + MAX_AHEAD);
            // The highest digit in which the two differ.
            let level = ((u64::BITS - 1 - (tick ^ self.elapsed).leading_zeros()) / BITS).min(LEVELS as u32 - 1);
            let slot = (tick >> (BITS * level)) % SLOTS as u64;
            self.occupied[level as usize] |= 1 << slot;
            (level as u8, slot as u8)
        };
        let first = *self.list(place);
        let (previous, next) = if first == NONE {
            *self.list(place) = index;
            (index, index)
        } else {
            let last = std::mem::replace(&mut self.nodes[first as usize].previous, index);
            self.nodes[last as usize].next = index;
            (last, first)
        };
        let node = &mut self.nodes[index as usize];
        (node.place, node.previous, node.next) = (place, previous, next);
    }

    /// Removes a node, and returns its key.
    fn remove_node(&mut self, index: u32) -> K {
        let Node { key, place, previous, next, .. } = self.nodes.remove(index as usize);
        if next == index {
            *self.list(place) = NONE;
            if place != EXPIRED {
                self.occupied[usize::from(place.0)] &= !(1 << place.1);
            }
            if self.is_empty() && self.nodes.capacity() > Self::KEPT {
                self.nodes = Slab::new();
            }
            return key;
        }
        self.nodes[previous as usize].next = next;
        self.nodes[next as usize].previous = previous;
        if *self.list(place) == index {
            *self.list(place) = next;
        }
        key
    }

    fn list(&mut self, place: (u8, u8)) -> &mut List {
        match place {
            EXPIRED => &mut self.expired,
            (level, slot) => &mut self.slots[usize::from(level)][usize::from(slot)],
        }
    }

    /// Returns the first tick that does not begin before `at`.
    fn tick_after(&self, at: Instant) -> u64 {
        let Some(origin) = self.origin else { return 0 };
        at.saturating_duration_since(origin).as_nanos().div_ceil(1_000_000).min(u64::MAX.into()) as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_deadline_passes_at_its_time_and_not_before() {
        let start = Instant::now();
        for after in [0, 1, 15, 16, 17, 255, 256, 3_000, 60_000, 86_400_000, 1 << 32, 40_000_000_000] {
            let mut wheel = TimerWheel::default();
            let at = start + MS * 7 + Duration::from_millis(after);
            wheel.insert(start, at, after);
            let mut polls = 0;
            let passed_at = loop {
                let next = wheel.poll_timeout().unwrap();
                assert!(next <= at, "after {after} ms: {:?} late", next - at);
                polls += 1;
                if let Some(key) = wheel.poll_expired(next) {
                    assert_eq!(key, after);
                    break next;
                }
            };
            assert_eq!(passed_at, at, "after {after} ms");
            // One for each level, and for each time that it is too far ahead.
            assert!(polls <= 10 + after / MAX_AHEAD, "after {after} ms: {polls} polls");
            assert!(wheel.is_empty() && wheel.poll_timeout().is_none());
        }
    }

    #[test]
    fn deadlines_are_rounded_up() {
        let start = Instant::now();
        let mut wheel = TimerWheel::default();
        wheel.insert(start, start + Duration::from_micros(1500), ());
        assert_eq!(wheel.poll_timeout(), Some(start + 2 * MS));
        assert!(wheel.poll_expired(start + Duration::from_micros(1999)).is_none());
        assert!(wheel.poll_expired(start + 2 * MS).is_some());
    }

    #[test]
    fn a_key_is_of_one_deadline_only() {
        let now = Instant::now();
        let mut wheel = TimerWheel::default();
        let first = wheel.insert(now, now + MS, 1);
        assert_eq!((wheel.remove(first), wheel.remove(first)), (Some(1), None));
        let second = wheel.insert(now, now + MS, 2);
        assert_eq!((wheel.remove(first), wheel.len()), (None, 1));
        assert_eq!((wheel.poll_expired(now + MS), wheel.remove(second)), (Some(2), None));
    }

    #[test]
    fn the_memory_of_removed_deadlines_is_used_again() {
        let now = Instant::now();
        let mut wheel = TimerWheel::default();
        for round in 0..1000 {
            let keys: Vec<_> = (0..32).map(|key| wheel.insert(now, now + MS * (round + 3000), key)).collect();
            keys.into_iter().for_each(|key| assert!(wheel.remove(key).is_some()));
            assert!(wheel.poll_expired(now + MS * round).is_none());
        }
        assert!(wheel.nodes.capacity() <= 64, "{}", wheel.nodes.capacity());
        let keys: Vec<_> = (0..10_000).map(|key| wheel.insert(now, now + MS, key)).collect();
        keys.into_iter().for_each(|key| assert!(wheel.remove(key).is_some()));
        assert_eq!(wheel.nodes.capacity(), 0);
        wheel.insert(now, now + MS, 7);
        assert_eq!(wheel.poll_expired(now + MS), Some(7));
        assert!(size_of::<TimerWheel<u64>>() <= 600, "{} bytes", size_of::<TimerWheel<u64>>());
    }

    #[derive(Debug, Clone)]
    enum Operation {
        Insert {
            after_us: u64,
        },
        Remove {
            nth: usize,
        },
        Advance {
            us: u64,
        },
        /// To the time that the wheel asks for.
        AdvanceToNext,
    }

    fn operation() -> impl Strategy<Value = Operation> {
        let time = || prop_oneof![4 => 0..50_000_u64, 4 => 0..10_000_000_u64, 1 => 0..1_u64 << 55];
        prop_oneof![
            6 => time().prop_map(|after_us| Operation::Insert { after_us }),
            3 => any::<usize>().prop_map(|nth| Operation::Remove { nth }),
            2 => time().prop_map(|us| Operation::Advance { us }),
            4 => Just(Operation::AdvanceToNext),
        ]
    }

    proptest! {
        /// A sorted list behaves the same.
        #[test]
        fn each_deadline_passes_once_and_in_order(operations in prop::collection::vec(operation(), 1..200)) {
            let start = Instant::now();
            let (mut now, mut origin) = (start, start);
            let mut wheel = TimerWheel::default();
            let mut model: Vec<(Instant, u32, DeadlineKey)> = Vec::new();
            for (key, operation) in (0..).zip(operations) {
                match operation {
                    Operation::Insert { after_us } => {
                        let at = now + Duration::from_micros(after_us);
                        if model.is_empty() {
                            origin = now;
                        }
                        let rounded = (at - origin).as_micros().div_ceil(1000) as u64;
                        model.push((origin + Duration::from_millis(rounded), key, wheel.insert(now, at, key)));
                    }
                    Operation::Remove { nth } if !model.is_empty() => {
                        let (_, key, deadline) = model.swap_remove(nth % model.len());
                        prop_assert_eq!(wheel.remove(deadline), Some(key));
                    }
                    Operation::Remove { .. } => {}
                    Operation::Advance { us } => now += Duration::from_micros(us),
                    Operation::AdvanceToNext => now = wheel.poll_timeout().unwrap_or(now).max(now),
                }
                let first = model.iter().map(|(at, ..)| *at).min();
                prop_assert_eq!(wheel.poll_timeout().is_some(), first.is_some());
                prop_assert!(wheel.poll_timeout() <= first.map(|first| first.max(now)));
                let mut last = start;
                while let Some(key) = wheel.poll_expired(now) {
                    let at = model.iter().position(|(_, other, _)| *other == key);
                    prop_assert!(at.is_some(), "a deadline passed twice, or after it was removed");
                    let (at, ..) = model.swap_remove(at.unwrap_or_default());
                    prop_assert!(at <= now && at >= last);
                    last = at;
                }
                prop_assert!(model.iter().all(|(at, ..)| *at > now));
                prop_assert_eq!(wheel.len(), model.len());
            }
        }
    }
}
