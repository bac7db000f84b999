//! Fails with an error message for the caller.

use aaw_event::prelude::*;

pub async fn handler() -> Result<()> {
    Err(Error::new("Something went wrong"))
}
