//! Does not look at its body.

pub async fn handler() -> bool {
    true
}
