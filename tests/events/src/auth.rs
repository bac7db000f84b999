//! An event with the name of the folder `auth/`. It lies outside of the folder, so it needs no session.

pub async fn handler() -> &'static str {
    "open"
}
