//! The room and the time limit that the handlers share.

use std::time::Duration;

use aaw_event::prelude::*;

/// The room of all connected clients.
pub const EVERYONE: &str = "everyone";

/// The default of `CONFIRM_MS`: the time that a user has to answer, in milliseconds.
const DEFAULT_TIMEOUT_MS: u64 = 20_000;

/// What handlers receive as `services`.
pub struct Confirm {
    /// The time after which a client that has not answered is counted as silent.
    pub timeout: Duration,
}

pub fn services() -> Result<Confirm> {
    let timeout = std::env::var("CONFIRM_MS").map_or(Ok(DEFAULT_TIMEOUT_MS), |ms| ms.parse())?;
    Ok(Confirm { timeout: Duration::from_millis(timeout) })
}
