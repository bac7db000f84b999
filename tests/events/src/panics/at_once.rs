//! Panics before its first await point.

pub async fn handler() -> bool {
    panic!("at once, with a secret")
}
