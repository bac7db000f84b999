pub async fn handler() -> &'static str {
    "outside of the folder"
}
