//! Takes no body.

pub async fn handler() -> bool {
    true
}
