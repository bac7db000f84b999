use aaw_event::prelude::*;

use crate::_services::App;

pub async fn handler(body: Value, services: Services<App>) -> Value {
    services.has_run("guarded/inner/get");
    body
}
