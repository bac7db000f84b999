//! Does what a test has told it to (see `Opening`): nothing, as a rule, and everybody may stay.

use crate::_services::App;
use aaw_event::prelude::*;

pub async fn handler(opened: Opened, services: Services<App>) -> Result<()> {
    let opening = {
        let mut hooks = services.hooks();
        hooks.opened.push((services.ws.id(), opened));
        hooks.opening.clone()
    };
    if let Some(gate) = opening.gate {
        services.gate(&gate).pass().await;
    }
    if let Some(greeting) = opening.greeting {
        services.ws.send_event("message", greeting)?;
    }
    assert!(!opening.panics, "when opening, with a secret");
    let Some(text) = opening.refusal else { return Ok(()) };
    let error = Error::new(text);
    Err(match opening.code {
        Some(code) => error.with_code(code),
        None => error,
    })
}
