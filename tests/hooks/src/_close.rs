use aaw_event::prelude::*;

use crate::_services::App;

pub async fn handler(closed: CloseInfo, services: Services<App>) {
    services.has_closed(&closed);
    services.ws.broadcast("somebody left", true);
}
