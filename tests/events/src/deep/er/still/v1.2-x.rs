//! Far down, with all that a name may hold.

pub async fn handler() -> &'static str {
    "deep/er/still/v1.2-x"
}
