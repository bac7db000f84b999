use crate::_services::App;
use aaw_event::prelude::*;

pub async fn handler(_: Empty, services: Services<App>) {
    services.record("guarded/never/get");
}
