//! A third argument that is not an `Upload`.

mod get {
    use aaw_event::prelude::*;

    pub fn handler(_: Empty, _: Services, _: Value) -> impl Stream<Item = u8> {
        stream! { yield 1; }
    }
}

static _EVENT: aaw_event::export::HandlerEntry<aaw_event::export::NoServices> =
    aaw_event::export::HandlerEntry::<aaw_event::export::NoServices>::streaming3("get", crate::get::handler);

fn main() {}
