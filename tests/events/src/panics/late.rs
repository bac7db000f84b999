//! Panics after its first await point.

pub async fn handler() -> bool {
    tokio::task::yield_now().await;
    panic!("late, with a secret")
}
