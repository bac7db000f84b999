//! Runs when somebody has connected, before anything else of theirs does.

use aaw_event::prelude::*;

use crate::_services::Visitors;

pub fn handler(opened: OpenInfo, services: Services<Visitors>) -> Result<()> {
    tracing::info!(id = services.ws.id(), origin = opened.origin, "new connection");
    services.come();
    services.ws.send_event("message", json!({ "message": "Welcome to my server" }))
}

#[cfg(test)]
mod tests {
    use aaw_event::{Sent, To};

    use super::*;

    #[test]
    fn who_comes_is_greeted_and_counted() {
        let services = Services::for_test(crate::_services::services());
        handler(OpenInfo::default(), services.clone()).unwrap();
        let welcome = json!({ "message": "Welcome to my server" });
        assert_eq!(services.ws.sent(), [Sent::new(To::Caller, "message", welcome)]);
        assert_eq!(*services.here().borrow(), 1);
    }
}
