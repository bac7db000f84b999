use aaw_event::prelude::*;

use crate::_services::App;

pub async fn handler(closed: CloseInfo, services: Services<App>) {
    services.record_close(&closed);
    services.ws.broadcast("a client left", true);
}
