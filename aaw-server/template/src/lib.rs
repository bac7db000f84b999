//! Each file beside this one that has a `handler` is an event: `users/get.rs` is called as `users/get`.

aaw_event::events!();
