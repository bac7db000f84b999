//! The event `chat`: the answer of a language model, token by token, as its API sends it.

#![forbid(unsafe_code)]

aaw_event::events!();
