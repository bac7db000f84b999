//! The events of the tests. What needs another event to go on waits at a gate (`gate/…`), so that no test waits for
//! time.

#![forbid(unsafe_code)]

aaw_event::events!();
