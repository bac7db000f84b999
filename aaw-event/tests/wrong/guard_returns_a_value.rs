//! A `_guard.rs` that returns a `bool` instead of a `Result`.

mod guard {
    use aaw_event::prelude::*;

    pub type Verdict = bool;

    pub async fn handler(_: GuardedCall) -> Verdict {
        true
    }
}

static _GUARD: aaw_event::export::HandlerEntry<aaw_event::export::NoServices> =
    aaw_event::export::HandlerEntry::<aaw_event::export::NoServices>::async_hook1(
        aaw_event::export::guard("users/_guard"),
        crate::guard::handler,
    );

fn main() {}
