pub async fn handler() -> &'static str {
    "beside the folder"
}
