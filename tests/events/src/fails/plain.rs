//! Fails. One-way.

use aaw_event::prelude::*;

pub fn handler() -> Result<()> {
    Err(Error::new("a plain event failed"))
}
