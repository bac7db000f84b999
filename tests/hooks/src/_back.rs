use aaw_event::prelude::*;

use crate::_services::App;

pub async fn handler(back: BackInfo, services: Services<App>) -> Result<()> {
    let connected = services.ws.is_connected();
    services.run_away_hook("back", json!([back, { "connected": connected }])).await;
    services.ws.send_event("message", "Welcome back")
}
