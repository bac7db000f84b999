//! A body without `Deserialize`.

mod get {
    pub struct Body;

    pub async fn handler(_: Body) {}
}

static _EVENT: aaw_event::export::HandlerEntry<aaw_event::export::NoServices> =
    aaw_event::export::HandlerEntry::<aaw_event::export::NoServices>::unary1("get", crate::get::handler);

fn main() {}
