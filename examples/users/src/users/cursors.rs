//! How many cursors are open, and how many rows have been read from the database through all of them so far.

use aaw_event::prelude::*;

use crate::_services::Users;

#[derive(Serialize)]
pub struct Answer {
    open: usize,
    rows_read: u64,
}

pub async fn handler(_: Empty, services: Services<Users>) -> Answer {
    Answer { open: services.open_cursors(), rows_read: services.rows_read() }
}
