//! Fails with what `?` converts: nothing that a caller is told.

use aaw_event::prelude::*;

pub async fn handler() -> Result<()> {
    Err(std::io::Error::other("the disk's secret"))?
}
