//! Panics after it has waited.

pub async fn handler() -> bool {
    tokio::task::yield_now().await;
    panic!("late, with a secret")
}
