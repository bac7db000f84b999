//! The events of the tests. A handler that depends on another event waits at a gate (`gate/…`), so that no test has to
//! sleep.

#![forbid(unsafe_code)]

aaw_event::events!();
