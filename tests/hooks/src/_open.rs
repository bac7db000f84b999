use aaw_event::prelude::*;

use crate::_services::App;

pub async fn handler(opened: OpenInfo, services: Services<App>) -> Result<()> {
    services.has_opened(&opened);
    if let Ok(pass) = services.passes.acquire().await {
        pass.forget();
    }
    let opening = services.opening();
    assert!(!opening.panics, "as the test wants it");
    if let Some(greeting) = opening.greeting {
        services.ws.send_event("message", json!({ "message": greeting }))?;
    }
    opening.refusal.map_or(Ok(()), |refusal| Err(Error::new(refusal)))
}
