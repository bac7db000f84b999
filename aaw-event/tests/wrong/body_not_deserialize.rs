//! A body that serde knows nothing of.

mod get {
    pub struct Body;

    pub async fn handler(_: Body) {}
}

static _EVENT: aaw_event::export::Entry<aaw_event::export::NoServices> =
    aaw_event::export::Entry::<aaw_event::export::NoServices>::answer1("get", crate::get::handler);

fn main() {}
