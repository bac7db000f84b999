//! Connection hooks that greet each client and count the connections, and a stream of that count.

#![forbid(unsafe_code)]

aaw_event::events!();
