//! An awaited stream's item without `Serialize`.

mod get {
    use aaw_event::prelude::*;

    pub struct Row;

    pub async fn handler(_: Empty) -> Result<impl Stream<Item = Row>> {
        Ok(stream! { yield Row; })
    }
}

static _EVENT: aaw_event::export::Entry<aaw_event::export::NoServices> =
    aaw_event::export::Entry::<aaw_event::export::NoServices>::async_stream1("get", crate::get::handler);

fn main() {}
