//! An upload item without `Deserialize`.

mod get {
    use aaw_event::prelude::*;

    pub struct Row;

    pub async fn handler(_: Empty, _: Services, _: Upload<Row>) {}
}

static _EVENT: aaw_event::export::HandlerEntry<aaw_event::export::NoServices> =
    aaw_event::export::HandlerEntry::<aaw_event::export::NoServices>::unary3("get", crate::get::handler);

fn main() {}
