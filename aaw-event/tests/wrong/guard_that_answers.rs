//! A `_guard.rs` that says yes or no instead of failing.

mod guard {
    use aaw_event::prelude::*;

    pub type Verdict = bool;

    pub async fn handler(_: GuardedCall) -> Verdict {
        true
    }
}

static _GUARD: aaw_event::export::Entry<aaw_event::export::NoServices> =
    aaw_event::export::Entry::<aaw_event::export::NoServices>::async_hook1(
        aaw_event::export::guard("users/_guard"),
        crate::guard::handler,
    );

fn main() {}
