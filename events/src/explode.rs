//! Fails, in words that the caller reads.

use aaw_event::prelude::*;

pub async fn handler() -> Result<()> {
    Err(Error::new("Something went wrong"))
}
