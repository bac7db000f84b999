//! A stream item without `Serialize`.

mod get {
    use aaw_event::prelude::*;

    pub struct Row;

    pub fn handler() -> impl Stream<Item = Result<Row>> {
        try_stream! { yield Row; }
    }
}

static _EVENT: aaw_event::export::HandlerEntry<aaw_event::export::NoServices> =
    aaw_event::export::HandlerEntry::<aaw_event::export::NoServices>::streaming0("get", crate::get::handler);

fn main() {}
