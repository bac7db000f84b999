//! Work that blocks, on a thread for such work.

/// Runs blocking work on a thread for it. A panic of the work is passed on.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Cancelled: the runtime is shutting down, and so is the task that waits here.
            Err(_) => std::future::pending().await,
        },
    }
}
