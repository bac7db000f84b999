//! Fails with an error that is logged. For a test of many at once, which would hide the lines of others.

use aaw_event::prelude::*;

pub async fn handler() -> Result<()> {
    Err(std::io::Error::other("one of many"))?
}
