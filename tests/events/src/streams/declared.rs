//! As `streams/count`, for an `EventSource` of any page.

use crate::_services::App;
use aaw_event::prelude::*;

pub const EVENT_SOURCE: bool = true;

pub fn handler(body: super::count::Body, services: Services<App>) -> impl Stream<Item = u64> {
    super::count::handler(body, services)
}
