//! Tells everybody else. Plain, as it is no `async fn`: nobody is answered.

use aaw_event::prelude::*;

pub fn handler(body: Value, services: Services) {
    services.ws.broadcast(body, false);
}

#[cfg(test)]
mod tests {
    use aaw_event::{Sent, To};

    use super::*;

    #[test]
    fn everybody_else_is_told() {
        let services = Services::for_test(());
        handler(json!("happy birthday"), services.clone());
        assert_eq!(services.ws.sent(), [Sent::new(To::Others, "broadcast", "happy birthday")]);
    }
}
