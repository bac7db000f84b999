//! An event with the name of the folder `users/`.

pub async fn handler() -> &'static str {
    "users"
}
