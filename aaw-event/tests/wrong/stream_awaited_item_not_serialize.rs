//! An item without `Serialize`, of a stream that an `async fn` returns.

mod get {
    use aaw_event::prelude::*;

    pub struct Row;

    pub async fn handler(_: Empty) -> Result<impl Stream<Item = Row>> {
        Ok(stream! { yield Row; })
    }
}

static _EVENT: aaw_event::export::HandlerEntry<aaw_event::export::NoServices> =
    aaw_event::export::HandlerEntry::<aaw_event::export::NoServices>::async_streaming1("get", crate::get::handler);

fn main() {}
