//! Several folders deep, with every kind of character that a name may contain.

pub async fn handler() -> &'static str {
    "deep/er/still/v1.2-x"
}
