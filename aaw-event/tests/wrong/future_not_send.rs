//! Something that stays on its thread, held over an `.await`.

mod get {
    pub async fn handler() -> u8 {
        let kept = std::rc::Rc::new(1);
        std::future::ready(()).await;
        *kept
    }
}

static _EVENT: aaw_event::export::Entry<aaw_event::export::NoServices> =
    aaw_event::export::Entry::<aaw_event::export::NoServices>::answer0("get", crate::get::handler);

fn main() {}
