//! A value that is not `Send`, held across an `.await`.

mod get {
    pub async fn handler() -> u8 {
        let kept = std::rc::Rc::new(1);
        std::future::ready(()).await;
        *kept
    }
}

static _EVENT: aaw_event::export::HandlerEntry<aaw_event::export::NoServices> =
    aaw_event::export::HandlerEntry::<aaw_event::export::NoServices>::unary0("get", crate::get::handler);

fn main() {}
