//! A stream that cannot go to another thread.

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

static _EVENT: aaw_event::export::Entry<aaw_event::export::NoServices> =
    aaw_event::export::Entry::<aaw_event::export::NoServices>::stream0("get", crate::get::handler);

fn main() {}
