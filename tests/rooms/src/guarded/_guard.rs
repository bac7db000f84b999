use aaw_event::prelude::*;

use crate::_services::App;

pub async fn handler(call: GuardedCall, services: Services<App>) -> Result<()> {
    services.run_guard("guarded", &call).await
}
