use aaw_event::prelude::*;

pub async fn handler() -> &'static str {
    "beside the folder"
}
