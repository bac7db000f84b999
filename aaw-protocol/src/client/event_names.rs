//! The names of the events that a client calls.

use std::collections::HashSet;
use std::sync::Arc;

use crate::name::MAX_NAME_LEN;

/// The names of the events of calls, as JSON, so that a call of an event that was called before has a reference to its name.
#[derive(Debug, Default)]
pub(super) struct EventNames(HashSet<Arc<str>, foldhash::fast::RandomState>);

impl EventNames {
    /// The most names that are kept. Few programs call as many events; one that makes names up starts again.
    const MAX: usize = 256;

    /// Returns the name of an event.
    pub(super) fn get(&mut self, event_json: &str) -> Arc<str> {
        if let Some(name) = self.0.get(event_json) {
            return Arc::clone(name);
        }
        let name: Arc<str> = event_json.into();
        // No event has a longer name, so a call of it fails. The quotes count.
        if name.len() <= MAX_NAME_LEN + 2 {
            if self.0.len() == Self::MAX {
                self.0.clear();
            }
            self.0.insert(Arc::clone(&name));
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_unless_there_are_too_many_or_it_is_too_long() {
        let mut names = EventNames::default();
        let name = names.get("\"echo\"");
        assert!(Arc::ptr_eq(&name, &names.get("\"echo\"")));
        for number in 0..1000 {
            assert_eq!(&*names.get(&number.to_string()), number.to_string());
            assert!(names.0.len() <= EventNames::MAX);
        }
        let long = "x".repeat(MAX_NAME_LEN + 3);
        assert!(!Arc::ptr_eq(&names.get(&long), &names.get(&long)));
    }
}
