use aaw_event::prelude::*;

use crate::_services::App;

pub async fn handler(body: Value, services: Services<App>) -> Value {
    services.record("guarded/get");
    body
}
