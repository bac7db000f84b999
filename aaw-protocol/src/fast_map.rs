//! Hash maps whose keys are numbers that this process or the order of the protocol chooses.

use std::collections::HashMap;

/// A hash map without std's strong hash, which costs as much as all the rest of an access. The peer cannot choose keys that
/// collide: they are counted up, or made here.
pub(crate) type FastMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
