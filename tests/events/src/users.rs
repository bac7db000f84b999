//! Beside a folder of its name.

pub async fn handler() -> &'static str {
    "users"
}
