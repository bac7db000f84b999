//! What the handlers agree on.

use std::time::Duration;

use aaw_event::prelude::*;

/// The room that everybody is in.
pub const EVERYBODY: &str = "everybody";

/// How long everybody has to answer, if `CONFIRM_MS` says nothing else.
const PATIENCE: u64 = 20_000;

/// What the handlers see as `services`.
pub struct Confirm {
    pub patience: Duration,
}

pub fn services() -> Result<Confirm> {
    let patience = std::env::var("CONFIRM_MS").map_or(Ok(PATIENCE), |ms| ms.parse())?;
    Ok(Confirm { patience: Duration::from_millis(patience) })
}
