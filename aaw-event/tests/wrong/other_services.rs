//! Services that this package does not have.

mod get {
    use aaw_event::prelude::*;

    pub struct Other;

    pub async fn handler(_: Empty, _: Services<Other>) {}
}

pub struct App;

static _EVENT: aaw_event::export::Entry<App> = aaw_event::export::Entry::<App>::answer2("get", crate::get::handler);

fn main() {}
