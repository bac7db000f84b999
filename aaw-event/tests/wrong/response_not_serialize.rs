//! A response without `Serialize`.

mod get {
    use aaw_event::prelude::*;

    pub struct User;

    pub async fn handler() -> Result<User> {
        Ok(User)
    }
}

static _EVENT: aaw_event::export::HandlerEntry<aaw_event::export::NoServices> =
    aaw_event::export::HandlerEntry::<aaw_event::export::NoServices>::unary0("get", crate::get::handler);

fn main() {}
