//! A `_guard.rs` that takes a body instead of a `GuardedCall`.

mod guard {
    use aaw_event::prelude::*;

    pub async fn handler(_: Value, _: Services) -> Result<()> {
        Ok(())
    }
}

static _GUARD: aaw_event::export::HandlerEntry<aaw_event::export::NoServices> =
    aaw_event::export::HandlerEntry::<aaw_event::export::NoServices>::async_hook2(
        aaw_event::export::guard("users/_guard"),
        crate::guard::handler,
    );

fn main() {}
