//! Broadcasts the body to all other connections. The handler is one-way (not an `async fn`), so it returns no response.

use aaw_event::prelude::*;

pub fn handler(body: Value, services: Services) {
    services.ws.broadcast(body, false);
}

#[cfg(test)]
mod tests {
    use aaw_event::{Sent, To};

    use super::*;

    #[test]
    fn the_body_is_broadcast_to_the_other_connections() {
        let services = Services::for_test(());
        handler(json!("happy birthday"), services.clone());
        assert_eq!(services.ws.sent(), [Sent::new(To::Others, "broadcast", "happy birthday")]);
    }
}
