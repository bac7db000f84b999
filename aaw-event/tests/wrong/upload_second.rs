//! What the caller sends where the services belong.

mod get {
    use aaw_event::prelude::*;

    pub async fn handler(_: Empty, _: Upload<u32>) {}
}

static _EVENT: aaw_event::export::Entry<aaw_event::export::NoServices> =
    aaw_event::export::Entry::<aaw_event::export::NoServices>::answer2("get", crate::get::handler);

fn main() {}
