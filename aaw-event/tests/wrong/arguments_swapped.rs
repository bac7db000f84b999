//! Services before the body.

mod get {
    use aaw_event::prelude::*;

    pub async fn handler(_: Services, _: Value) {}
}

static _EVENT: aaw_event::export::HandlerEntry<aaw_event::export::NoServices> =
    aaw_event::export::HandlerEntry::<aaw_event::export::NoServices>::unary2("get", crate::get::handler);

fn main() {}
