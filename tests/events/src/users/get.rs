//! An event in a folder.

pub async fn handler() -> &'static str {
    "users/get"
}
