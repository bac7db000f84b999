//! A `Result` that is not aaw_event's.

mod get {
    pub async fn handler() -> std::io::Result<u8> {
        Ok(1)
    }
}

static _EVENT: aaw_event::export::HandlerEntry<aaw_event::export::NoServices> =
    aaw_event::export::HandlerEntry::<aaw_event::export::NoServices>::unary0("get", crate::get::handler);

fn main() {}
