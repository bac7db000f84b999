//! A type whose name ends with `Stream`, but which is not one.

mod get {
    pub struct UpStream;

    pub fn handler() -> UpStream {
        UpStream
    }
}

static _EVENT: aaw_event::export::HandlerEntry<aaw_event::export::NoServices> =
    aaw_event::export::HandlerEntry::<aaw_event::export::NoServices>::streaming0("get", crate::get::handler);

fn main() {}
