//! Returns the number of open cursors, and the number of rows that all cursors have read so far.

use aaw_event::prelude::*;

use crate::_services::Users;

#[derive(Serialize)]
pub struct CursorCounts {
    open: usize,
    rows_read: u64,
}

pub async fn handler(_: Empty, services: Services<Users>) -> CursorCounts {
    CursorCounts { open: services.open_cursors(), rows_read: services.rows_read() }
}
