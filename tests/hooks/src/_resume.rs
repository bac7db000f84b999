use aaw_event::prelude::*;

use crate::_services::App;

pub async fn handler(opened: OpenInfo, services: Services<App>) -> Result<()> {
    services.decide_about_resumption(services.ws.id(), opened).await
}
