use std::time::Duration;

pub async fn handler(ms: u64) -> &'static str {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    tokio::spawn(async { "waited" }).await.unwrap_or("the task panicked")
}
