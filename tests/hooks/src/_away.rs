use aaw_event::prelude::*;

use crate::_services::App;

pub async fn handler(away: AwayInfo, services: Services<App>) {
    let connected = services.ws.is_connected();
    services.run_away_hook("away", json!([away, { "connected": connected }])).await;
}
