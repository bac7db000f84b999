//! Panics before it waits for anything.

pub async fn handler() -> bool {
    panic!("at once, with a secret")
}
