//! A type that is only called a stream.

mod get {
    pub struct UpStream;

    pub fn handler() -> UpStream {
        UpStream
    }
}

static _EVENT: aaw_event::export::Entry<aaw_event::export::NoServices> =
    aaw_event::export::Entry::<aaw_event::export::NoServices>::stream0("get", crate::get::handler);

fn main() {}
