//! An `_open.rs` that takes the argument of a `_close.rs`.

mod get {
    use aaw_event::prelude::*;

    pub async fn handler(_: CloseInfo) {}
}

static _EVENT: aaw_event::export::HandlerEntry<aaw_event::export::NoServices> =
    aaw_event::export::HandlerEntry::<aaw_event::export::NoServices>::async_hook1(aaw_event::export::OPEN, crate::get::handler);

fn main() {}
