//! Responds with its body, after it has waited.

use std::time::Duration;

use aaw_event::{RawValue, Services};

use crate::_services::Wait;

pub async fn handler(body: Box<RawValue>, wait: Services<Wait>) -> Box<RawValue> {
    match *wait {
        Wait::Timer => tokio::time::sleep(Duration::ZERO).await,
        Wait::Yield => tokio::task::yield_now().await,
    }
    body
}
