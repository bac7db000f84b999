//! The event `chat`: what a language model answers, a token at a time, as its API sends it.

#![forbid(unsafe_code)]

aaw_event::events!();
