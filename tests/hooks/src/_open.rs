use aaw_event::prelude::*;

use crate::_services::App;

pub async fn handler(opened: OpenInfo, services: Services<App>) -> Result<()> {
    services.record_open(&opened);
    if let Ok(pass) = services.passes.acquire().await {
        pass.forget();
    }
    let behaviour = services.open_behaviour();
    assert!(!behaviour.panics, "the test configured a panic");
    if let Some(greeting) = behaviour.greeting {
        services.ws.send_event("message", json!({ "message": greeting }))?;
    }
    behaviour.refusal.map_or(Ok(()), |refusal| Err(Error::new(refusal)))
}
