//! A stream that is not `Send`.

mod get {
    use std::rc::Rc;

    use aaw_event::prelude::*;

    pub fn handler() -> impl Stream<Item = u32> {
        stream! {
            let count = Rc::new(1);
            yield *count;
            yield *count + 1;
        }
    }
}

static _EVENT: aaw_event::export::HandlerEntry<aaw_event::export::NoServices> =
    aaw_event::export::HandlerEntry::<aaw_event::export::NoServices>::streaming0("get", crate::get::handler);

fn main() {}
