//! Blocks its thread for good.

pub async fn handler() -> bool {
    loop {
        std::thread::park();
    }
}
