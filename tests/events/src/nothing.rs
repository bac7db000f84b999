//! Returns nothing, which is `null`.

pub async fn handler() {}
