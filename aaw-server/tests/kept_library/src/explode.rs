pub async fn handler() {
    panic!("boom")
}
