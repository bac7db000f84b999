//! Is called like the folder, and needs none.

pub async fn handler() -> &'static str {
    "open"
}
