//! A `_back.rs` that takes the argument of an `_away.rs`.

mod get {
    use aaw_event::prelude::*;

    pub async fn handler(_: AwayInfo) {}
}

static _EVENT: aaw_event::export::HandlerEntry<aaw_event::export::NoServices> =
    aaw_event::export::HandlerEntry::<aaw_event::export::NoServices>::async_hook1(aaw_event::export::BACK, crate::get::handler);

fn main() {}
