//! Each file in this folder that defines a `handler` is an event. Its path is the name: `users/get.rs` is `users/get`.

aaw_event::events!();
