use aaw_event::prelude::*;

pub fn handler(body: Value, services: Services) -> Result<()> {
    services.ws.send_event("pushed", body)
}
