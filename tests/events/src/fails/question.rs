//! Fails with an error that `?` converts, whose text must not reach the caller.

use aaw_event::prelude::*;

pub async fn handler() -> Result<()> {
    Err(std::io::Error::other("the disk's secret"))?
}
