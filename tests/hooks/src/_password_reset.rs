use aaw_event::prelude::*;

use crate::_services::App;

pub async fn handler(reset: PasswordReset, services: Services<App>) -> Result<()> {
    services.record_reset(reset);
    Ok(())
}
