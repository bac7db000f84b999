//! Blocks its thread for some milliseconds.

use std::time::Duration;

pub async fn handler(ms: u64) -> bool {
    std::thread::sleep(Duration::from_millis(ms));
    true
}
