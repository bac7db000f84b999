//! The event `subdir/nested`: folders are part of the name.

use aaw_event::prelude::*;

pub async fn handler() -> Value {
    json!({ "nested": true })
}
