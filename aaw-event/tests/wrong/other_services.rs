//! Services of a type that the package does not build.

mod get {
    use aaw_event::prelude::*;

    pub struct Other;

    pub async fn handler(_: Empty, _: Services<Other>) {}
}

pub struct App;

static _EVENT: aaw_event::export::HandlerEntry<App> = aaw_event::export::HandlerEntry::<App>::unary2("get", crate::get::handler);

fn main() {}
