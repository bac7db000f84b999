pub async fn handler() -> u8 {
    42
}
