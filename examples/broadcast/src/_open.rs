//! Runs when a client has connected, before any of its calls.

use aaw_event::prelude::*;

use crate::_services::Online;

pub fn handler(opened: OpenInfo, services: Services<Online>) -> Result<()> {
    tracing::info!(id = services.ws.id(), origin = opened.origin, "connected");
    services.increment();
    services.ws.send_event("message", json!({ "message": "Welcome to my server" }))
}

#[cfg(test)]
mod tests {
    use aaw_event::testing::{Recipient, SentMessage};

    use super::*;

    #[test]
    fn a_new_connection_is_greeted_and_counted() {
        let services = Services::for_test(crate::_services::services());
        handler(OpenInfo::default(), services.clone()).unwrap();
        let welcome = json!({ "message": "Welcome to my server" });
        assert_eq!(services.sent(), [SentMessage::new(Recipient::Caller, "message", welcome)]);
        assert_eq!(*services.subscribe().borrow(), 1);
    }
}
