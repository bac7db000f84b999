use aaw_event::prelude::*;

use crate::_services::App;

pub async fn handler(call: Guarded, services: Services<App>) -> Result<()> {
    services.guarded("guarded", &call).await
}
