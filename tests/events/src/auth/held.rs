//! Never returns.

use aaw_event::prelude::*;

pub async fn handler(_: Empty) {
    std::future::pending::<()>().await;
}
