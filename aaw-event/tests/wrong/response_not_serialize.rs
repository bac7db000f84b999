//! An answer that serde knows nothing of.

mod get {
    use aaw_event::prelude::*;

    pub struct User;

    pub async fn handler() -> Result<User> {
        Ok(User)
    }
}

static _EVENT: aaw_event::export::Entry<aaw_event::export::NoServices> =
    aaw_event::export::Entry::<aaw_event::export::NoServices>::answer0("get", crate::get::handler);

fn main() {}
